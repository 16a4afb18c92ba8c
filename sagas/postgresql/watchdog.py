"""Ends sessions whose server does not answer for too long, because it is stopped or its disk has stalled.

Neither the server's time-outs nor those of TCP help then: the kernel of a stopped server still acknowledges packets.
So each wait has a limit, and a thread of this process shuts the socket down when the limit is over. The driver then
reports a lost connection, as if the server had died.

The driver must release the GIL while it waits, as psycopg does, or yield to gevent.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from sagas import runtime
from sagas.postgresql.driver import driver

logger = logging.getLogger(__name__)

#: Seconds between two checks. A wait ends at most this long after its limit.
PERIOD = 0.25
#: Seconds without waits after which the thread ends. The next wait starts a new thread.
IDLE = 20.0


class Watch:
    """A context manager around one wait for a server's answer.

    Args:
        session: the driver's connection; it has a method ``fileno``.
        name: alias of the database, for the log.
        seconds: limit of the wait; ``None`` for no limit.
    """

    __slots__ = ("name", "seconds", "session", "until")

    def __init__(self, session: Any, name: str, seconds: float | None) -> None:
        self.session = session
        self.name = name
        self.seconds = seconds
        self.until = 0.0

    def __enter__(self) -> None:
        seconds = self.seconds
        most = getattr(_limit, "seconds", None)
        if most is not None and (seconds is None or most < seconds):
            seconds = most
        if seconds is not None:
            self.until = time.monotonic() + seconds
            _watchdog().watch(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.until:
            _watchdog().leave(self)
        if error is not None:
            driver.interrupted(self.session, error)


_limit = threading.local()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Limit the waits of this thread inside the block."""
    before = getattr(_limit, "seconds", None)
    _limit.seconds = seconds if before is None else min(seconds, before)
    try:
        yield
    finally:
        _limit.seconds = before


class Watchdog:
    """The thread and the waits that it watches."""

    def __init__(self) -> None:
        # The lock also ensures that a socket which is shut down still belongs to the session that waits.
        self._lock = threading.Lock()
        self._waits: set[Watch] = set()
        self._alive = False

    def watch(self, wait: Watch) -> None:
        """End its session when its time is over, unless it has left by then."""
        with self._lock:
            self._waits.add(wait)
            if not self._alive:
                self._alive = True
                threading.Thread(target=self._work, name="sagas-watchdog", daemon=True).start()

    def leave(self, wait: Watch) -> None:
        """Watch it no more."""
        with self._lock:
            self._waits.discard(wait)

    def _work(self) -> None:
        busy_at = time.monotonic()
        while True:
            time.sleep(PERIOD)
            now = time.monotonic()
            with self._lock:
                for wait in [wait for wait in self._waits if wait.until <= now]:
                    self._waits.discard(wait)
                    _cut(wait, now)
                if self._waits:
                    busy_at = now
                elif now - busy_at > IDLE:
                    self._alive = False
                    return


def _cut(wait: Watch, now: float) -> None:
    waited = now - wait.until + (wait.seconds or 0.0)
    logger.warning("sagas: the database %r has said nothing for %.1f s: its session is ended", wait.name, waited)
    # The session may have been closed in the meantime.
    with suppress(Exception), socket.socket(fileno=os.dup(wait.session.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)


def _watchdog() -> Watchdog:
    found = runtime.own.watchdog
    return found if found is not None else _new_watchdog(runtime.own)


def _new_watchdog(own: runtime.Own) -> Watchdog:
    with own.lock:
        if own.watchdog is None:
            own.watchdog = Watchdog()
        return own.watchdog
