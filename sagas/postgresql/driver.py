"""The driver of PostgreSQL that Django uses, psycopg 3 or psycopg2: all in which they differ for the engine.

Django takes psycopg 3 where both are installed. The SQL of the engine is the same for both: parameters have a cast
where PostgreSQL cannot infer their type, and errors are told apart by their SQLSTATE (``sagas.db``).
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from types import CodeType
from typing import Any, Final, Protocol

from django.db.backends.postgresql.psycopg_any import is_psycopg3

#: Seconds that a request to cancel a statement may take.
_CANCEL_WITHIN = 2.0


class Driver(Protocol):
    """What the engine asks of a driver beyond what both have under the same name.

    Attributes:
        cursor: the class of its cursors.
        executing: names of the methods with which a cursor is given SQL.
        python_methods: the methods of cursors and connections by which SQL is executed, a transaction is ended or a
            connection is opened, as far as they are written in Python: a profiler sees no call of C there.
        keeps_last_result: whether a cursor that executes several statements in one text has the result of the last one.
    """

    cursor: type[Any]
    executing: frozenset[str]
    python_methods: frozenset[CodeType]
    keeps_last_result: bool

    def interrupted(self, session: Any, error: BaseException) -> None:
        """End a session in the middle of whose statement a signal handler has raised ``error``."""

    def take_notifications(self, session: Any) -> bool:
        """Take the notifications that have come, without waiting; return whether there were any.

        Raises:
            Exception: the session is lost.
        """

    def leave(self, session: Any) -> None:
        """Take back what ``session.__enter__()`` has done, if no end of its block has come."""


class _Psycopg2:
    """It waits in libpq: signal handlers run when the statement has ended."""

    executing = frozenset({"execute", "executemany", "callproc", "copy_expert", "copy_from"})
    python_methods: frozenset[CodeType] = frozenset()
    keeps_last_result = True

    def __init__(self) -> None:
        from psycopg2.extensions import cursor  # noqa: PLC0415 - only where it is installed

        self.cursor: type[Any] = cursor

    def interrupted(self, session: Any, error: BaseException) -> None:
        pass

    def take_notifications(self, session: Any) -> bool:
        session.poll()
        came = bool(session.notifies)
        del session.notifies[:]
        return came

    def leave(self, session: Any) -> None:
        # Until then it begins a transaction with each statement, also in autocommit.
        session.__exit__(None, None, None)


class _Psycopg3:
    """It waits in Python's sight: what a signal handler raises leaves a statement on its way."""

    executing = frozenset({"execute", "executemany", "stream", "copy"})
    keeps_last_result = False

    def __init__(self) -> None:
        import psycopg  # noqa: PLC0415 - only where it is installed

        self.cursor: type[Any] = psycopg.Cursor
        self._error = psycopg.Error
        self._active = psycopg.pq.TransactionStatus.ACTIVE
        methods = {
            psycopg.Cursor: self.executing,
            psycopg.ServerCursor: self.executing,
            psycopg.Connection: ("connect", "commit", "rollback", "close", "__exit__"),
        }
        self.python_methods = frozenset(_code(getattr(owner, name)) for owner in methods for name in methods[owner])

    def interrupted(self, session: Any, error: BaseException) -> None:
        if isinstance(error, self._error) or session.closed or session.info.transaction_status != self._active:
            return
        # Otherwise the server would go on, and keep its locks for as long.
        with suppress(Exception):
            session.cancel_safe(timeout=_CANCEL_WITHIN)
        # Its answer was not read: nothing else can be asked on this session.
        session.close()

    def take_notifications(self, session: Any) -> bool:
        return bool([*session.notifies(timeout=0)])

    def leave(self, session: Any) -> None:
        pass


def _code(method: Any) -> CodeType:
    found: CodeType = inspect.unwrap(method).__code__
    return found


#: That of this process.
driver: Final[Driver] = _Psycopg3() if is_psycopg3 else _Psycopg2()
