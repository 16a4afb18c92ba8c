"""The web server, over real sockets: who sends slowly, too much, or nonsense, harms nobody, and is told so."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from waitress.task import WSGITask

from drinkgroup import server
from drinkgroup.server import Loop
from tests.support.awaiting import eventually

THREADS = 2
#: What a request of an attacker begins with, and never ends.
BEGINNINGS = {
    "nothing": b"",
    "half a line": b"POST /orders/ HT",
    "half a header": b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Le",
    "half a body": b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 50\r\n\r\n{",
    "half a chunk": b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "half a trailer": b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: ",
}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Tell what came; break if asked to."""
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/break":
        raise KeyError("the inside")
    told = json.dumps({"body": body.decode("latin-1"), "length": environ.get("CONTENT_LENGTH")}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(told)))])
    return [told]


class Shop:
    """The server in a thread of this process."""

    def __init__(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = listening.getsockname()
        self.loop = Loop(application, [listening], threads=THREADS)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()

    def _turn(self) -> None:
        while not self._stopped.is_set():
            self.loop.turn(seconds=0.02)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(10)
        self.loop.close()

    def open(self, sent: bytes = b"") -> socket.socket:
        """Make a connection, and send this."""
        connection = socket.create_connection(self.address, timeout=10)
        connection.sendall(sent)
        return connection

    def say(self, sent: bytes) -> bytes:
        """Send this, and read to the end."""
        with self.open(sent) as connection:
            return read(connection)

    def answers(self) -> bool:
        """Whether an honest customer is served."""
        return b" 200 OK\r\n" in self.say(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")


def read(connection: socket.socket) -> bytes:
    """Read to the end."""
    found = b""
    while some := connection.recv(65536):
        found += some
    return found


def answered(connection: socket.socket) -> Any:
    """Read one answer of a connection that is kept."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert answer.status == 200
    return json.loads(answer.read())


def problem(answer: bytes) -> tuple[int, str]:
    """The status and the word of an answer, once it is clear that it is a problem by the book."""
    head, _, body = answer.partition(b"\r\n\r\n")
    told = json.loads(body)
    assert b"content-type: application/problem+json" in head.lower()
    assert b"connection: close" in head.lower()
    assert int(head.split()[1]) == told["status"]
    assert {"type", "title", "detail", "instance"} <= set(told)
    return told["status"], told["type"].removeprefix("/problems/")


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    # As often as the short deadlines of these tests want it.
    monkeypatch.setattr(server, "_JUDGED_EVERY", 0.02)
    running = Shop()
    yield running
    running.stop()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, shop: Shop) -> Shop:
    """The same, with short deadlines."""
    for name in ("HEAD_WITHIN", "BODY_WITHIN", "KEPT_ALIVE", "TAKEN_WITHIN", "LINGER_WITHIN"):
        monkeypatch.setattr(server, name, 0.3)
    return shop


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=BEGINNINGS)
def test_an_incomplete_request_delays_no_other_client(shop: Shop, beginning: bytes) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(8 * THREADS):
            stack.enter_context(shop.open(beginning))
        assert shop.answers()


@pytest.mark.parametrize(
    ("beginning", "says"),
    [(b, None if name == "nothing" else (408, "request-timeout")) for name, b in BEGINNINGS.items()],
    ids=BEGINNINGS,
)
def test_an_incomplete_request_is_ended_at_its_deadline(
    hasty: Shop, beginning: bytes, says: tuple[int, str] | None
) -> None:
    answer = hasty.say(beginning)
    assert (problem(answer) if answer else None) == says


@pytest.mark.parametrize("drop", [b"x", b"\r\n"], ids=["a header", "empty lines"])
@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"], ids=["at first", "kept alive"])
def test_a_head_that_is_sent_byte_by_byte_is_ended(hasty: Shop, beginning: bytes, drop: bytes) -> None:
    # Given a client that is never idle
    ended = threading.Event()
    with hasty.open(beginning) as connection:
        began = time.monotonic()

        def dribble() -> None:
            with contextlib.suppress(OSError):
                while not ended.wait(0.02):
                    connection.sendall(drop)

        dribbling = threading.Thread(target=dribble)
        dribbling.start()
        # When nothing whole ever comes, then it ends (or this read would time out)
        with contextlib.suppress(ConnectionError):
            read(connection)
        assert time.monotonic() - began >= 0.3
        ended.set()
        dribbling.join(10)


def test_a_body_that_is_sent_byte_by_byte_is_ended(hasty: Shop) -> None:
    with hasty.open(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 60000\r\n\r\n") as connection:
        connection.settimeout(0.02)
        answer = b""
        while not answer:
            with contextlib.suppress(TimeoutError):
                connection.sendall(b"x")
                answer = connection.recv(65536)
        connection.settimeout(10)
        answer += read(connection)
    assert problem(answer) == (408, "request-timeout")


def test_a_client_that_does_not_read_the_answer_is_ended(hasty: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a client that asks for more than the buffers of its connection hold, and reads nothing
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(hasty.address)
        # Then its connection ends, sooner or later
        connection.settimeout(10)
        with contextlib.suppress(ConnectionError):
            while True:
                connection.sendall(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 60000\r\n\r\n" + b"\xff" * 60000)
        eventually(lambda: not hasty.loop.connections, within=10, what="the connection closed")
    assert hasty.answers()


def test_a_connection_is_kept_for_further_requests(shop: Shop) -> None:
    with shop.open() as connection:
        for n in range(3):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 1\r\n\r\n%d" % n)
            assert answered(connection)["body"] == str(n)


def test_an_answer_is_written_at_once_and_is_the_same_as_in_pieces(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    written: list[bytes] = []
    write_soon = server._Channel.write_soon

    def note(channel: Any, data: bytes) -> int:
        written.append(data)
        return int(write_soon(channel, data))

    monkeypatch.setattr(server._Channel, "write_soon", note)
    request = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab"
    # When
    at_once = shop.say(request)
    packets = [data for data in written if data]
    monkeypatch.setattr(server._Answer, "write", WSGITask.write)
    in_pieces = shop.say(request)
    # Then
    assert packets == [at_once]
    assert [line for line in at_once.splitlines() if not line.startswith(b"Date:")] == [
        line for line in in_pieces.splitlines() if not line.startswith(b"Date:")
    ]
    assert at_once.endswith(b'{"body": "ab", "length": "2"}')


def test_an_idle_connection_is_closed_in_time(hasty: Shop) -> None:
    with hasty.open(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n") as connection:
        assert b"200 OK" in read(connection)


@pytest.mark.parametrize(
    "body",
    [b"5\r\nhello\r\n0\r\n\r\n", b"2\r\nhe\r\n3;ext=1\r\nllo\r\n00\r\n\r\n", b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n"],
    ids=["one chunk", "two", "a trailer"],
)
def test_a_body_in_chunks_is_accepted(shop: Shop, body: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = shop.say(head + body)
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"body": "hello", "length": "5"}


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5", (400, "bad-request")),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", (400, "bad-request")),
        (b"Content-Length: 5\r\nContent-Length: 6", (400, "bad-request")),
        (b"Content-Length: -5", (400, "bad-request")),
        (b"Content-Length: +5", (400, "bad-request")),
        (b"Content-Length: five", (400, "bad-request")),
        (b"Content-Length : 5", (400, "bad-request")),
        (b"Transfer-Encoding: chunked, gzip", (501, "unknown-transfer-encoding")),
        (b"Transfer-Encoding: gzip", (501, "unknown-transfer-encoding")),
        (b"X: " + b"x" * 20_000, (431, "header-too-large")),
        (b"\r\n".join(b"X%d: x" % n for n in range(2000)), (431, "header-too-large")),
    ],
    ids=str,
)
def test_an_invalid_head_is_refused(shop: Shop, head: bytes, says: tuple[int, str]) -> None:
    assert problem(shop.say(b"POST / HTTP/1.1\r\nHost: shop\r\n" + head + b"\r\n\r\nhello")) == says


@pytest.mark.parametrize(
    ("request_line", "says"),
    [
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1", (414, "uri-too-long")),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1", (414, "uri-too-long")),
        (b"GET /?" + b"x" * 9_000 + b" HTTP/1.1", (414, "uri-too-long")),
        (b"nonsense", (400, "bad-request")),
        (b"G@T / HTTP/1.1", (400, "bad-request")),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400, "bad-request")),
    ],
    ids=["long", "very long", "long query", "no request", "no method", "TLS"],
)
def test_an_invalid_request_line_is_refused(shop: Shop, request_line: bytes, says: tuple[int, str]) -> None:
    assert problem(shop.say(request_line + b"\r\nHost: shop\r\n\r\n")) == says


def test_chunks_in_http_1_0_are_refused(shop: Shop) -> None:
    answer = shop.say(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert problem(answer) == (400, "bad-request")


@pytest.mark.parametrize(
    "body", [b"nonsense\r\n", b"5\r\nhelloX\r\n0\r\n\r\n", b"-5\r\nhello\r\n", b"0x5\r\nhello\r\n"]
)
def test_invalid_chunks_are_refused(shop: Shop, body: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert problem(shop.say(head + body)) == (400, "bad-request")


def test_a_too_large_body_gets_its_answer_once_it_is_sent(shop: Shop) -> None:
    # As curl, urllib and most clients do: all is sent before the answer is read
    size = 10_000_000
    for head, body in [
        (b"Content-Length: %d" % size, b" " * size),
        (b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (size, b" " * size)),
        (b"Transfer-Encoding: chunked", b"1\r\n \r\n" * 100_000 + b"0\r\n\r\n"),
    ]:
        answer = shop.say(b"POST / HTTP/1.1\r\nHost: shop\r\n" + head + b"\r\n\r\n" + body)
        assert problem(answer) == (413, "body-too-large")


def test_a_body_at_the_limit_is_accepted(shop: Shop) -> None:
    head = b"POST / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 65536\r\n\r\n"
    assert b" 200 OK\r\n" in shop.say(head + b" " * 65536)


def test_a_too_large_body_announced_by_expect_is_refused_at_once(shop: Shop) -> None:
    head = b"POST / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 10000000\r\n\r\n"
    with shop.open(head) as connection:
        assert problem(read(connection)) == (413, "body-too-large")


def test_an_endless_body_is_cut_off(hasty: Shop) -> None:
    head = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 100000000000\r\n\r\n"
    with hasty.open(head) as connection, pytest.raises(ConnectionError):
        while True:
            connection.sendall(b" " * 65536)


def test_an_error_of_the_application_is_answered_without_details(shop: Shop) -> None:
    answer = shop.say(b"GET /break HTTP/1.1\r\nHost: shop\r\n\r\n")
    assert problem(answer) == (500, "internal-error")
    assert b"inside" not in answer


def test_idle_connections_are_closed_when_there_are_too_many(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given as many idle connections as there may be (the listening socket and its trigger are two more)
    monkeypatch.setattr(shop.loop._servers[0].adj, "connection_limit", 12)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(shop.open(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"))
            answered(connection)
        # When one more comes, it is served
        assert shop.answers()


def test_a_stopping_server_finishes_its_requests(shop: Shop) -> None:
    with shop.open(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n") as idle, shop.open(b"GET / HTTP/1.1\r\nHost: sh") as begun:
        answered(idle)
        eventually(lambda: len(shop.loop.connections) == 2, what="both are accepted")
        shop.loop.stop()
        # Then what is on its way is answered, and told to come no more
        begun.sendall(b"op\r\n\r\n")
        answer = read(begun)
        assert b"200 OK" in answer
        assert b"connection: close" in answer.lower()
        assert read(idle) == b""
        eventually(lambda: not shop.loop.connections, within=10, what="all connections closed")


def test_a_head_request_gets_no_body(shop: Shop) -> None:
    head, _, body = shop.say(b"HEAD / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").partition(b"\r\n\r\n")
    assert b"200 OK" in head
    assert body == b""
