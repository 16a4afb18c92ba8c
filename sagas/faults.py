"""What a database error means: try the same again, or learn what became of it."""

from __future__ import annotations

from django.db import DatabaseError, InterfaceError, OperationalError, connection

#: Serialization failure, deadlock, lock time-out: nothing was done, the same again may succeed.
_CONFLICTS = frozenset({"40001", "40P01", "55P03"})


class ConnectionLost(Exception):
    """The database went away in mid-transaction: whether it committed is not known."""


def is_conflict(error: BaseException) -> bool:
    """Whether two transactions met, and this one was rolled back for it."""
    return isinstance(error, DatabaseError) and getattr(error.__cause__, "pgcode", None) in _CONFLICTS


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, so that the outcome is unknown."""
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, OperationalError):
        return False
    # Class 08: connection; 57P: the server is shutting down or starting; none: libpq lost the socket.
    code = getattr(error.__cause__, "pgcode", None)
    # Not is_usable(): it asks by a query, which fails in any transaction that an error has aborted.
    raw = connection.connection
    return code is None or code.startswith(("08", "57P")) or raw is None or bool(raw.closed)
