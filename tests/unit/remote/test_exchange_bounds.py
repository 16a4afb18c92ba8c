"""What the other side, or the network, cannot stretch: time, memory, and what counts as sent."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sagas.errors import NotSent
from sagas.remote import exchange
from sagas.remote.exchange import Reply, Request, TooLarge, Unanswered
from tests.unit.remote.test_exchange import certificate, needs_openssl

__all__ = ["certificate"]

Serve = Callable[[socket.socket], None]


@contextmanager
def serving(serve: Serve, *, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that answers its first caller with ``serve``."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # What is accepted inherits it: the kernel takes in little that nobody reads.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def work() -> None:
            with contextlib.suppress(OSError):
                accepted, _ = listening.accept()
                caller = context.wrap_socket(accepted, server_side=True) if context else accepted
                with caller:
                    serve(caller)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def answering(text: bytes) -> Serve:
    """Read the request's head, and answer that."""

    def serve(caller: socket.socket) -> None:
        while b"\r\n\r\n" not in caller.recv(65_536):
            pass
        caller.sendall(text)

    return serve


def post(url: str, *, body: bytes | None = None, connect_timeout: float = 5.0, timeout: float = 5.0) -> Reply:
    request = Request("POST", url, {}, body)
    return exchange.exchange(request, connect_timeout=connect_timeout, timeout=timeout, limit=1000)


@pytest.mark.parametrize("said", [1001, 10**10, 10**20])
def test_an_announced_length_reserves_no_memory(said: int) -> None:
    with (
        serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n{}" % said)) as port,
        pytest.raises(Unanswered, match="cut off"),
    ):
        post(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 1000", b"x" * 1000),
        (b"Transfer-Encoding: chunked", b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n"),
        (b"Connection: close", b"x" * 1000),
    ],
    ids=["length", "chunked", "until the end"],
)
def test_an_answer_of_just_the_limit_is_whole_and_one_more_is_too_large(head: bytes, body: bytes) -> None:
    with serving(answering(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body)) as port:
        assert post(f"http://127.0.0.1:{port}/").body == b"x" * 1000
    head = head.replace(b"1000", b"1001")
    body = body.replace(b"3e8", b"3e9").replace(b"x" * 1000, b"x" * 1001)
    with (
        serving(answering(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body)) as port,
        pytest.raises(TooLarge),
    ):
        post(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\x16\x03\x01",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000,
    ],
    ids=["nothing", "no HTTP", "no status", "no length of a chunk", "many headers", "a long header"],
)
def test_an_invalid_answer_does_not_mean_that_nothing_was_sent(text: bytes) -> None:
    with serving(answering(text)) as port, pytest.raises(Unanswered):
        post(f"http://127.0.0.1:{port}/")


def resolving_to(monkeypatch: pytest.MonkeyPatch, *ports: int, after: float = 0.0) -> None:
    """Let every name have these addresses, which take a while to find out."""

    def found(*_: Any, **__: Any) -> list[Any]:
        time.sleep(after)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port at which connections are never made: the kernel drops what a full queue has no place for."""
    with contextlib.ExitStack() as opened:
        listening = opened.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            caller = opened.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


def test_all_addresses_of_a_name_share_the_time_to_connect(monkeypatch: pytest.MonkeyPatch, silent_port: int) -> None:
    resolving_to(monkeypatch, *[silent_port] * 8)
    began = time.monotonic()
    with pytest.raises(NotSent, match="timed out"):
        post("http://points.example/", connect_timeout=2.0)
    assert time.monotonic() - began < 8 * 2.0  # which each of them alone would take


def test_an_unreachable_address_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch, silent_port: int) -> None:
    with serving(answering(b"HTTP/1.1 204 Fine\r\n\r\n")) as port:
        resolving_to(monkeypatch, silent_port, port)
        assert post("http://points.example/", connect_timeout=1.0).status == 204


def test_nothing_is_sent_once_the_time_to_connect_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a name server that takes longer than that: the lease that covers the call may be over by then
    with socket.create_server(("127.0.0.1", 0)) as listening:
        resolving_to(monkeypatch, listening.getsockname()[1], after=0.2)
        with pytest.raises(NotSent, match="timed out"):
            post("http://points.example/", connect_timeout=0.1)
        listening.settimeout(0)
        with pytest.raises(BlockingIOError):
            listening.accept()


@needs_openssl
def test_a_slow_reader_does_not_extend_the_timeout(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given somebody who takes one small piece after the other, each well within the time-out
    over = threading.Event()

    def serve(caller: socket.socket) -> None:
        while not over.wait(0.1) and caller.recv(16_384):
            pass

    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cafile=str(cert))
    monkeypatch.setattr(exchange, "_tls", lambda: trusting)
    with serving(serve, context=context) as port:
        began = time.monotonic()
        try:
            with pytest.raises(Unanswered, match="timed out"):
                post(f"https://localhost:{port}/", body=b"x" * 20_000_000, timeout=1.0)
        finally:
            over.set()
    assert time.monotonic() - began < 30  # of many minutes
