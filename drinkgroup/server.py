"""The web server: gunicorn keeps the processes, waitress reads the requests.

In each process one loop reads all connections, within deadlines and limits, and hands whole requests to the threads.
A client that sends half a request, or a byte a minute, occupies a connection and no thread. Nor does one whose answer
is deferred (`Deferred`) until something has happened. The server's own refusals are problems (RFC 9457). `Worker` is
gunicorn's ``worker_class``; see ``gunicorn.conf.py``.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from django.conf import settings
from gunicorn.workers.base import Worker as BaseWorker
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer, UnixWSGIServer
from waitress.task import ErrorTask, Task, WSGITask
from waitress.utilities import BadRequest, Error, RequestHeaderFieldsTooLarge

from orders.api.protocol.deferred import DEFERS, LONGEST_WAIT, REFUSED_LATE, Deferred, Watch

logger = logging.getLogger(__name__)

#: Seconds from the connection, or from a request's first byte, to the end of its head, and to the end of its body.
HEAD_WITHIN: Final = 10.0
BODY_WITHIN: Final = 20.0
#: Seconds for which an idle connection is kept: longer than nginx keeps one (60).
KEPT_ALIVE: Final = 75.0
#: Seconds without progress after which the client is taken not to read its answer.
TAKEN_WITHIN: Final = 20.0
#: After a refusal in the middle of a request the server reads for so many seconds, and so many bytes, so that the
#: client gets the answer: a connection that is closed with unread bytes is reset.
LINGER_WITHIN: Final = 5.0
LINGER_BYTES: Final = 32 * 1024 * 1024
#: Bytes of a request's first line, bytes of its head, and connections of one process, which is below the usual limit
#: of open files, 1024.
LINE_LIMIT: Final = 8 * 1024
HEAD_LIMIT: Final = 16 * 1024
CONNECTIONS: Final = 900
#: Of these, those whose answers may be deferred at a time: the others get theirs at once.
DEFERRED: Final = 600
#: Seconds between two checks of the deadlines.
_JUDGED_EVERY: Final = 0.5
#: Seconds for which a stopping process keeps idle connections, for requests that are on their way.
_STOP_LINGER: Final = 1.0
#: Seconds that threads have to finish what they serve when all is closed.
_THREADS_END: Final = 5.0


class RequestTimeout(Error):  # type: ignore[misc]  # waitress has no types
    """The rest of a request did not come in time."""

    code = 408
    reason = "Request Timeout"


class UriTooLong(BadRequest):  # type: ignore[misc]
    """The first line of a request is too long."""

    code = 414
    reason = "URI Too Long"


#: By status: the last part of the problem's type, and its detail.
_PROBLEMS: Final = {
    400: ("bad-request", "The request is malformed."),
    408: ("request-timeout", "The request did not come whole in time."),
    413: ("body-too-large", "The body is larger than 64 KiB."),
    414: ("uri-too-long", f"The request's first line is longer than {LINE_LIMIT // 1024} KiB."),
    431: ("header-too-large", f"The request's head is larger than {HEAD_LIMIT // 1024} KiB."),
    500: ("internal-error", "Something broke on our side; it has been logged."),
    503: ("overloaded", "The order has waited too long for the web. Repeat it with the same Idempotency-Key."),
    501: ("unknown-transfer-encoding", "Bodies come as they are, or in chunks; no other Transfer-Encoding is known."),
}


class _Written:
    """How an answer is written: no body for HEAD, which waitress leaves to the application; and few packets."""

    request: Any
    channel: Any
    chunked_response: bool
    complete: bool
    content_length: int | None
    has_body: bool
    wrote_header: bool
    content_bytes_written: int
    #: waitress' own; it has no types.
    response_headers: list[tuple[str, str]]

    def write(self, data: bytes) -> None:
        """Write head and body at once where that is the whole answer: one packet, for which the client wakes once."""
        if getattr(self.request, "command", "") == "HEAD":
            super().write(b"")  # type: ignore[misc]
            self.chunked_response = False
        elif data and self.complete and self.has_body and not self.wrote_header and self.content_length == len(data):
            head: bytes = self.build_response_header()  # type: ignore[attr-defined]
            self.wrote_header = True
            self.content_bytes_written += len(data)
            self.channel.write_soon(head + data)
        else:
            super().write(data)  # type: ignore[misc]


class _Parked(BaseException):
    """The rest of an answer comes later. No ``except Exception`` of waitress may see it."""


class _Answer(_Written, WSGITask):  # type: ignore[misc]  # waitress has no types
    """An answer of the application, perhaps a deferred one."""

    deferred: Deferred | None = None
    _watch: Watch | None = None

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ["drinkgroup.answer"] = self
        environ[DEFERS] = self.channel.server.may_defer
        return environ

    def execute(self) -> None:
        if self.deferred is None:
            super().execute()
        else:
            self._go_on()

    def defer(self, deferred: Deferred) -> Iterable[bytes]:
        """Give this answer later. Its head is not what the application has said until now."""
        self.deferred = deferred
        deferred.close()
        self.complete, self.response_headers, self.content_length = False, [], None
        self._go_on()
        return ()

    def _go_on(self) -> None:
        if self.deferred is None:
            return
        over = bool(self.channel.server.stopping)
        if not over:
            # Before it is looked at: what changes meanwhile is not missed.
            self._watch = self.deferred.watch(self.channel.go_on)
        piece = self.deferred.resume(over=over)
        if piece is None:
            raise _Parked
        if not self.complete:
            self.complete, self.status, self.response_headers = True, piece.status, list(piece.headers)
            if piece.ends:
                self.content_length = len(piece.data)
        if piece.ends:
            self.abandon()
        self.write(piece.data)
        if not piece.ends:
            self.channel.server.pull_trigger()
            raise _Parked

    def abandon(self) -> None:
        """Nobody waits for the rest."""
        if self._watch is not None:
            self._watch.cancel()


def _problem(status: int, path: str) -> bytes:
    code, detail = _PROBLEMS[status]
    title = code.replace("-", " ").capitalize()
    problem = {"type": f"/problems/{code}", "title": title, "status": status, "detail": detail, "instance": path}
    return json.dumps(problem).encode()


class _Late(_Written, Task):  # type: ignore[misc]
    """The refusal of a request that has waited too long for a thread. The application is spared it."""

    complete = True

    def execute(self) -> None:
        body = _problem(503, self.request.path)
        self.status = "503 Service Unavailable"
        after = str(math.ceil(self.channel.waited()))
        self.response_headers += [("Content-Type", "application/problem+json"), ("Retry-After", after)]
        self.content_length = len(body)
        self.write(body)


class _Refusal(_Written, ErrorTask):  # type: ignore[misc]
    """An answer of the server itself, without the application."""

    def execute(self) -> None:
        error = self.request.error
        body = _problem(error.code, getattr(self.request, "path", "") or "/")
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/problem+json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.channel.refused = True
        self.write(body)


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """A parser that refuses what a proxy might read as another request."""

    error: Any = None

    def received(self, data: bytes) -> int:
        before = self.header_plus
        consumed: int = super().received(data)
        if isinstance(self.error, RequestHeaderFieldsTooLarge) and b"\r\n" not in (before + data)[:LINE_LIMIT]:
            self.error = UriTooLong("")
        if self.error is None and self.headers_finished and len(getattr(self, "first_line", b"")) > LINE_LIMIT:
            self.error, self.completed = UriTooLong(""), True
        if self.error is not None:
            # Nobody waits for what was refused.
            self.expect_continue = False
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding")
        if "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("Transfer-Encoding in HTTP/1.0")


class _Channel(HTTPChannel):  # type: ignore[misc]
    """One connection, with the times from which its deadlines count."""

    request: Any = None
    parser_class = _Parser
    error_task_class = _Refusal
    #: When the first byte of the present request came.
    began = 0.0
    #: Since when the present request waits for a thread, by ``monotonic``; it was read whole by then.
    queued_at = 0.0
    #: Since when it has waited for a next request; ``None`` before the end of the first.
    idle_since: float | None = None
    #: Whether the server itself has refused a request; since when it has read on, and how many bytes.
    refused = False
    lingering_since: float | None = None
    lingered = 0
    #: The deferred answer of the present request; whether no thread is at it; whether it was to go on before that.
    _answer: _Answer | None = None
    _stands = False
    _is_called = False

    def task_class(self, _channel: Any, request: Any) -> Task:
        """The answer to this request: the one that was begun, if it is a deferred one."""
        with self.requests_lock:
            if self._answer is None or self._answer.request is not request:
                if (request.command, request.path) in REFUSED_LATE and self.waited() > LONGEST_WAIT:
                    return _Late(self, request)
                self._answer = _Answer(self, request)
            return self._answer

    def waited(self) -> float:
        """Seconds for which the present request has waited for a thread."""
        return time.monotonic() - self.queued_at

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self.began = time.time()
        taken: bool = super().received(data)
        return taken

    def service(self) -> None:
        if self.server.stopping and self.requests:
            self.requests[0].headers["CONNECTION"] = "close"
        # Also before it: the loop may check the channel between the end of the request and the next line.
        self.idle_since = time.time()
        request = self.requests[0] if self.requests else None
        try:
            super().service()
        except _Parked:
            self._stand()
            return
        self._forget(request)
        self.idle_since = time.time()

    def _forget(self, request: Any) -> None:
        """The request is answered. Another thread may be at the next one already, whose answer stays."""
        with self.requests_lock:
            if self._answer is not None and self._answer.request is request:
                self._answer = None
                self.server.deferred.discard(self)

    def _stand(self) -> None:
        """Wait for ``go_on``, which may have come already."""
        self.server.deferred.add(self)
        with self.requests_lock:
            called, self._is_called = self._is_called, False
            self._stands = not called
        if called:
            self.server.add_task(self)
        elif not self.connected:
            self._abandon()
        else:
            # The loop looks from now on whether the client is still there.
            self.server.pull_trigger()

    def go_on(self) -> None:
        """Have a thread go on with the deferred answer."""
        with self.requests_lock:
            stood, self._stands = self._stands, False
            self._is_called = not stood
        if stood:
            self.server.add_task(self)

    def _abandon(self) -> None:
        """The client is gone."""
        self.server.deferred.discard(self)
        if self._answer is not None:
            self._answer.abandon()

    def readable(self) -> bool:
        if self.lingering_since is not None:
            return not self.will_close
        # While an answer is deferred, the end of the connection is to be noticed.
        return bool(super().readable()) or (self._stands and len(self.requests) == 1 and not self.will_close)

    def handle_read(self) -> None:
        if self.lingering_since is None:
            super().handle_read()
            return
        try:
            # At the end of the stream or of the connection, recv() closes.
            self.lingered += len(self.recv(64 * 1024))
        except OSError:
            self.handle_close()
        if self.lingered > LINGER_BYTES:
            self.handle_close()

    def handle_close(self) -> None:
        if self.refused and self.connected and self.lingering_since is None:
            self.lingering_since = time.time()
            self.will_close = False
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            else:
                return
        super().handle_close()
        self._abandon()

    def judge(self, now: float) -> None:
        """Close the connection if it is over a deadline. Only between two turns, which rely on the open connections."""
        if self.requests:
            return
        if self.request is not None and self.lingering_since is None and not self.close_when_flushed:
            if now > self.began + (BODY_WITHIN if self.request.headers_finished else HEAD_WITHIN):
                self._time_out()
            return
        if self.lingering_since is not None:
            until = self.lingering_since + LINGER_WITHIN
        elif self.total_outbufs_len or self.close_when_flushed:
            until = float(self.last_activity) + TAKEN_WITHIN
        else:
            until = self._kept_until()
        if now > until:
            # Not by will_close, which waits for a client that does not read.
            super().handle_close()

    def _kept_until(self) -> float:
        if self.idle_since is None:
            return float(self.creation_time) + HEAD_WITHIN
        if self.server.stopping:
            return float(self.server.stopping) + _STOP_LINGER
        # Idle connections are closed in favour of active ones.
        return self.idle_since + (0 if self.server.in_connection_overflow else KEPT_ALIVE)

    def _time_out(self) -> None:
        with self.requests_lock:
            request, self.request = self.request, None
            request.error, request.completed = RequestTimeout(""), True
            self.requests.append(request)
        self.server.add_task(self)


class _Server:
    """One listening socket."""

    channel_class = _Channel
    #: Since when the process has been stopping; 0 if it is not stopping.
    stopping = 0.0
    #: The connections of the process whose answers are deferred.
    deferred: set[_Channel]

    @property
    def may_defer(self) -> bool:
        """Whether one more answer may be deferred."""
        return not self.stopping and len(self.deferred) < DEFERRED

    def maintenance(self, now: float) -> None:
        """Do nothing: the loop checks the deadlines."""


class _TcpServer(_Server, TcpWSGIServer):  # type: ignore[misc]
    pass


class _UnixServer(_Server, UnixWSGIServer):  # type: ignore[misc]
    pass


class _Thread(threading.Thread):
    """A thread that calls the application for one request after the other."""

    def __init__(self, threads: Threads, number: int) -> None:
        super().__init__(name=f"web-{number}", daemon=True)
        self._threads = threads
        #: Held while there is nothing to serve.
        self._called = threading.Lock()
        self._called.acquire()
        self._task: Any = None

    def call(self, task: Any) -> None:
        """Wake it, to serve a task; ``None`` ends it."""
        self._task = task
        self._called.release()

    def run(self) -> None:
        """Serve what waits, and then what it is called for."""
        while True:
            task = self._threads.next_for(self)
            if task is None:
                self._called.acquire()
                task, self._task = self._task, None
                if task is None:
                    return
            try:
                task.service()
            except BaseException:
                logger.exception("a request broke its thread, which goes on")


class Threads:
    """The threads that call the application. Of the free ones, that which was busy last is called first.

    So few requests need few threads: their database sessions, and what the processor remembers of them, stay warm. In
    turns, four threads cost a tenth more of the web's time, and of their sessions'.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free: list[_Thread] = []
        self._waiting: deque[Any] = deque()
        self._ends = False
        self._all = [_Thread(self, number) for number in range(count)]
        for thread in self._all:
            thread.start()

    def add_task(self, task: Any) -> None:
        """Have a task served by a free thread, or by the first that will be free."""
        task.queued_at = time.monotonic()
        with self._lock:
            if not self._free:
                self._waiting.append(task)
                return
            thread = self._free.pop()
        thread.call(task)

    def next_for(self, thread: _Thread) -> Any:
        """The task that has waited longest; ``None`` if there is none, and the thread is free from now on."""
        with self._lock:
            if self._ends:
                thread.call(None)
            elif self._waiting:
                return self._waiting.popleft()
            else:
                self._free.append(thread)
        return None

    def shutdown(self) -> None:
        """Cancel what waits, and end the threads, which finish what they serve, for some seconds."""
        with self._lock:
            self._ends = True
            free, self._free = self._free, []
            cancelled, self._waiting = list(self._waiting), deque()
        for task in cancelled:
            task.cancel()
        for thread in free:
            thread.call(None)
        until = time.monotonic() + _THREADS_END
        for thread in self._all:
            thread.join(max(0.0, until - time.monotonic()))


def _deferring(application: Any) -> Any:
    """The application, whose deferred responses are taken from it."""

    def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response: Any = application(environ, start_response)
        if getattr(response, "is_deferred", False):
            answer: _Answer = environ["drinkgroup.answer"]
            return answer.defer(response)
        return response  # type: ignore[no-any-return]  # of WSGI

    return call


class Loop:
    """The loop that reads and writes all connections of a process; threads call the application.

    Args:
        application: a WSGI application.
        listeners: listening sockets.
        threads: how many call the application.
        backlog: connections that may wait to be accepted.
    """

    def __init__(
        self, application: Any, listeners: Iterable[socket.socket], *, threads: int, backlog: int = 1024
    ) -> None:
        adjustments = Adjustments(
            threads=threads,
            connection_limit=CONNECTIONS,
            max_request_header_size=HEAD_LIMIT,
            # Django would refuse it, too; refused here, it is not buffered.
            max_request_body_size=settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1,
            backlog=backlog,
            ident=None,
            # The settings decide whether a proxy's headers are trusted.
            clear_untrusted_proxy_headers=False,
            log_socket_errors=False,
        )
        self._threads = Threads(threads)
        #: Everything that is read and written, by file descriptor.
        self._map: dict[int, Any] = {}
        self._judged = 0.0
        self._servers = [
            (_UnixServer if listener.family == socket.AF_UNIX else _TcpServer)(
                _deferring(application),
                self._map,
                True,
                listener,
                dispatcher=self._threads,
                adj=adjustments,
                sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
                bind_socket=False,
            )
            for listener in listeners
        ]
        deferred: set[_Channel] = set()
        for server in self._servers:
            server.deferred = deferred

    @property
    def connections(self) -> list[Any]:
        """The open connections."""
        return [channel for server in self._servers for channel in server.active_channels.values()]

    def turn(self, *, seconds: float) -> None:
        """Wait, at most so long, for something to read or write; read and write it; check the deadlines."""
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._map, count=1)
        now = time.time()
        if not self._judged <= now < self._judged + _JUDGED_EVERY:
            self._judged = now
            for channel in self.connections:
                channel.judge(now)

    def wake(self) -> None:
        """End a waiting turn; callable from a signal handler."""
        for server in self._servers:
            server.pull_trigger()

    def stop(self) -> None:
        """Accept no new connections. Open ones end after their present request, or soon."""
        for server in self._servers:
            server.accepting, server.stopping = False, time.time()
        for channel in [channel for server in self._servers[:1] for channel in server.deferred]:
            channel.go_on()

    def close(self) -> None:
        """Close everything, and end the idle threads."""
        self._threads.shutdown()
        wasyncore.close_all(self._map)


class Worker(BaseWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's worker: a process whose main thread reads and writes, and whose other threads call the application."""

    _loop: Loop | None = None

    def run(self) -> None:
        """Serve until SIGTERM, or until the parent is gone; then finish the present requests."""
        sockets = [listener.sock for listener in self.sockets]
        self._loop = loop = Loop(self.wsgi, sockets, threads=self.cfg.threads, backlog=self.cfg.backlog)
        while self.alive and self.ppid == os.getppid():
            self.notify()
            loop.turn(seconds=1.0)
        loop.stop()
        until = time.time() + self.cfg.graceful_timeout
        while loop.connections and time.time() < until:
            self.notify()
            loop.turn(seconds=0.1)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: wake the loop, which would otherwise notice only within a second."""
        super().handle_exit(sig, frame)
        if self._loop:
            self._loop.wake()
