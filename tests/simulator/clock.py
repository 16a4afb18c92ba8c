"""Simulated time: the engine's own SQL asks for the time, and gets ours.

The functions of PostgreSQL that tell the time are made a second time, in a schema which the simulator's connections
search before ``pg_catalog``. They read a setting of the session, which is set in front of the next statement.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

SCHEMA = "simulated"
#: When every schedule begins. Far from the machine's own time: what reads that one by mistake is seen.
EPOCH = datetime(2030, 1, 1, tzinfo=UTC)

_SETTING = f"{SCHEMA}.time"
#: ``CURRENT_TIMESTAMP`` is a word of the grammar and no function; neither the engine nor the shop use it.
_FUNCTIONS = ("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp")
#: Libpq's options: our functions first. STABLE, so that an index on a time serves, as with ``now()``.
SEARCH_PATH = f"-c search_path={SCHEMA},pg_catalog,public"


def install(cursor: Any) -> None:
    """Make the functions in this database, unless they are there."""
    cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    for function in _FUNCTIONS:
        cursor.execute(
            f"CREATE OR REPLACE FUNCTION {SCHEMA}.{function}() RETURNS timestamptz LANGUAGE sql STABLE "
            f"AS $$ SELECT pg_catalog.current_setting('{_SETTING}')::timestamptz $$"
        )


def setting(seconds: float) -> str:
    """SQL that sets the time of a session, in front of the statement that is to see it."""
    return f"SET {_SETTING} = '{(EPOCH + timedelta(seconds=seconds)).isoformat()}'; "


def seconds(moment: datetime) -> float:
    """A moment of the database's clock, as seconds since the schedule began."""
    return (moment - EPOCH).total_seconds()
