"""What a database error means: whose fault it is, and what is to be done.

Every SQLSTATE is classified here, once:

=========  ===================================================  ==========================================
kind       SQLSTATE                                             what is done
=========  ===================================================  ==========================================
collision  40001, 40P01, 55P03                                  the same again: nothing was done
lost       08…, 57P…, 25P03, 25P04, 40003, F0…; no code         the session is closed, the same delivery
                                                                comes again
unfit      25006 (it only reads: a failover), 25004 (not READ   the same
           COMMITTED)
cancelled  57014                                                halves travel; alone, the lease brings it
trouble    53…, 57…, 58…, XX…                                   neighbours go on, the run waits a while
fault      all others                                           the run's own: counts as an attempt
=========  ===================================================  ==========================================

None but the last is anybody's fault: it never counts as an attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto
from functools import update_wrapper
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.db import Error as DjangoError


class ErrorKind(Enum):
    """Whose fault a database error is."""

    #: Two transactions met, and this one was rolled back for it. The same again may succeed.
    COLLISION = auto()
    #: The session is gone, so that the outcome is unknown.
    LOST = auto()
    #: The session is there, and is no place to write at: on a server that only reads, or at another isolation level.
    UNFIT = auto()
    #: The statement was cancelled: it took too long, or an administrator was tired of it.
    CANCELLED = auto()
    #: The server is there, and cannot do it: no room, no memory, a broken disk.
    TROUBLE = auto()
    #: What was asked is wrong, or what it was asked of.
    FAULT = auto()


#: Serialization failure, deadlock, lock time-out.
_COLLISIONS = frozenset({"40001", "40P01", "55P03"})
#: By code: the server has ended the session, for nothing was asked of it in mid-transaction for too long, or for the
#: transaction took too long (mostly libpq only finds the socket closed); whether it has committed it cannot say.
_LOST = frozenset({"25P03", "25P04", "40003"})
#: It takes no writes, as a server that is no primary any more; it is at another isolation level than the engine.
_UNFIT = frozenset({"25006", "25004"})
#: By class: no connection; a server that is shutting down or starting; a broken configuration.
_LOST_CLASSES = ("08", "57P", "F0")
#: Statement time-out, or a request to cancel.
_CANCELLED = "57014"
#: By class: insufficient resources, operator intervention, errors of the system, errors of PostgreSQL itself.
_TROUBLE_CLASSES = ("53", "57", "58", "XX")


class ConnectionLost(Exception):
    """The database cannot be worked with, nor may it be known what it has committed. Deliver the same again."""


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of an error of Django's or of its driver's; ``None`` if the server has not given one."""
    # A participant may use the driver's own cursor, and raise the driver's own errors.
    drivers = error.__cause__ if isinstance(error, DjangoError) else error
    # psycopg 2 and 3.
    code = getattr(drivers, "pgcode", None) or getattr(drivers, "sqlstate", None)
    return code if isinstance(code, str) else None


def describe_error(error: BaseException) -> str:
    """What the server has said, in one line, with its SQLSTATE: for logs and for people."""
    if isinstance(error, ConnectionLost) and error.__cause__ is not None:
        return describe_error(error.__cause__)
    # A set-based participant's is wrapped once more.
    error = getattr(error, "error", error)
    lines = str(error).strip().splitlines()
    code = sqlstate(error)
    return f"{type(error).__name__}{f' {code}' if code else ''}: {lines[0] if lines else 'no text'}"


def classify_error(error: BaseException, using: str = DEFAULT_DB_ALIAS) -> ErrorKind:
    """Whose fault an error is.

    Args:
        error: what was raised.
        using: alias of the database on whose connection it was raised.
    """
    code = sqlstate(error)
    if code is None:
        return _without_a_code(error, using)
    if code in _COLLISIONS:
        return ErrorKind.COLLISION
    if code in _LOST or code.startswith(_LOST_CLASSES):
        return ErrorKind.LOST
    if code in _UNFIT:
        return ErrorKind.UNFIT
    if code == _CANCELLED:
        return ErrorKind.CANCELLED
    if code.startswith(_TROUBLE_CLASSES):
        return ErrorKind.TROUBLE
    # What it has no word for, such as a password that has changed, is as lost where it has come of connecting.
    return ErrorKind.LOST if isinstance(error, OperationalError) and is_disconnected(using) else ErrorKind.FAULT


def _without_a_code(error: BaseException, using: str) -> ErrorKind:
    """Of an error of which the server knows nothing: libpq has lost the socket, or was never connected."""
    if isinstance(error, OperationalError | InterfaceError):
        return ErrorKind.LOST
    # What Django raises where a participant has closed the connection under its own transaction.
    return ErrorKind.LOST if isinstance(error, DatabaseError) and is_disconnected(using) else ErrorKind.FAULT


def is_lock_timeout(error: BaseException) -> bool:
    """Whether a lock was not got in time, or with NOWAIT at all: a collision, but the same again would wait again."""
    return isinstance(error, DjangoError) and sqlstate(error) == "55P03"


def is_idle_timeout(error: BaseException) -> bool:
    """Whether the server has said that it ended the session because nothing was asked of it for too long."""
    return isinstance(error, DjangoError) and sqlstate(error) == "25P03"


def is_soft_time_limit(error: BaseException) -> bool:
    """Whether Celery's soft time limit ended the work: of all that was to be done in that time, not of one run."""
    return isinstance(error, SoftTimeLimitExceeded)


def is_other_database_lost(error: BaseException, using: str) -> bool:
    """Whether an error tells that some other database is away than this one, on which the transaction still stands.

    Ask inside the transaction: behind it Django may have connected anew.
    """
    # The driver marks the connection of which it has lost the socket.
    lost = isinstance(error, DjangoError) and error.__cause__ is not None and sqlstate(error) is None
    return lost and not is_disconnected(using)


def is_conflict(error: BaseException) -> bool:
    """Whether two transactions met, and this one was rolled back for it."""
    return classify_error(error) is ErrorKind.COLLISION


def is_lost(error: BaseException, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether the session is of no more use: the outcome may be unknown. Close it, and do the same on another."""
    return classify_error(error, using) in {ErrorKind.LOST, ErrorKind.UNFIT}


def is_transient(error: BaseException, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether an error is the database's, and not the fault of whoever has asked: the same may succeed later."""
    return classify_error(error, using) is not ErrorKind.FAULT


def close_session(using: str = DEFAULT_DB_ALIAS) -> None:
    """Close the session after an error that was nobody's fault: the next one is new, and finds the primary.

    Not under a transaction of the caller's, who has yet to hear of the error.
    """
    if not connections[using].in_atomic_block:
        connections[using].close()


def is_disconnected(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether there is no connection to this database now."""
    # Not is_usable(): it asks by a query, which fails in any transaction that an error has aborted.
    raw = connections[using].connection
    return raw is None or bool(raw.closed)


# Statements and transactions ----------------------------------------------------------------------------------


def uuid_array(ids: Iterable[UUID]) -> str:
    """Write an array of UUIDs for ``%s::uuid[]``. The driver would adapt them one by one, which is slower."""
    return f"{{{','.join(map(str, ids))}}}"


def after_commit(function: Callable[..., object], *args: object) -> None:
    """Call a function as soon as the current transaction is committed, and not if it is rolled back.

    An error of the function is logged, and is not raised: the transaction is committed, and its caller must not be
    told otherwise. The call may be lost: the process may die between the commit and the call.
    """

    def call() -> None:
        function(*args)

    # Django names it when it logs an error. A ``functools.partial`` has no name, and that would be raised instead.
    transaction.on_commit(update_wrapper(call, function), robust=True)
