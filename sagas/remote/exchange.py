"""One HTTP exchange: a request out, an answer in, within a time that nothing the other side does can stretch.

A new connection each time: an answer that a reused one fails to bring says nothing of whether the request was read.
Redirects are not followed, nor are proxies of the environment used: a request goes where it is sent, or nowhere.
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
    """A request could not even be made: its address, a header or its body is wrong."""


class Unanswered(Exception):
    """A request was sent and no whole answer came: whether it took effect is not known."""


class TooLarge(Exception):
    """An answer is longer than the participant may answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """What goes out.

    Attributes:
        method: such as "POST".
        url: where to, "http://…" or "https://…".
        headers: all but those that HTTP itself needs.
        body: its bytes, if it has any.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def exchange(request: Request, *, connect_timeout: float, timeout: float, limit: int) -> Reply:
    """Send a request, and read the answer to its end.

    Args:
        request: what to send.
        connect_timeout: seconds to connect, TLS included.
        timeout: seconds from then to the answer's last byte.
        limit: bytes of the answer's body, at most.

    Raises:
        NotSent: no connection came about.
        NoRequest: nor could it, with this request.
        Unanswered: the answer did not come, or not whole, or was none.
        TooLarge: it is longer than ``limit``.
    """
    parts = urlsplit(request.url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        raw: socket.socket = socket.create_connection((host, port), connect_timeout)
    except (OSError, UnicodeError) as error:
        raise NotSent(_describe(error)) from None
    if parts.scheme == "https":
        try:
            raw = _tls().wrap_socket(raw, server_hostname=host)
        except OSError as error:
            raw.close()
            raise NotSent(_describe(error)) from None
    connection = http.client.HTTPConnection(host, port)
    # http.client sets time-outs for each read; a trickle of bytes would never meet one.
    connection.sock = _Timed(raw, time.monotonic() + timeout)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(
            request.method,
            target,
            request.body,
            {**request.headers, "Host": _authority(parts.netloc), "Connection": "close"},
        )
        answer = connection.getresponse()
        body = answer.read(limit + 1)
        if len(body) <= limit:
            # read(n) does not tell an answer that was cut off from one that is whole.
            body += answer.read()
    except ValueError:
        # Of a header or a path, before anything is sent. Not its text, which quotes them.
        msg = "a header or the path is not what HTTP allows"
        raise NoRequest(msg) from None
    except (OSError, http.client.HTTPException) as error:
        raise Unanswered(_describe(error)) from None
    finally:
        raw.close()
        connection.close()
    if len(body) > limit:
        msg = f"an answer of more than {limit} bytes"
        raise TooLarge(msg)
    return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


@cache
def _tls() -> ssl.SSLContext:
    """Checks certificates and names. Made once: it reads all the authorities."""
    return ssl.create_default_context()


def _authority(netloc: str) -> str:
    return netloc.rpartition("@")[2]


def _describe(error: Exception) -> str:
    """Say what happened without what was sent: errors are logged and shown."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer was cut off"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


class _Timed:
    """As much of a socket as http.client needs, with one end of time for all it does."""

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
        """Send everything; a socket keeps to its time-out over all parts of it."""
        self._arm().sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What the answer is read from."""
        assert mode == "rb"
        return io.BufferedReader(_TimedReader(self._arm))

    def close(self) -> None:
        """Nothing: whoever opened it closes it."""


class _TimedReader(io.RawIOBase):
    def __init__(self, arm: Any) -> None:
        self._arm = arm

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return int(self._arm().recv_into(buffer))
