"""A clock that the test controls: the engine's SQL asks PostgreSQL for the time and gets the test's time.

The engine reads only the database's clock. PostgreSQL's time functions are defined a second time, in a schema that this
connection searches before ``pg_catalog``; they read a setting of the session. Time passes only when the test says so.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from django.db import connection

from sagas import runtime

SCHEMA = "sagas_clock"
#: ``CURRENT_TIMESTAMP`` is part of PostgreSQL's grammar and cannot be replaced. The engine does not use it.
FUNCTIONS = ("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp")

_SETTING = f"{SCHEMA}.now"
#: The clocks that are entered, the outermost first. All of them show the same time.
_entered: list[Clock] = []


class Clock:
    """A context manager for the time of one database connection. It begins at the real time.

    In a test that is rolled back, no other session ever sees the functions. Otherwise they exist while the clock is
    entered, but other connections do not search their schema. A clock inside another one, such as a scenario's in a
    test with its own clock, continues from the outer clock's time, and the outer clock from its time.

    Attributes:
        now: the time, once the clock is entered.
    """

    now: datetime
    _path: str

    def __enter__(self) -> Self:
        """Stop the time."""
        if _entered:
            self.now, self._path = _entered[-1].now, _entered[-1]._path
        else:
            self._make()
            _forget_due_times()
        _entered.append(self)
        return self

    def _make(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp(), current_setting('search_path')")
            self.now, self._path = cursor.fetchone()
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            for function in FUNCTIONS:
                # STABLE, as the real functions: so PostgreSQL can use an index on a time.
                cursor.execute(
                    f"CREATE OR REPLACE FUNCTION {SCHEMA}.{function}() RETURNS timestamptz LANGUAGE sql STABLE "
                    f"AS $$ SELECT pg_catalog.current_setting('{_SETTING}')::timestamptz $$"
                )
        self.attach_to_new_connection()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Return to the real time, or to the outer clock, which continues from here."""
        _entered.remove(self)
        if _entered:
            _entered[-1].now = self.now
            return
        _forget_due_times()
        if connection.needs_rollback or (connection.connection is not None and connection.connection.closed):
            return  # the test's transaction failed, and its rollback removes the schema
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('search_path', %s, false)", [self._path])
            cursor.execute(f"DROP SCHEMA {SCHEMA} CASCADE")

    def attach_to_new_connection(self) -> None:
        """Become the clock of a new connection, such as that of a forked process, with the same schema."""
        with connection.cursor() as cursor:
            # After the project's schemas, so that new tables are created where they always are.
            cursor.execute("SELECT set_config('search_path', %s, false)", [f"{self._path}, {SCHEMA}, pg_catalog"])
        self._set_time()

    def move_back_to(self, moment: datetime) -> None:
        """Return to an earlier time, after what happened since was rolled back."""
        self.now = moment
        self._set_time()
        _forget_due_times()

    def advance(self, time: timedelta) -> None:
        """Advance the clock by ``time``."""
        self.move_to(self.now + time)

    def move_to(self, moment: datetime) -> None:
        """Advance the clock to ``moment``, unless it shows a later time."""
        self.now = max(self.now, moment)
        self._set_time()

    def _set_time(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config(%s, %s, false)", [_SETTING, self.now.isoformat()])


def _forget_due_times() -> None:
    """Have claims look from the start again: at another time nothing was due before, and now something may be."""
    runtime.memory.is_due_crowded = False
