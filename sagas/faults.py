"""What a database error means: try the same again, or learn what became of it."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, OperationalError, connections

#: Serialization failure, deadlock, lock time-out: nothing was done, the same again may succeed.
_CONFLICTS = frozenset({"40001", "40P01", "55P03"})
#: The server has ended the session, for nothing was asked of it in mid-transaction for too long. Mostly libpq only
#: finds the socket closed; where it has read why, that is no OperationalError.
_IDLE_TOO_LONG = "25P03"


class ConnectionLost(Exception):
    """The database went away in mid-transaction: whether it committed is not known."""


def is_conflict(error: BaseException) -> bool:
    """Whether two transactions met, and this one was rolled back for it."""
    return isinstance(error, DatabaseError) and getattr(error.__cause__, "pgcode", None) in _CONFLICTS


def is_lost(error: BaseException, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether the connection is gone, so that the outcome is unknown.

    Args:
        error: what was raised.
        using: alias of the database on whose connection it was raised.
    """
    if isinstance(error, InterfaceError):
        return True
    code = getattr(error.__cause__, "pgcode", None)
    if code == _IDLE_TOO_LONG:
        return isinstance(error, DatabaseError)
    if not isinstance(error, OperationalError):
        return False
    # Class 08: connection; 57P: the server is shutting down or starting; none: libpq lost the socket.
    return code is None or code.startswith(("08", "57P")) or is_gone(using)


def is_gone(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether there is no connection to this database now."""
    # Not is_usable(): it asks by a query, which fails in any transaction that an error has aborted.
    raw = connections[using].connection
    return raw is None or bool(raw.closed)
