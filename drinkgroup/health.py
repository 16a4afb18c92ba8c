"""Probes of the web process: whether it runs, and whether it can serve."""

from __future__ import annotations

from collections.abc import Callable

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from sagas import store
from sagas.db import describe_error
from sagas.postgresql.watchdog import within

#: Seconds that the database has for an answer, so that a probe gets an answer before its own time-out.
READY_WITHIN = 2.0


@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """Answer 200 as long as the process runs. It checks no server, because a restart would not mend one."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """Answer 200 if the database takes orders, otherwise 503. RabbitMQ and Redis are not needed for that."""
    try:
        with within(READY_WITHIN), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_read_only')::bool")
            (only_reads,) = cursor.fetchone()
    except Error as error:
        connection.close()
        return _not_ready(f"the database does not answer: {describe_error(error)}")
    if only_reads:
        # A standby, or a former primary. The next session may reach the primary.
        connection.close()
        return _not_ready("the database takes no writes")
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def workersz(_request: HttpRequest) -> HttpResponse:
    """Answer 200 if a worker has reported recently, otherwise 503. It is for alarms, and not for a load balancer.

    A web process takes orders without any worker; without the web process they would be refused. So it is not part of
    ``readyz``.
    """
    try:
        heard = store.workers.known_workers()
    except Error as error:
        connection.close()
        return _not_ready(f"the database does not answer: {describe_error(error)}")
    alive = sum(not worker.is_silent for worker in heard)
    told = f"{alive} of {len(heard)} worker(s) were heard of lately"
    return HttpResponse(f"{told}\n", content_type="text/plain") if alive else _not_ready(told)


_PROBES = {"/healthz": healthz, "/readyz": readyz, "/workersz": workersz}


class Probes:
    """Middleware that answers probes before host, protocol or session are checked."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a probe; pass on everything else."""
        return _PROBES.get(request.path_info, self._get_response)(request)


def _not_ready(why: str) -> HttpResponse:
    return HttpResponse(f"{why}\n", status=503, headers={"Retry-After": "1"}, content_type="text/plain")
