"""Ends a session whose server says nothing for too long: one that is stopped, or whose disk has stalled.

No time-out of the server's helps there, nor one of TCP's: the kernel of a stopped server still acknowledges what it is
sent. So whoever asks says how long he waits, and a thread of this process shuts the socket down when that is over. The
driver then finds it closed, as if the server had died, and whoever waits goes on.

Needs a driver that waits in C without Python's lock, as psycopg does, or one that yields to gevent.
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

logger = logging.getLogger(__name__)

#: Seconds between two looks. Nobody waits longer than he has said, and this.
PERIOD = 0.25
#: Seconds without any wait, after which the thread ends; the next wait starts another.
IDLE = 20.0


class Watch:
    """A wait for a server's answer, as a context.

    Args:
        session: the driver's connection, which has a ``fileno``.
        name: of the database, for the log.
        seconds: how long it may last; ``None`` for ever.
    """

    __slots__ = ("name", "seconds", "session", "until")

    def __init__(self, session: Any, name: str, seconds: float | None) -> None:
        self.session = session
        self.name = name
        self.seconds = seconds
        self.until = 0.0

    def __enter__(self) -> None:
        """The wait begins."""
        seconds = self.seconds
        most = getattr(_limit, "seconds", None)
        if most is not None and (seconds is None or most < seconds):
            seconds = most
        if seconds is not None:
            self.until = time.monotonic() + seconds
            _dog.watch(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """It is over, one way or the other."""
        if self.until:
            _dog.leave(self)


_limit = threading.local()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Have no wait of this thread last longer inside this block."""
    before = getattr(_limit, "seconds", None)
    _limit.seconds = seconds if before is None else min(seconds, before)
    try:
        yield
    finally:
        _limit.seconds = before


class _Dog:
    """The thread, and what it watches."""

    def __init__(self) -> None:
        # Also: as long as a wait is here, its socket is not another's, for its session is in use.
        self._lock = threading.Lock()
        self._waits: set[Watch] = set()
        self._alive = False

    def watch(self, wait: Watch) -> None:
        with self._lock:
            self._waits.add(wait)
            if not self._alive:
                self._alive = True
                threading.Thread(target=self._work, name="sagas-watchdog", daemon=True).start()

    def leave(self, wait: Watch) -> None:
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
    # It may have been closed this very moment.
    with suppress(Exception), socket.socket(fileno=os.dup(wait.session.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)


_dog = _Dog()


def _forget() -> None:
    """A forked process has none of its parent's threads, and waits for nothing."""
    global _dog  # noqa: PLW0603 - a new one, whose lock nobody holds
    _dog = _Dog()


os.register_at_fork(after_in_child=_forget)
