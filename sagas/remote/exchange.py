"""One HTTP exchange: a request and its answer, within a time limit that the other side cannot stretch.

Each exchange has a new connection: if a reused one brings no answer, nobody knows whether the request was read.
Redirects are not followed, and proxies of the environment are not used: a request goes to its address only.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from sagas.errors import NotSent


class NoRequest(NotSent):
    """A request could not be made: its address, a header or its body is wrong."""


class Unanswered(Exception):
    """A request was sent, and no complete answer came: whether it took effect is not known."""


class TooLarge(Exception):
    """An answer exceeds the participant's limit."""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request.

    Attributes:
        method: such as "POST".
        url: "http://…" or "https://…".
        headers: all but those that HTTP itself needs.
        body: its bytes, if it has any.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def exchange(request: Request, *, connect_timeout: float, timeout: float, limit: int) -> Reply:
    """Send a request, and read the answer to its end.

    Args:
        request: the request.
        connect_timeout: seconds to look up the address and connect, TLS included.
        timeout: seconds from then to the answer's last byte.
        limit: bytes of the answer's body, at most.

    Raises:
        NotSent: the connection could not be opened.
        NoRequest: HTTP does not allow this request.
        Unanswered: the answer did not come, was incomplete, or was no HTTP.
        TooLarge: the body is longer than ``limit``.
    """
    parts = urlsplit(request.url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        raw = _connect(host, port, time.monotonic() + connect_timeout, tls=parts.scheme == "https")
    except (OSError, UnicodeError) as error:
        raise NotSent(_describe(error)) from None
    connection = http.client.HTTPConnection(host, port)
    # http.client has a time-out for each read, which a trickle of bytes never meets.
    connection.sock = _Timed(raw, time.monotonic() + timeout)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {**request.headers, "Host": _authority(parts.netloc), "Connection": "close"}
    try:
        try:
            connection.request(request.method, target, request.body, headers)
        except ValueError:
            # A wrong header or path, before anything is sent. The error's text quotes it, and is left out.
            msg = "a header or the path is not what HTTP allows"
            raise NoRequest(msg) from None
        answer = connection.getresponse()
        body = answer.read(limit + 1)
        # read(n) returns the same for a complete answer and one that was cut off. What is left of the announced length
        # tells them apart. Reading on would reserve as much memory as the other side has announced.
        if len(body) <= limit and answer.length:
            raise http.client.IncompleteRead(b"")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unanswered(_describe(error)) from None
    finally:
        raw.close()
        connection.close()
    if len(body) > limit:
        msg = f"an answer of more than {limit} bytes"
        raise TooLarge(msg)
    return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


def _connect(host: str, port: int, end: float, *, tls: bool) -> socket.socket:
    """Connect, TLS included, until ``end``. After that no connection is used, for nothing may be sent later.

    The addresses of a host share the time, so that a dead address does not use up the time of the next.
    """
    last: OSError = TimeoutError()
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for index, (family, kind, protocol, _, address) in enumerate(found):
        now = time.monotonic()
        if now >= end:
            break
        raw = socket.socket(family, kind, protocol)
        try:
            raw.settimeout((end - now) / (len(found) - index))
            raw.connect(address)
            if tls:
                raw.settimeout(max(end - time.monotonic(), 0.001))
                raw = _tls().wrap_socket(raw, server_hostname=host)
        except OSError as error:
            raw.close()
            last = error
        else:
            return raw
    raise last


@cache
def _tls() -> ssl.SSLContext:
    """The context that checks certificates and host names. Made once, because it reads all authorities."""
    return ssl.create_default_context()


def _authority(netloc: str) -> str:
    return netloc.rpartition("@")[2]


def _describe(error: Exception) -> str:
    """Describe an error without what was sent, because errors are logged and shown."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer was cut off"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


class _Timed:
    """The part of a socket that http.client needs, with one deadline for everything."""

    def __init__(self, raw: socket.socket, end: float) -> None:
        self._raw = raw
        self._end = end

    def _arm(self) -> socket.socket:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._raw.settimeout(left)
        return self._raw

    def sendall(self, data: Any) -> None:
        """Send everything. A socket applies its time-out to all parts together."""
        self._arm().sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """The file that the answer is read from."""
        assert mode == "rb"
        return io.BufferedReader(_TimedReader(self._arm))

    def close(self) -> None:
        """Do nothing: ``exchange`` closes the socket."""


class _TimedReader(io.RawIOBase):
    def __init__(self, arm: Any) -> None:
        self._arm = arm

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return int(self._arm().recv_into(buffer))
