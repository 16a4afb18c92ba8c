"""Watches a participant while it is called: what it does that no rollback takes back, and whose clock it reads."""

from __future__ import annotations

import _socket
import re
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.mail import EmailMessage
from django.db import connections
from django.db.backends.signals import connection_created

from sagas.testing.usual import Usual

See = Callable[[Usual, str], None]

_ENDS = re.compile(
    r"\s*(COMMIT|ROLLBACK(?!\s+(WORK\s+|TRANSACTION\s+)?TO)|BEGIN|START\s+TRANSACTION|END|ABORT|PREPARE\s+T)\b", re.I
)
_WRITES = re.compile(
    r"[\s(]*(INSERT|UPDATE|DELETE|MERGE|TRUNCATE|COPY|CREATE|ALTER|DROP|CALL|DO|WITH\b.*\b(INSERT\s+INTO|UPDATE\s+\S+|DELETE\s+FROM))\b",
    re.I | re.S,
)
_SENDS = {"send", "sendall", "sendto", "sendmsg", "connect", "connect_ex"}
_CLOCKS = {"now", "utcnow", "today"}
_TIMES = {"time", "time_ns"}
_LIBRARIES = tuple({*(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))})
_ENGINE = str(Path(__file__).parent.parent)
_TIMEZONE = "django/utils/timezone.py"
_LOGGING = f"{sysconfig.get_paths()['stdlib']}/logging/"


class CommittedByItself(BaseException):
    """Raised in the place of a COMMIT that would take the whole test with it. Nobody catches it but who watches."""


@contextmanager
def watched(database: str, see: See) -> Iterator[None]:
    """Say what whoever is called inside does that it should not.

    Args:
        database: alias of the database in which it may write.
        see: is told.
    """
    thread = threading.get_ident()

    def statement(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        text, alias = str(sql), context["connection"].alias
        if _ENDS.match(text):
            see(Usual.COMMITS, f"it executes {_short(text)}")
            raise CommittedByItself
        if alias != database and _WRITES.match(text):
            see(Usual.OUTSIDE, f"it writes in the database {alias!r}: {_short(text)}")
        return execute(sql, params, many, context)

    def opened(connection: Any, **_: object) -> None:
        if threading.get_ident() != thread or connection is not connections[connection.alias]:
            see(Usual.OUTSIDE, f"it opens a connection of its own to the database {connection.alias!r}")

    profile = _Profile(see)
    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(statement))
        connection_created.connect(opened, weak=False)
        stack.callback(connection_created.disconnect, opened)
        stack.callback(threading.setprofile, threading.getprofile())
        stack.callback(sys.setprofile, sys.getprofile())
        threading.setprofile(profile)
        sys.setprofile(profile)
        yield


class _Profile:
    """Sees the calls of functions: of those in C, which can be replaced by nobody, too."""

    def __init__(self, see: See) -> None:
        self._see = see
        self._drivers = {id(c.connection) for c in connections.all(initialized_only=True) if c.connection is not None}

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            if frame.f_code is EmailMessage.send.__code__:
                self._see(Usual.OUTSIDE, "it sends mail")
            return
        if event != "c_call":
            return
        name = getattr(arg, "__name__", "")
        owner = getattr(arg, "__self__", None)
        if (name in _SENDS and isinstance(owner, _socket.socket)) or _is_tls(name, owner):
            # What is told to a log server is no effect.
            if not _is_logged(frame):
                self._see(Usual.OUTSIDE, f"it speaks to another system over a socket, from {_place(_caller(frame))}")
        elif name in {"commit", "rollback"} and id(owner) in self._drivers:
            self._see(Usual.COMMITS, f"it calls {name}() of the driver's connection, from {_place(frame)}")
            raise CommittedByItself
        elif name == "_connect" and getattr(arg, "__module__", "") == "psycopg2._psycopg":
            if not _is_djangos(frame):
                self._see(Usual.OUTSIDE, f"it opens a connection of its own, from {_place(_caller(frame))}")
        elif (name in _CLOCKS and isinstance(owner, type) and issubclass(owner, date)) or (
            name in _TIMES and getattr(owner, "__name__", "") == "time"
        ):
            reader = _reader(frame)
            if reader is not None:
                self._see(Usual.CLOCK, f"it asks {name}() at {_place(reader)}")


def _is_tls(name: str, owner: object) -> bool:
    return name == "write" and type(owner).__module__ == "_ssl"


def _reader(frame: FrameType | None) -> FrameType | None:
    """The project's own line that asks for the time; a library that does it may have its reasons."""
    while frame is not None and frame.f_code.co_filename.endswith(_TIMEZONE):
        frame = frame.f_back
    return frame if frame is not None and _is_own(frame) else None


def _caller(frame: FrameType) -> FrameType:
    """The nearest line of the project's own, if there is one."""
    found: FrameType | None = frame
    while found is not None and not _is_own(found):
        found = found.f_back
    return found or frame


def _is_own(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return not file.startswith((*_LIBRARIES, _ENGINE, "<"))


def _is_logged(frame: FrameType | None) -> bool:
    return any(one.f_code.co_filename.startswith(_LOGGING) for one in _stack(frame))


def _is_djangos(frame: FrameType | None) -> bool:
    return any(one.f_code.co_filename.endswith("django/db/backends/base/base.py") for one in _stack(frame))


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _place(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _short(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= 80 else f"{text[:79]}…"
