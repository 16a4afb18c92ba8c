"""Who sends half a request to the real web process, and never the rest, harms nobody; a body may come in chunks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from tests.support.awaiting import eventually
from tests.support.shop import TEA, Shop
from tests.support.web import ORDERS, Caller, Web, signed

BEGINNINGS = [
    b"",
    b"POST /api/v1/orders/ HT",
    b"POST /api/v1/orders/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Tok",
    b"POST /api/v1/orders/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\n\r\n{",
    b"POST /api/v1/orders/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
]


@pytest.fixture
def slow(web: Web) -> Iterator[None]:
    """Forty clients, thrice as many as the shop has threads of each kind."""
    with contextlib.ExitStack() as stack:
        for beginning in BEGINNINGS * 8:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", web.port), timeout=10))
            client.sendall(beginning)
        yield


@pytest.mark.usefixtures("slow")
def test_forty_slow_clients_do_not_keep_another_client_from_ordering(web: Web, shop: Shop) -> None:
    customer = Caller(web, shop.token)
    for _ in range(4):
        assert customer.place([(TEA, 1)], slot=shop.slot).status == 202
    assert Caller(web).call("GET", "/readyz").status == 200


def in_chunks(web: Web, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
    """Send a body in chunks of seven bytes."""
    head = [f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", "Content-Type: application/json"]
    head += ["Transfer-Encoding: chunked", *(f"{name}: {value}" for name, value in headers.items())]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[n : n + 7]), body[n : n + 7]) for n in range(0, len(body), 7))
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as client:
        client.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + chunks + b"0\r\n\r\n")
        answer = b""
        while some := client.recv(65536):
            answer += some
    told, _, text = answer.partition(b"\r\n\r\n")
    return int(told.split()[1]), json.loads(text)


def test_an_order_and_its_payment_may_be_sent_in_chunks(web: Web, shop: Shop) -> None:
    order = json.dumps({"items": [{"sku": TEA, "quantity": 1}], "slot": shop.slot}).encode()
    status, accepted = in_chunks(web, ORDERS, order, {"Authorization": f"Token {shop.token}"})
    assert status == 202
    payment, headers = signed(accepted["order_no"])
    status, confirmed = in_chunks(web, f"{ORDERS}{accepted['order_no']}/confirm/", payment.encode(), headers)
    assert (status, confirmed["order_no"]) == (200, accepted["order_no"])


@pytest.mark.slow
def test_a_web_process_finishes_its_requests_before_it_stops(django_db_setup: None) -> None:
    web = Web().await_ready()
    try:
        with socket.create_connection(("127.0.0.1", web.port), timeout=30) as client:
            client.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n")
            # Read by one of the two by now, or soon
            eventually(lambda: Caller(web).call("GET", "/healthz").status == 200, what="the web goes on")
            os.kill(web.process.pid, signal.SIGTERM)
            eventually(lambda: "Handling signal: term" in web.text(), what="the web stops")
            client.sendall(b"\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert web.process.wait(timeout=30) == 0
    finally:
        web.stop()
