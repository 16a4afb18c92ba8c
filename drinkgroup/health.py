"""For whoever watches the web process: is it up, and can it serve."""

from __future__ import annotations

from collections.abc import Callable

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from sagas import store
from sagas.db import said
from sagas.postgresql.watchdog import within

#: Seconds that the database has for an answer: whoever asks goes by the answer, and not by its absence.
READY_WITHIN = 2.0


@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """Answer 200 as long as the process answers at all. Restarting it mends nothing outside of it."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """Answer 200 if the database takes orders, else 503: RabbitMQ and Redis are not needed for that."""
    try:
        with within(READY_WITHIN), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_read_only')::bool")
            (only_reads,) = cursor.fetchone()
    except Error as error:
        connection.close()
        return _not_ready(f"the database does not answer: {said(error)}")
    if only_reads:
        # A standby, or what was the primary. The next session may be on the one that is.
        connection.close()
        return _not_ready("the database takes no writes")
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def workersz(_request: HttpRequest) -> HttpResponse:
    """Answer 200 if a worker was heard of lately, else 503. For people's alarms, and never for a load balancer.

    A web process takes orders without any worker, and to take it out would only refuse them: hence not ``readyz``.
    """
    try:
        heard = store.workers.heard()
    except Error as error:
        connection.close()
        return _not_ready(f"the database does not answer: {said(error)}")
    alive = sum(not worker.is_silent for worker in heard)
    told = f"{alive} of {len(heard)} worker(s) were heard of lately"
    return HttpResponse(f"{told}\n", content_type="text/plain") if alive else _not_ready(told)


_PROBES = {"/healthz": healthz, "/readyz": readyz, "/workersz": workersz}


class Probes:
    """Middleware that answers probes before anybody looks at their host, their protocol or their session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a probe; pass on everything else."""
        return _PROBES.get(request.path_info, self._get_response)(request)


def _not_ready(why: str) -> HttpResponse:
    return HttpResponse(f"{why}\n", status=503, headers={"Retry-After": "1"}, content_type="text/plain")
