"""Deferred answers, over real sockets: who waits holds no thread, and gets an answer in the end."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from waitress.channel import HTTPChannel

from drinkgroup import server
from drinkgroup.server import Loop
from orders.api.protocol.deferred import DEFERS, Piece
from tests.support.awaiting import eventually

THREADS = 2


class Waiting:
    """A response that is given when the test says so."""

    is_deferred = True

    def __init__(self, *, early: bool = False) -> None:
        self.pieces: list[Piece] = []
        self.early = early
        self.go_on: Callable[[], None] = lambda: None
        self.watches = 0
        self.cancelled = 0
        self.closed = False
        self.overs: list[bool] = []

    def watch(self, go_on: Callable[[], None]) -> Waiting:
        self.watches += 1
        self.go_on = go_on
        if self.early:
            # Before anybody has looked.
            self.early = False
            go_on()
        return self

    def resume(self, *, over: bool) -> Piece | None:
        self.overs.append(over)
        if over:
            return Piece(b"over")
        return self.pieces.pop(0) if self.pieces else None

    def cancel(self) -> None:
        self.cancelled += 1

    def close(self) -> None:
        self.closed = True

    def give(self, *pieces: Piece) -> None:
        self.pieces += pieces
        self.go_on()


class Shop:
    """The server in a thread of this process, with an application whose answers below ``/wait`` are deferred."""

    def __init__(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = listening.getsockname()
        self.waiting: dict[str, Waiting] = {}
        self.served: list[str] = []
        self.unblocked = threading.Event()
        self.loop = Loop(self.application, [listening], threads=THREADS)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()

    def application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        path = environ["PATH_INFO"]
        self.served.append(path)
        if path == "/block/":
            self.unblocked.wait(20)
        if path.startswith("/wait") and environ[DEFERS]:
            return self.waiting.setdefault(path, Waiting(early=path.startswith("/wait-early")))
        start_response("200 OK", [("Content-Length", "4")])
        return [b"here"]

    def _turn(self) -> None:
        while not self._stopped.is_set():
            self.loop.turn(seconds=0.02)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(10)
        self.loop.close()

    def ask(self, path: str) -> http.client.HTTPConnection:
        """Ask, and do not read the answer."""
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        connection.request("GET", path)
        return connection

    def await_waiting(self, path: str) -> Waiting:
        eventually(lambda: self._stands(path), what=f"{path} waits")
        return self.waiting[path]

    def _stands(self, path: str) -> bool:
        return path in self.waiting and any(
            channel._stands and channel._answer is not None and channel._answer.deferred is self.waiting[path]
            for channel in self.loop.connections
        )


def answer(connection: http.client.HTTPConnection) -> tuple[int, bytes]:
    response = connection.getresponse()
    return response.status, response.read()


@pytest.fixture
def shop() -> Iterator[Shop]:
    running = Shop()
    yield running
    running.stop()


@pytest.fixture
def asked(shop: Shop) -> Iterator[Callable[[str], http.client.HTTPConnection]]:
    with contextlib.ExitStack() as stack:
        yield lambda path: stack.enter_context(contextlib.closing(shop.ask(path)))


Ask = Callable[[str], http.client.HTTPConnection]


def test_those_who_wait_hold_up_nobody_and_are_answered_in_any_order(shop: Shop, asked: Ask) -> None:
    # Given ten times as many who wait as there are threads
    connections = {path: asked(path) for path in (f"/wait/{n}" for n in range(10 * THREADS))}
    waiting = {path: shop.await_waiting(path) for path in connections}

    # Then others are served
    assert answer(asked("/")) == (200, b"here")

    # And when what they wait for has happened, so are they
    for number, path in enumerate(reversed(connections)):
        waiting[path].give(Piece(b"%d" % number, status="201 Created", headers=[("X-Told", "yes")]))
    for number, path in enumerate(reversed(connections)):
        assert answer(connections[path]) == (201, b"%d" % number)
        assert waiting[path].closed
        assert waiting[path].cancelled == 1


def test_an_order_that_has_waited_too_long_for_a_thread_is_refused_without_the_application(
    shop: Shop, asked: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LONGEST_WAIT", 0.05)
    # Given threads that are all busy, an order, and something else that is no order
    busy = [asked("/block/") for _ in range(THREADS)]
    eventually(lambda: len(shop.served) == THREADS, what="all threads busy")
    order, other = (http.client.HTTPConnection(*shop.address, timeout=20) for _ in range(2))
    order.request("POST", "/api/v1/orders/", body=b"{}")
    other.request("POST", "/api/v1/orders/ORD-1/confirm/", body=b"{}")
    waiting = shop.loop._threads._waiting
    eventually(lambda: len(waiting) == 2 and all(one.waited() > 0.05 for one in waiting), what="two have waited")

    # When the threads are free again
    shop.unblocked.set()

    # Then
    refused = order.getresponse()
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert json.loads(refused.read())["type"] == "/problems/overloaded"
    assert [answer(connection)[0] for connection in (*busy, other)] == [200] * (THREADS + 1)
    assert "/api/v1/orders/" not in shop.served

    # And over the same connection an order is taken that has not waited
    order.request("POST", "/api/v1/orders/", body=b"{}")
    assert answer(order) == (200, b"here")
    for connection in (order, other):
        connection.close()


def test_who_is_woken_for_nothing_waits_on(shop: Shop, asked: Ask) -> None:
    # Given
    connection = asked("/wait/")
    waiting = shop.await_waiting("/wait/")

    # When
    waiting.give()
    eventually(lambda: waiting.watches == 2, what="another watch")
    shop.await_waiting("/wait/").give(Piece(b"now"))

    # Then
    assert answer(connection) == (200, b"now")


def test_what_happens_before_anybody_waits_is_not_missed(shop: Shop, asked: Ask) -> None:
    connection = asked("/wait-early/")
    waiting = shop.await_waiting("/wait-early/")
    assert waiting.watches == 2
    waiting.give(Piece(b"now"))
    assert answer(connection) == (200, b"now")


def test_an_answer_that_is_there_at_once_is_given_at_once(shop: Shop, asked: Ask) -> None:
    shop.waiting["/wait/"] = waiting = Waiting()
    waiting.pieces.append(Piece(b"now"))
    assert answer(asked("/wait/")) == (200, b"now")


def test_an_answer_in_pieces_is_sent_piece_by_piece(shop: Shop, asked: Ask) -> None:
    # Given
    connection = asked("/wait/")
    headers = [("Content-Type", "text/event-stream")]
    shop.await_waiting("/wait/").give(Piece(b"one\n", ends=False, headers=headers))
    response = connection.getresponse()
    assert response.getheader("Content-Type") == "text/event-stream"
    assert response.readline() == b"one\n"

    # When
    shop.await_waiting("/wait/").give(Piece(b"two\n", ends=False))

    # Then
    assert response.readline() == b"two\n"
    shop.await_waiting("/wait/").give(Piece(b"three\n"))
    assert response.read() == b"three\n"


def test_the_next_request_of_a_connection_waits_for_the_deferred_answer(shop: Shop) -> None:
    # Given two requests, one right behind the other
    with socket.create_connection(shop.address, timeout=20) as connection:
        connection.sendall(b"GET /wait/ HTTP/1.1\r\nHost: shop\r\n\r\n")
        waiting = shop.await_waiting("/wait/")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")

        # When
        waiting.give(Piece(b"now"))

        # Then
        said = b""
        while some := connection.recv(4096):
            said += some
    assert said.index(b"now") < said.index(b"here")


def test_an_answer_is_not_forgotten_by_the_thread_that_gave_the_one_before(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a thread that has given an answer, and has not come back yet
    held, goes_on, is_back = threading.Event(), threading.Event(), threading.Event()
    of_waitress, of_ours = HTTPChannel.service, server._Channel.service

    def hold(channel: Any) -> None:
        of_waitress(channel)
        if not held.is_set():
            held.set()
            goes_on.wait(20)

    def note(channel: Any) -> None:
        of_ours(channel)
        if goes_on.is_set():
            is_back.set()

    monkeypatch.setattr(HTTPChannel, "service", hold)
    monkeypatch.setattr(server._Channel, "service", note)
    connection = shop.ask("/first/")
    assert connection.getresponse().read() == b"here"
    held.wait(20)

    # When the client's next request waits by then
    connection.request("GET", "/wait/")
    waiting = shop.await_waiting("/wait/")
    goes_on.set()
    assert is_back.wait(20)

    # Then it is answered, and the application was asked once
    waiting.give(Piece(b"now"))
    assert answer(connection) == (200, b"now")
    assert len(shop.served) == 2
    connection.close()


def test_a_client_that_goes_away_is_waited_for_no_more(shop: Shop) -> None:
    # Given
    connection = shop.ask("/wait/")
    waiting = shop.await_waiting("/wait/")

    # When
    connection.close()

    # Then
    eventually(lambda: waiting.cancelled, what="the watch cancelled")
    eventually(lambda: not shop.loop.connections, what="the connection closed")
    # And what happens then harms nobody
    waiting.give(Piece(b"now"))
    with contextlib.closing(shop.ask("/")) as other:
        assert answer(other) == (200, b"here")


def test_above_the_limit_answers_are_given_at_once(shop: Shop, asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given as many as may wait
    monkeypatch.setattr(server, "DEFERRED", 2)
    for path in ("/wait/1", "/wait/2"):
        asked(path)
        shop.await_waiting(path)

    # When one more comes, and one that waits is answered
    assert answer(asked("/wait/3")) == (200, b"here")
    shop.waiting["/wait/1"].give(Piece(b"now"))
    eventually(lambda: len(shop.loop._servers[0].deferred) == 1, what="room for one more")

    # Then the next may wait
    asked("/wait/4")
    shop.await_waiting("/wait/4")


def test_a_server_that_stops_gives_the_answers_that_there_are(shop: Shop, asked: Ask) -> None:
    # Given
    connection = asked("/wait/")
    waiting = shop.await_waiting("/wait/")

    # When
    shop.loop.stop()

    # Then
    assert answer(connection) == (200, b"over")
    assert waiting.overs == [False, True]


def test_an_answer_that_breaks_is_a_problem_and_the_server_goes_on(shop: Shop, asked: Ask) -> None:
    # Given
    connection = asked("/wait/")
    waiting = shop.await_waiting("/wait/")

    def broken(*, over: bool) -> Piece:
        raise KeyError("the inside")

    waiting.resume = broken  # type: ignore[method-assign]

    # When
    waiting.give()

    # Then
    status, body = answer(connection)
    assert status == 500
    assert b"inside" not in body
    assert answer(asked("/")) == (200, b"here")
    assert not shop.loop._servers[0].deferred
