"""Connections to the real PostgreSQL on which a process can die, stall, or be cut off, between any two statements.

A session is what one worker process has: a connection to each database. While a worker stands still in the middle of
a transaction, others act on sessions of their own, so its row locks are real ones; whoever meets them is put off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, cast

import psycopg2
import psycopg2.errors
from django.db import connections
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, connection, cursor

from tests.simulator import clock
from tests.simulator.prepared import Statements, execution

#: Aliases of the databases. The second is for the steps that have their data elsewhere.
ALIASES = ("default", "loyalty")


class Crash(BaseException):
    """The process dies here: no ``except Exception`` may see it, and what is still executed has no effect."""


class Blocked(BaseException):
    """A lock is held by somebody who stands still. Whoever meets it has done nothing yet, and is tried again later."""


class Conflict(psycopg2.OperationalError):
    """PostgreSQL has chosen this transaction as the victim of a deadlock."""

    pgcode = "40P01"


class CutOff(psycopg2.OperationalError):
    """The connection broke; what became of the last statement is not known."""


class Session:
    """The connections of one process.

    Args:
        number: 0 for the process that acts; the others act while one of a lower number stands still.
        point: called before each statement, and before and after each commit, with what is about to happen.
        waits: whether who meets a lock is put off until it is free, or learns that it has waited for too long.
        now: the simulated time.
        statements: those that are prepared, by alias of the database.
    """

    def __init__(
        self,
        number: int,
        point: Callable[[str], None],
        waits: Callable[[], bool],
        now: Callable[[], float],
        statements: Mapping[str, Statements],
    ) -> None:
        self.number = number
        self.point = point
        self.waits = waits
        self.now = now
        self.lines = {alias: _Line(self, alias, statements[alias]) for alias in ALIASES}
        #: In place of Django's own, which looks at each access for the thread and the task that ask.
        self.own: Any = SimpleNamespace(**{alias: line.wrapper for alias, line in self.lines.items()})

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be the process whose connections Django gives out."""
        handler: Any = connections
        before, handler._connections = handler._connections, self.own
        try:
            yield
        finally:
            handler._connections = before

    def reset(self) -> None:
        """After a crash: a new process, with new connections. They are the same ones, with nothing left on them."""
        for line in self.lines.values():
            line.reset()

    def in_transaction(self) -> bool:
        """Whether some transaction of this process is open, and may hold locks."""
        return any(line.in_transaction() for line in self.lines.values())

    def end_transactions(self) -> None:
        """What PostgreSQL does to transactions of which it has heard nothing for too long."""
        for line in self.lines.values():
            if line.in_transaction():
                line.lose()

    def query(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        """Ask the database, past all faults."""
        line = self.lines["default"]
        found: list[tuple[Any, ...]] = line.ask(sql, params)
        return found

    def query_elsewhere(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        """The same of the second database."""
        found: list[tuple[Any, ...]] = self.lines["loyalty"].ask(sql, params)
        return found

    def close(self) -> None:
        """Give the connections back."""
        for line in self.lines.values():
            line.close()


class _Line:
    """One connection, of Django's, on which every statement and commit can be stopped."""

    def __init__(self, session: Session, alias: str, statements: Statements) -> None:
        self.session = session
        self.stamped: float | None = None
        self.lost = False
        self.statements = statements
        #: Names of those that this connection has prepared.
        self.prepared: set[str] = set()
        # Any: its inner methods are replaced.
        self.wrapper: Any = cast("Any", connections.create_connection(alias))
        settings = deepcopy(connections[alias].settings_dict)
        settings |= {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}
        waits = "" if session.number == 0 else " -c lock_timeout=5ms"
        options = settings.setdefault("OPTIONS", {})
        options["connection_factory"] = _Connection
        options["options"] = (
            f"{clock.SEARCH_PATH} -c synchronous_commit=off -c jit=off -c plan_cache_mode=force_generic_plan "
            # Of a table that nobody has analyzed it would read all that earlier schedules have left, for one row.
            f"-c enable_seqscan=off{waits}"
        )
        self.wrapper.settings_dict = settings
        self._commit, self.wrapper._commit = self.wrapper._commit, self.commit
        self._rollback, self.wrapper._rollback = self.wrapper._rollback, self.rollback
        # Now, and not when it is first needed: what Django asks of a new one would be counted among the points.
        self.wrapper.connect()
        self.raw: Any = self.wrapper.connection
        self.raw.line = self
        self.raw.cursor_factory = type("Cursor", (_Cursor,), {"line": self})
        # A connection that was lost is closed by Django, and made anew. To make another takes long: it is the same.
        self._close, self.wrapper._close = self.wrapper._close, self.abandon
        self.wrapper.get_new_connection = lambda _: self.raw

    def ask(self, sql: str, params: Any) -> list[tuple[Any, ...]]:
        with connection.cursor(self.raw, cursor_factory=cursor) as plain:
            plain.execute(self.stamp() + sql, params)
            return list(plain.fetchall()) if plain.description else []

    def stamp(self) -> str:
        """What to put in front of a statement so that it sees the time."""
        now = self.session.now()
        if now == self.stamped:
            return ""
        self.stamped = now
        return clock.setting(now)

    def in_transaction(self) -> bool:
        """Whether the server has a transaction open on it."""
        return bool(self.raw.get_transaction_status() != TRANSACTION_STATUS_IDLE)

    def lose(self) -> None:
        """The connection breaks. Whoever uses it learns so, until it is closed."""
        self.abandon()
        self.lost = True

    def check(self) -> None:
        """Refuse what is asked of a connection that is gone."""
        if self.lost:
            raise CutOff("server closed the connection unexpectedly")

    def commit(self) -> None:
        with self.wrapper.wrap_database_errors:
            try:
                self.session.point("COMMIT")
                self.check()
            except CutOff:
                self.lose()
                raise
            except BaseException:
                # Django would find a transaction open that its process has left behind.
                self.abandon()
                raise
            self._commit()
            self.session.point("committed")

    def rollback(self) -> None:
        self.stamped = None
        if self.lost:
            # Then Django closes the connection.
            with self.wrapper.wrap_database_errors:
                self.check()
        self._rollback()

    def abandon(self) -> None:
        self.stamped = None
        self.lost = False
        self.raw.rollback()

    def reset(self) -> None:
        wrapper = self.wrapper
        self.abandon()
        wrapper.connection = self.raw
        wrapper.in_atomic_block = False
        wrapper.commit_on_exit = True
        wrapper.needs_rollback = False
        wrapper.rollback_exc = None
        wrapper.errors_occurred = False
        wrapper.closed_in_transaction = False
        wrapper.savepoint_ids = []
        wrapper.atomic_blocks = []
        wrapper.run_on_commit = []
        wrapper.run_commit_hooks_on_set_autocommit_on = False
        wrapper.execute_wrappers = []
        self.raw.autocommit = wrapper.autocommit = True

    def close(self) -> None:
        self.raw.close()


class _Connection(connection):
    """As psycopg2's, once libpq has found the socket closed: it says so, and gives no cursors."""

    line: _Line | None = None

    @property
    def closed(self) -> int:
        return 2 if self.line is not None and self.line.lost else 0

    def cursor(self, *args: Any, **more: Any) -> Any:
        if self.closed:
            raise psycopg2.InterfaceError("connection already closed")
        return super().cursor(*args, **more)


class _Cursor(cursor):
    """Stops at each statement, and sets the time in front of it."""

    line: _Line

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2's name
        session = self.line.session
        try:
            session.point(query)
            self.line.check()
        except CutOff:
            self.line.lose()
            raise
        if query.startswith("ROLLBACK"):
            # To a savepoint: a setting made since is gone. In an aborted transaction nothing else is taken.
            self.line.stamped = None
            super().execute(query, vars)
            return
        params = () if vars is None and "%" not in query else vars
        prepared = self.line.statements.find(query, params) if isinstance(params, list | tuple) else None
        try:
            if prepared is None:
                super().execute(self.line.stamp() + query, vars)
            else:
                self._execute_prepared(*prepared, params)
        except psycopg2.errors.LockNotAvailable:
            self.line.stamped = None
            if session.number and session.waits():
                raise Blocked from None
            raise
        except psycopg2.Error:
            self.line.stamped = None
            raise

    def _execute_prepared(self, name: str, sql: str, params: Any) -> None:
        line = self.line
        first = "" if name in line.prepared else sql
        line.prepared.add(name)
        try:
            super().execute(line.stamp() + first + execution(name, params, self.connection))
        except psycopg2.errors.InFailedSqlTransaction:
            if first:
                # Of all errors the only one that comes before it is prepared, which no rollback takes back.
                line.prepared.discard(name)
            raise
