"""A clock that the test owns: the engine's own SQL asks for the time, and gets the test's.

The engine reads no clock but the database's. PostgreSQL's functions that tell the time are made a second time, in a
schema which this connection searches before ``pg_catalog``; they read a setting of the session. Time stands still
until the test lets it pass.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from django.db import connection

SCHEMA = "sagas_clock"
#: ``CURRENT_TIMESTAMP`` is a word of PostgreSQL's grammar and cannot be replaced; the engine does not use it.
FUNCTIONS = ("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp")

_SETTING = f"{SCHEMA}.now"
#: Those that are entered, the outermost first. All of them tell one time.
_entered: list[Clock] = []


class Clock:
    """The time of one database connection, between entering and leaving. It begins at the real time.

    In a test that is rolled back, nothing of it is ever seen by anybody else. Otherwise the functions are there for as
    long as the clock is entered; another connection does not find them. Inside another, such as a scenario's in a test
    that has a clock of its own, it is the same clock: it goes on from the other's time, and the other from its.

    Attributes:
        now: what it says, once it is entered.
    """

    now: datetime
    _path: str

    def __enter__(self) -> Self:
        """Stop the time."""
        if _entered:
            self.now, self._path = _entered[-1].now, _entered[-1]._path
        else:
            self._make()
        _entered.append(self)
        return self

    def _make(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp(), current_setting('search_path')")
            self.now, self._path = cursor.fetchone()
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            for function in FUNCTIONS:
                # STABLE: an index on a time serves, as it does with the real ones.
                cursor.execute(
                    f"CREATE OR REPLACE FUNCTION {SCHEMA}.{function}() RETURNS timestamptz LANGUAGE sql STABLE "
                    f"AS $$ SELECT pg_catalog.current_setting('{_SETTING}')::timestamptz $$"
                )
        self.enter_again()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let the real time go on; or the outer clock, from here."""
        _entered.remove(self)
        if _entered:
            _entered[-1].now = self.now
            return
        if connection.needs_rollback or (connection.connection is not None and connection.connection.closed):
            return  # the test's transaction is broken, and takes all this with it
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('search_path', %s, false)", [self._path])
            cursor.execute(f"DROP SCHEMA {SCHEMA} CASCADE")

    def enter_again(self) -> None:
        """Be the clock of a new connection, which finds what this one has made: that of a process that was forked."""
        with connection.cursor() as cursor:
            # Behind the project's own schemas: what a test creates is created where it always is.
            cursor.execute("SELECT set_config('search_path', %s, false)", [f"{self._path}, {SCHEMA}, pg_catalog"])
        self._tell()

    def go_back_to(self, moment: datetime) -> None:
        """Let it be this time again: what happened since was taken back, also by the database."""
        self.now = moment
        self._tell()

    def let_pass(self, time: timedelta) -> None:
        """Let some time pass."""
        self.go_to(self.now + time)

    def go_to(self, moment: datetime) -> None:
        """Let it be this time, unless it is later already."""
        self.now = max(self.now, moment)
        self._tell()

    def _tell(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config(%s, %s, false)", [_SETTING, self.now.isoformat()])
