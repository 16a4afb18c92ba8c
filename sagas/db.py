"""What a database error means and what the engine does about it; calls after the commit; arrays.

Every SQLSTATE is classified here, once:

=========  ===================================================  ==========================================
kind       SQLSTATE                                             what the engine does
=========  ===================================================  ==========================================
collision  40001, 40P01, 55P03; 26000, 42P05 (a prepared        the same again: nothing was done
           statement that the session does not know); 0A000 if
           a migration has changed its tables
lost       08…, 57P…, 25P03, 25P04, 40003, F0…; no code         closes the session; the delivery comes again
unfit      25006 (read-only, after a failover), 25004 (not      as for lost
           READ COMMITTED)
cancelled  57014                                                delivers in halves; a single run waits for its
                                                                lease
trouble    53…, 57…, 58…, XX…                                   other runs go on, the run waits a while
fault      all others                                           counts a failed attempt of the run
=========  ===================================================  ==========================================

Only a fault counts as an attempt: the others are no fault of the run or its participant.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from enum import Enum, auto
from functools import update_wrapper
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.db import Error as DjangoError

logger = logging.getLogger(__name__)


class ErrorKind(Enum):
    """What a database error means."""

    #: Two transactions collided, and this one was rolled back. The same again may succeed.
    COLLISION = auto()
    #: The session is lost, so the outcome is unknown.
    LOST = auto()
    #: The session cannot be used to write: the server is read-only, or the isolation level is another.
    UNFIT = auto()
    #: The statement was cancelled, by its time-out or by an administrator.
    CANCELLED = auto()
    #: The server cannot do it: no space, no memory, a broken disk.
    TROUBLE = auto()
    #: The statement or its data is wrong.
    FAULT = auto()


#: Serialization failure, deadlock, lock time-out; and what the session has prepared is not what was thought.
_COLLISIONS = frozenset({"40001", "40P01", "55P03", "26000", "42P05"})
#: By code: the server ended the session, because it was idle in a transaction for too long or because the transaction
#: took too long (mostly libpq only finds the socket closed); or the server cannot say whether it has committed.
_LOST = frozenset({"25P03", "25P04", "40003"})
#: The server is read-only, because it is no primary any more; the isolation level is not READ COMMITTED.
_UNFIT = frozenset({"25006", "25004"})
#: By class: no connection; a server that is shutting down or starting; a broken configuration.
_LOST_CLASSES = ("08", "57P", "F0")
#: Statement time-out, or a request to cancel.
_CANCELLED = "57014"
#: By class: insufficient resources, operator intervention, errors of the system, errors of PostgreSQL itself.
_TROUBLE_CLASSES = ("53", "57", "58", "XX")


class ConnectionLost(Exception):
    """The session is lost, and perhaps nobody knows whether it has committed. Deliver the same again."""


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of an error of Django or of the driver; ``None`` if it has none."""
    # A participant may use the driver's cursor, which raises the driver's errors.
    drivers = error.__cause__ if isinstance(error, DjangoError) else error
    # psycopg2 and psycopg 3.
    code = getattr(drivers, "pgcode", None) or getattr(drivers, "sqlstate", None)
    return code if isinstance(code, str) else None


def is_outdated(error: BaseException) -> bool:
    """Whether a prepared statement was refused because a migration has changed its tables; once more, it is not."""
    # The text of the message is in the server's language, the name of its function is not.
    diagnosis = getattr(error.__cause__ if isinstance(error, DjangoError) else error, "diag", None)
    return sqlstate(error) == "0A000" and getattr(diagnosis, "source_function", None) == "RevalidateCachedQuery"


def constraint(error: DjangoError) -> str | None:
    """The name of the constraint that a statement has violated, if it was one."""
    name = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
    return name if isinstance(name, str) else None


def describe_error(error: BaseException) -> str:
    """The text of a database error in one line, with its SQLSTATE: for logs and for people."""
    if isinstance(error, ConnectionLost) and error.__cause__ is not None:
        return describe_error(error.__cause__)
    # The error of a set-based participant is wrapped once more.
    error = getattr(error, "error", error)
    lines = str(error).strip().splitlines()
    code = sqlstate(error)
    return f"{type(error).__name__}{f' {code}' if code else ''}: {lines[0] if lines else 'no text'}"


def classify_error(error: BaseException, using: str = DEFAULT_DB_ALIAS) -> ErrorKind:
    """Say what an error means.

    Args:
        error: the error.
        using: the alias of the database on whose connection it was raised.
    """
    code = sqlstate(error)
    if code is None:
        return _without_a_code(error, using)
    if code in _COLLISIONS or is_outdated(error):
        return ErrorKind.COLLISION
    if code in _LOST or code.startswith(_LOST_CLASSES):
        return ErrorKind.LOST
    if code in _UNFIT:
        return ErrorKind.UNFIT
    if code == _CANCELLED:
        return ErrorKind.CANCELLED
    if code.startswith(_TROUBLE_CLASSES):
        return ErrorKind.TROUBLE
    # An unclassified error, such as a changed password, also means a lost session if connecting has failed.
    return ErrorKind.LOST if isinstance(error, OperationalError) and is_disconnected(using) else ErrorKind.FAULT


def _without_a_code(error: BaseException, using: str) -> ErrorKind:
    """Classify an error that did not come from the server: libpq has lost the socket, or could not connect."""
    if isinstance(error, OperationalError | InterfaceError):
        return ErrorKind.LOST
    # Django raises it if a participant has closed the connection inside the transaction.
    return ErrorKind.LOST if isinstance(error, DatabaseError) and is_disconnected(using) else ErrorKind.FAULT


def is_lock_timeout(error: BaseException) -> bool:
    """Whether a lock was not acquired in time. It is a collision, but the same statement would wait again."""
    return isinstance(error, DjangoError) and sqlstate(error) == "55P03"


def is_idle_timeout(error: BaseException) -> bool:
    """Whether the server ended the session because it was idle in a transaction for too long."""
    return isinstance(error, DjangoError) and sqlstate(error) == "25P03"


def is_soft_time_limit(error: BaseException) -> bool:
    """Whether it is Celery's soft time limit, which ends the work on the whole delivery, and not on one run."""
    # A process that has not imported Celery has no such limit.
    celery = sys.modules.get("celery.exceptions")
    return celery is not None and isinstance(error, celery.SoftTimeLimitExceeded)


def is_other_database_lost(error: BaseException, using: str) -> bool:
    """Whether the connection to another database is lost, while the transaction on this database is still open.

    Call it inside the transaction: after it, Django may have connected again.
    """
    # The driver closes the connection whose socket it has lost.
    lost = isinstance(error, DjangoError) and error.__cause__ is not None and sqlstate(error) is None
    return lost and not is_disconnected(using)


def is_lost(error: BaseException, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether the session cannot be used any more. The outcome may be unknown: repeat the work in a new session."""
    return classify_error(error, using) in {ErrorKind.LOST, ErrorKind.UNFIT}


def is_transient(error: BaseException, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether the error is no fault of the statement or its data: the same may succeed later."""
    return classify_error(error, using) is not ErrorKind.FAULT


def close_session(using: str = DEFAULT_DB_ALIAS) -> None:
    """Close the session after a transient error. The next session is new, and is connected to the primary.

    Inside a transaction of the caller nothing is closed: the caller has yet to get the error.
    """
    wrapper = connections[using]
    if wrapper.in_atomic_block:
        return
    if wrapper.connection is not None and getattr(wrapper, "pool", None) is not None:
        # Django's pool of psycopg 3 would give this session out again; one that is closed it replaces.
        wrapper.connection.close()
    wrapper.close()


def is_disconnected(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether this process has no connection to the database now."""
    # Not is_usable(): it sends a query, which fails in a transaction that an error has aborted.
    raw = connections[using].connection
    return raw is None or bool(raw.closed)


# Statements and transactions ----------------------------------------------------------------------------------


def uuid_array(ids: Iterable[UUID]) -> str:
    """Write an array of UUIDs for ``%s::uuid[]``. The driver would adapt them one by one, which is slower."""
    # Without hyphens, which PostgreSQL does not need: that is three times as fast.
    return f"{{{','.join([f'{each.int:032x}' for each in ids])}}}"


#: Types whose ``str`` is what PostgreSQL reads.
_PLAIN = frozenset({str, int, UUID, type(None)})


def array(values: Iterable[object]) -> str | list[object]:
    """Write an array for ``%s::text[]`` or ``%s::int[]``, as ``uuid_array`` does; values of other types as a list."""
    listed = list(values)
    if not listed or not _PLAIN.issuperset(map(type, listed)):
        return listed or "{}"
    if None in listed:
        return f"{{{','.join(['NULL' if value is None else _quote(str(value)) for value in listed])}}}"
    texts = list(map(str, listed))
    joined = '","'.join(texts)
    if "\\" in joined or joined.count('"') > 2 * (len(texts) - 1):
        return f"{{{','.join(map(_quote, texts))}}}"
    return f'{{"{joined}"}}'


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def after_commit(function: Callable[..., object], *args: object) -> None:
    """Call a function as soon as the current transaction is committed, and not if it is rolled back.

    An error of the function is logged, and is not raised: the transaction is committed, and its caller must not be
    told otherwise. The call may be lost: the process may die between the commit and the call.
    """
    database = connections[DEFAULT_DB_ALIAS]
    if not database.in_atomic_block and database.get_autocommit():
        # Nothing to wait for. As Django does it, without its wrappers.
        try:
            function(*args)
        except Exception:
            logger.exception("sagas: %s failed after a commit", getattr(function, "__qualname__", function))
        return

    def call() -> None:
        function(*args)

    # Django names it when it logs an error. A ``functools.partial`` has no name, and that would be raised instead.
    transaction.on_commit(update_wrapper(call, function), robust=True)
