"""Watches a participant during a call: effects that no rollback takes back, ends of transactions, and clocks."""

from __future__ import annotations

import _socket
import inspect
import linecache
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import partial
from types import CodeType, FrameType
from typing import Any

from django.core.mail.backends.base import BaseEmailBackend
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from psycopg2.extensions import cursor as Cursor

from sagas.testing.mistakes.catalogue import Usual
from sagas.testing.mistakes.cursors import TOLD, is_looked_at, looked_at, text_that_ends
from sagas.testing.mistakes.lines import (
    Lines,
    is_djangos_connection,
    is_for_engine,
    is_logged,
    place,
)
from sagas.testing.mistakes.statements import ends_transaction, short, writes

See = Callable[[Usual, str], None]

_SENDS = frozenset({"send", "sendall", "sendto", "sendmsg", "connect", "connect_ex"})
_CLOCKS = frozenset({"now", "utcnow", "today"})
_TIMES = frozenset({"time", "time_ns"})
#: They read the clock only if they are called without an argument.
_TIMES_OF = frozenset({"localtime", "gmtime", "ctime"})
#: Methods of the driver's connection that end a transaction. ``__exit__`` is that of ``with connection.connection:``.
_FINISHES = frozenset({"commit", "rollback", "reset", "close", "__exit__"})
_CLOSE = inspect.unwrap(BaseDatabaseWrapper.close).__code__
_ON_COMMIT = BaseDatabaseWrapper.on_commit.__code__


class CommittedByItself(BaseException):
    """Raised instead of a COMMIT that would commit the whole test. As a ``BaseException`` it is rarely caught."""


@contextmanager
def watched(database: str, see: See, lines: Lines) -> Iterator[None]:
    """Report mistakes of the code that is called inside the block.

    Args:
        database: alias of the database in which the code may write.
        see: called with each mistake.
        lines: recognizes lines of the project.

    Raises:
        CommittedByItself: the code tried to end the transaction.
    """
    thread = threading.get_ident()
    profile = _Profile(see, lines)

    def look(alias: str) -> Callable[[str], None]:
        def at(text: str) -> None:
            if profile.over:
                return
            if ends_transaction(text):
                profile.stop(f"it executes {short(text)}")
            if alias != database and writes(text):
                see(Usual.OUTSIDE, f"it writes in the database {alias!r}: {short(text)}")

        return at

    def opened(connection: Any, **_: object) -> None:
        if threading.get_ident() != thread or connection is not connections[connection.alias]:
            see(Usual.OUTSIDE, f"it opens a connection of its own to the database {connection.alias!r}")
        else:
            watch(connection)

    with ExitStack() as stack:

        def watch(connection: Any) -> None:
            profile.drivers.add(id(connection.connection))
            stack.enter_context(looked_at(connection.connection, look(connection.alias)))

        for connection in connections.all(initialized_only=True):
            if connection.connection is not None:
                watch(connection)
        connection_created.connect(opened, weak=False)
        stack.callback(connection_created.disconnect, opened)
        stack.callback(threading.setprofile, threading.getprofile())
        stack.callback(sys.setprofile, sys.getprofile())
        stack.callback(profile.end)
        stack.callback(profile.leave_later)
        threading.setprofile(profile)
        sys.setprofile(profile)
        yield
    if profile.stopped:
        # The participant may have caught the exception: raise it again.
        raise CommittedByItself


def _when_it_is_over(wrapper: Any, driver: Any) -> None:
    def set_autocommit(*args: Any, **more: Any) -> None:
        # Called when Django leaves its outermost block, after the rollback: there is nothing to commit.
        del wrapper.set_autocommit
        if wrapper.connection is driver:
            driver.__exit__(None, None, None)
        wrapper.set_autocommit(*args, **more)

    wrapper.set_autocommit = set_autocommit


class _Profile:
    """A profile function, which sees all calls, also those of C functions, which cannot be patched.

    Attributes:
        drivers: ids of the driver's connections that belong to Django.
        stopped: whether a COMMIT was prevented.
        over: whether the watching has ended.
        entered: connections of the driver that were used in a ``with`` block whose end was prevented.
    """

    def __init__(self, see: See, lines: Lines) -> None:
        self.drivers: set[int] = set()
        self.stopped = False
        self.over = False
        self.entered: list[Any] = []
        self._see = see
        self._lines = lines
        self._known: set[CodeType] = set()

    def end(self) -> None:
        """End the watching. Threads that were started meanwhile still call this object."""
        self.over = True

    def leave_later(self) -> None:
        """Arrange that prevented ends of ``with`` blocks happen after the test's transaction.

        If they happened now, they would end the transaction. If they never happened, psycopg2 would begin a transaction
        with each statement of later tests.
        """
        for wrapper in connections.all(initialized_only=True):
            if any(wrapper.connection is driver for driver in self.entered):
                _when_it_is_over(wrapper, wrapper.connection)

    def stop(self, seen: str) -> None:
        """Prevent a COMMIT and report the mistake."""
        self.stopped = True
        self._see(Usual.COMMITS, seen)
        raise CommittedByItself

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if self.over:
            sys.setprofile(None)
        elif event == "call":
            self._called(frame)
        elif event == "c_call":
            self._called_in_c(frame, getattr(arg, "__name__", ""), getattr(arg, "__self__", None), arg)

    def _called(self, frame: FrameType) -> None:
        code = frame.f_code
        if code is _ON_COMMIT:
            if not is_for_engine(frame):
                at = place(self._lines.caller(frame))
                self._see(Usual.OUTSIDE, f"it leaves something to be done after the commit, from {at}")
        elif code is _CLOSE:
            own = frame.f_locals["self"]
            if own.in_atomic_block and own is connections[own.alias]:
                self.stop(f"it closes the connection, from {place(self._lines.caller(frame))}")
        elif code.co_name == "send_messages":
            if isinstance(frame.f_locals.get("self"), BaseEmailBackend):
                self._see(Usual.OUTSIDE, f"it sends mail, from {place(self._lines.caller(frame))}")
        elif code not in self._known:
            self._known.add(code)
            if self._lines.is_own(frame):
                self._look_for_clocks(frame)

    def _look_for_clocks(self, frame: FrameType) -> None:
        """Look for a ``partial`` of a clock among the names of a function: its call of a C function is not seen."""
        for name in frame.f_code.co_names:
            value = frame.f_globals.get(name)
            if isinstance(value, partial) and _is_clock(value.func):
                self._see(Usual.CLOCK, f"it asks {value.func.__name__}(), as {name}, at {place(frame)}")

    def _called_in_c(self, frame: FrameType, name: str, owner: Any, function: Any) -> None:
        if (name in _SENDS and isinstance(owner, _socket.socket)) or _is_tls(name, owner):
            # Messages to a log server are no effects.
            if not is_logged(frame):
                at = place(self._lines.caller(frame))
                self._see(Usual.OUTSIDE, f"it speaks to another system over a socket, from {at}")
        elif name in _FINISHES and id(owner) in self.drivers:
            if name == "__exit__":
                self.entered.append(owner)
            self.stop(f"it calls {name}() of the driver's connection, from {place(frame)}")
        elif name in TOLD and isinstance(owner, Cursor):
            self._told(frame, owner)
        elif name == "_connect" and getattr(function, "__module__", "") == "psycopg2._psycopg":
            if not is_djangos_connection(frame):
                self._see(Usual.OUTSIDE, f"it opens a connection of its own, from {place(self._lines.caller(frame))}")
        elif _is_clock(function) or name in _TIMES_OF:
            reader = self._lines.reader(frame)
            if reader is not None and (name not in _TIMES_OF or _asks_without_a_time(frame, name)):
                self._see(Usual.CLOCK, f"it asks {name}() at {place(reader)}")

    def _told(self, frame: FrameType, cursor: Any) -> None:
        if is_djangos_connection(frame):
            return  # the first statements of a new connection
        if id(cursor.connection) not in self.drivers:
            at = place(self._lines.caller(frame))
            self._see(Usual.OUTSIDE, f"it uses a connection that is not Django's, from {at}")
        elif not is_looked_at(cursor) and (text := text_that_ends(frame, cursor.connection)):
            self.stop(f"it executes {short(text)}")


def _is_clock(function: Any) -> bool:
    name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
    if name in _CLOCKS:
        return isinstance(owner, type) and issubclass(owner, date)
    return name in _TIMES and getattr(owner, "__name__", "") == "time"


def _asks_without_a_time(frame: FrameType, name: str) -> bool:
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return re.search(rf"\b{name}\(\s*\)", line) is not None


def _is_tls(name: str, owner: object) -> bool:
    return name == "write" and type(owner).__module__ == "_ssl"
