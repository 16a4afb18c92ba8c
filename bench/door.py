"""``python -m bench --door``: the CPU time of one ``POST orders/``, beside a trivial view, in one process.

The trivial view inserts one row, and has the same middleware, authentication and parser. Both are called through
Django's WSGI handler, in turns. Counted are this process and its PostgreSQL session; not counted are the web server,
Redis, and what PostgreSQL's own processes do later. The shop has its default limits of unpaid orders: in each round
every customer orders once, with a token that is remembered, and has nothing open.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.urls import include, path
from knox.models import AuthToken
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rich.console import Console
from rich.table import Table

from inventory.models import Batch
from orders import demo

ROUNDS = 12
#: In a round, each of another customer.
REQUESTS = 100
#: Rounds that only warm up.
_WARM = 2


class Trivial(APIView):
    """What a view costs that authenticates, parses, and inserts one row."""

    def post(self, request: Request) -> Response:
        """Insert one row."""
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO bench_door (customer_id, body) VALUES (%s, %s)", [request.user.pk, "{}"])
        return Response({"size": len(request.data)}, status=201)


urlpatterns = [path("api/v1/bench/trivial/", Trivial.as_view()), path("", include("drinkgroup.urls"))]


def run(console: Console) -> dict[str, float]:
    """Measure both in turns; print and return milliseconds of CPU a request, and their ratio."""
    # One session, whose CPU time the kernel counts.
    connection.settings_dict["CONN_MAX_AGE"] = None
    connection.close()
    call_command("migrate", verbosity=0)
    demo.seed()
    Batch.objects.update(available=10_000_000)
    settings.ROOT_URLCONF = "bench.door"
    settings.ORDERS_PER_MINUTE = settings.READS_PER_MINUTE = 10**9
    # Nobody performs the runs.
    settings.SAGAS = {**settings.SAGAS, "ADMISSION": 1e6}
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_door (id bigserial PRIMARY KEY, customer_id bigint, body text)")
        cursor.execute("SELECT min(id) FROM delivery_slot WHERE starts_at > now() + interval '1 hour'")
        (slot,) = cursor.fetchone()
    manager = get_user_model()._default_manager
    customers = manager.bulk_create(manager.model(username=f"door-{number}") for number in range(REQUESTS))
    tokens = [AuthToken.objects.create(customer)[1] for customer in customers]
    send = _client()
    body = {"items": [{"sku": "OOLONG-M", "quantity": 1}], "slot": slot}
    views = {"POST orders/": ("/api/v1/orders/", 202), "trivial view": ("/api/v1/bench/trivial/", 201)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in views}
    for turn in range(_WARM + ROUNDS):
        for name, (url, expected) in views.items():
            _begin_round(partial(send, "/api/v1/bench/trivial/", body, 201), tokens)
            measured = _measure(partial(send, url, body, expected), tokens)
            if turn >= _WARM:
                found[name].append(measured)
    return _show(found, console)


def _begin_round(call: Callable[[str, str], None], tokens: Sequence[str]) -> None:
    """Let nothing be open, and the web process remember all tokens."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orders_order SET status = 'REJECTED' WHERE status = 'RECEIVED'")
    for token in tokens:
        call(token, uuid4().hex)


def _client() -> Callable[[str, Any, int, str, str], None]:
    # As it is served.
    from drinkgroup.wsgi import application  # noqa: PLC0415 - it checks the settings

    def send(url: str, body: Any, expected: int, token: str, key: str) -> None:
        raw = json.dumps(body).encode()
        said: list[Any] = []
        environ = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": url,
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "HTTP_AUTHORIZATION": f"Token {token}",
            "HTTP_IDEMPOTENCY_KEY": key,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(raw)),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(raw),
        }

        def start(status: str, *_: Any) -> Callable[[bytes], object]:
            said.append(status)
            return said.append

        answer = application(environ, start)
        text = b"".join(answer)
        if close := getattr(answer, "close", None):
            close()
        if not said[0].startswith(str(expected)):
            msg = f"{url}: {said[0]} {text.decode()}"
            raise RuntimeError(msg)

    return send


def _measure(call: Callable[[str, str], None], tokens: Sequence[str]) -> tuple[float, float]:
    """Milliseconds of CPU a request, of this process and of its PostgreSQL session."""
    session = Path(f"/proc/{_session()}/schedstat")
    web, server = time.process_time(), _nanoseconds(session)
    for token in tokens:
        call(token, uuid4().hex)
    each = 1000 / len(tokens)
    return (time.process_time() - web) * each, (_nanoseconds(session) - server) / 1e9 * each


def _session() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return int(pid)


def _nanoseconds(schedstat: Path) -> int:
    return int(schedstat.read_text().split()[0])


def _show(found: dict[str, list[tuple[float, float]]], console: Console) -> dict[str, float]:
    table = Table("ms of CPU a request (median of rounds)", "web", "PostgreSQL", "both")
    whole = {}
    for name, rounds in found.items():
        web, server = (statistics.median(part) for part in zip(*rounds, strict=True))
        whole[name] = statistics.median(web + server for web, server in rounds)
        table.add_row(name, f"{web:.2f}", f"{server:.2f}", f"{whole[name]:.2f}")
    ratio = statistics.median(
        sum(order) / sum(trivial) for order, trivial in zip(found["POST orders/"], found["trivial view"], strict=True)
    )
    console.print(table)
    console.print(f"post_cpu_vs_trivial_view: {ratio:.2f}")
    return {**whole, "post_cpu_vs_trivial_view": ratio}
