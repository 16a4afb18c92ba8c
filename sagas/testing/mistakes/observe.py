"""Observes a participant during a call: effects that cannot be rolled back, ends of transactions, and clocks."""

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

from sagas.postgresql.driver import driver
from sagas.testing.mistakes.catalogue import MistakeKind
from sagas.testing.mistakes.cursors import is_observed, observed_cursors, transaction_ending_text
from sagas.testing.mistakes.lines import (
    ProjectLines,
    frame_location,
    is_djangos_connection,
    is_for_engine,
    is_logged,
)
from sagas.testing.mistakes.statements import ends_transaction, short, writes

Report = Callable[[MistakeKind, str], None]

_SOCKET_METHODS = frozenset({"send", "sendall", "sendto", "sendmsg", "connect", "connect_ex"})
_CLOCKS = frozenset({"now", "utcnow", "today"})
_TIME_FUNCTIONS = frozenset({"time", "time_ns"})
#: They read the clock only if they are called without an argument.
_TIME_CONVERSIONS = frozenset({"localtime", "gmtime", "ctime"})
#: Methods of the driver's connection that end a transaction. ``__exit__`` is that of ``with connection.connection:``.
_ENDING_METHODS = frozenset({"commit", "rollback", "reset", "close", "__exit__"})
#: Functions of the two drivers that open a connection.
_CONNECTING = frozenset({"_connect", "connect"})
_CLOSE = inspect.unwrap(BaseDatabaseWrapper.close).__code__
_ON_COMMIT = BaseDatabaseWrapper.on_commit.__code__


class TransactionEnded(BaseException):
    """Raised instead of a COMMIT that would commit the whole test. As a ``BaseException`` it is rarely caught."""


@contextmanager
def observed(database: str, report: Report, lines: ProjectLines) -> Iterator[None]:
    """Report mistakes of the code that is called inside the block.

    Args:
        database: alias of the database in which the code may write.
        report: called with each mistake.
        lines: recognizes lines of the project.

    Raises:
        TransactionEnded: the code tried to end the transaction.
    """
    thread = threading.get_ident()
    profile = _Profile(report, lines)

    def statement_observer(alias: str) -> Callable[[str], None]:
        def observe(text: str) -> None:
            if profile.ended:
                return
            if ends_transaction(text):
                profile.prevent_commit(f"it executes {short(text)}")
            if alias != database and writes(text):
                report(MistakeKind.OUTSIDE_EFFECT, f"it writes in the database {alias!r}: {short(text)}")

        return observe

    def connection_opened(connection: Any, **_: object) -> None:
        if threading.get_ident() != thread or connection is not connections[connection.alias]:
            report(MistakeKind.OUTSIDE_EFFECT, f"it opens a connection of its own to the database {connection.alias!r}")
        else:
            observe_connection(connection)

    with ExitStack() as stack:

        def observe_connection(connection: Any) -> None:
            profile.sessions.add(id(connection.connection))
            stack.enter_context(observed_cursors(connection.connection, statement_observer(connection.alias)))

        for connection in connections.all(initialized_only=True):
            if connection.connection is not None:
                observe_connection(connection)
        connection_created.connect(connection_opened, weak=False)
        stack.callback(connection_created.disconnect, connection_opened)
        stack.callback(threading.setprofile, threading.getprofile())
        stack.callback(sys.setprofile, sys.getprofile())
        stack.callback(profile.end)
        stack.callback(profile.defer_connection_exits)
        threading.setprofile(profile)
        sys.setprofile(profile)
        yield
    if profile.commit_prevented:
        # The participant may have caught the exception: raise it again.
        raise TransactionEnded


def _exit_after_block(wrapper: Any, session: Any) -> None:
    def set_autocommit(*args: Any, **more: Any) -> None:
        # Called when Django leaves its outermost block, after the rollback: there is nothing to commit.
        del wrapper.set_autocommit
        if wrapper.connection is session:
            driver.leave(session)
        wrapper.set_autocommit(*args, **more)

    wrapper.set_autocommit = set_autocommit


class _Profile:
    """A profile function. It is called for all calls, also for those of C functions, which cannot be patched.

    Attributes:
        sessions: ids of the driver's connections that belong to Django.
        commit_prevented: whether a COMMIT was prevented.
        ended: whether the observation has ended.
        entered: connections of the driver that were used in a ``with`` block whose end was prevented.
    """

    def __init__(self, report: Report, lines: ProjectLines) -> None:
        self.sessions: set[int] = set()
        self.commit_prevented = False
        self.ended = False
        self.entered: list[Any] = []
        self._report = report
        self._lines = lines
        self._known: set[CodeType] = set()

    def end(self) -> None:
        """End the observation. Threads that were started meanwhile still call this object."""
        self.ended = True

    def defer_connection_exits(self) -> None:
        """Arrange that prevented ends of ``with`` blocks happen after the test's transaction.

        If they happened now, they would end the transaction. If they never happened, psycopg2 would begin a transaction
        with each statement of later tests.
        """
        for wrapper in connections.all(initialized_only=True):
            if any(wrapper.connection is session for session in self.entered):
                _exit_after_block(wrapper, wrapper.connection)

    def prevent_commit(self, description: str) -> None:
        """Prevent a COMMIT and report the mistake."""
        self.commit_prevented = True
        self._report(MistakeKind.COMMITS, description)
        raise TransactionEnded

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if self.ended:
            sys.setprofile(None)
        elif event == "call":
            self._called(frame)
        elif event == "c_call":
            self._called_in_c(frame, getattr(arg, "__name__", ""), getattr(arg, "__self__", None), arg)

    def _called(self, frame: FrameType) -> None:
        code = frame.f_code
        if code is _ON_COMMIT:
            if not is_for_engine(frame):
                location = frame_location(self._lines.project_caller(frame))
                self._report(
                    MistakeKind.OUTSIDE_EFFECT, f"it leaves something to be done after the commit, from {location}"
                )
        elif code is _CLOSE:
            own = frame.f_locals["self"]
            if own.in_atomic_block and own is connections[own.alias]:
                self.prevent_commit(
                    f"it closes the connection, from {frame_location(self._lines.project_caller(frame))}"
                )
        elif code.co_name == "send_messages":
            if isinstance(frame.f_locals.get("self"), BaseEmailBackend):
                self._report(
                    MistakeKind.OUTSIDE_EFFECT,
                    f"it sends mail, from {frame_location(self._lines.project_caller(frame))}",
                )
        elif code in driver.python_methods:
            self._driver_called(frame, code.co_name, frame.f_locals.get("self"))
        elif code not in self._known:
            self._known.add(code)
            if self._lines.is_own(frame):
                self._report_partial_clocks(frame)

    def _report_partial_clocks(self, frame: FrameType) -> None:
        """Look for a ``partial`` of a clock among the names of a function: its call of a C function is not observed."""
        for name in frame.f_code.co_names:
            value = frame.f_globals.get(name)
            if isinstance(value, partial) and _is_clock(value.func):
                self._report(
                    MistakeKind.READS_CLOCK, f"it calls {value.func.__name__}(), as {name}, at {frame_location(frame)}"
                )

    def _called_in_c(self, frame: FrameType, name: str, owner: Any, function: Any) -> None:
        if (name in _SOCKET_METHODS and isinstance(owner, _socket.socket)) or _is_tls(name, owner):
            # Messages to a log server are no effects.
            if not is_logged(frame):
                location = frame_location(self._lines.project_caller(frame))
                self._report(MistakeKind.OUTSIDE_EFFECT, f"it uses a socket, from {location}")
        elif self._is_of_driver(name, owner, function):
            self._driver_called(frame, name, owner)
        elif _is_clock(function) or name in _TIME_CONVERSIONS:
            clock_reader = self._lines.clock_reader(frame)
            if clock_reader is not None and (name not in _TIME_CONVERSIONS or _called_without_argument(frame, name)):
                self._report(MistakeKind.READS_CLOCK, f"it calls {name}() at {frame_location(clock_reader)}")

    def _is_of_driver(self, name: str, owner: Any, function: Any) -> bool:
        """Whether a function in C is one of psycopg2's that ends a transaction, executes SQL, or connects."""
        return (
            (name in _ENDING_METHODS and id(owner) in self.sessions)
            or (name in driver.executing and isinstance(owner, driver.cursor))
            or (name == "_connect" and getattr(function, "__module__", "") == "psycopg2._psycopg")
        )

    def _driver_called(self, frame: FrameType, name: str, owner: Any) -> None:
        """Note a call of the driver.

        Args:
            frame: its caller; or its own frame, if it is written in Python.
            name: the function's name.
            owner: the cursor or connection whose method it is.
        """
        if isinstance(owner, driver.cursor):
            self._cursor_called(frame, owner)
        elif name in _CONNECTING:
            if not is_djangos_connection(frame):
                self._report(
                    MistakeKind.OUTSIDE_EFFECT,
                    f"it opens a connection of its own, from {frame_location(self._lines.project_caller(frame))}",
                )
        elif id(owner) in self.sessions:
            if name == "__exit__":
                self.entered.append(owner)
            location = frame_location(self._lines.project_caller(frame))
            self.prevent_commit(f"it calls {name}() of the driver's connection, from {location}")

    def _cursor_called(self, frame: FrameType, cursor: Any) -> None:
        if is_djangos_connection(frame):
            return  # the first statements of a new connection
        if id(cursor.connection) not in self.sessions:
            location = frame_location(self._lines.project_caller(frame))
            self._report(MistakeKind.OUTSIDE_EFFECT, f"it uses a connection that is not Django's, from {location}")
        elif not is_observed(cursor) and (text := transaction_ending_text(frame, cursor.connection)):
            self.prevent_commit(f"it executes {short(text)}")


def _is_clock(function: Any) -> bool:
    name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
    if name in _CLOCKS:
        return isinstance(owner, type) and issubclass(owner, date)
    return name in _TIME_FUNCTIONS and getattr(owner, "__name__", "") == "time"


def _called_without_argument(frame: FrameType, name: str) -> bool:
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return re.search(rf"\b{name}\(\s*\)", line) is not None


def _is_tls(name: str, owner: object) -> bool:
    return name == "write" and type(owner).__module__ == "_ssl"
