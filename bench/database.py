"""Queries about runs that hardly disturb a measurement."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.backends.postgresql import base

from bench.workload import Load
from sagas.states import State

TIMEOUT = 300.0
#: The driver that Django uses, psycopg 3 or psycopg2.
psycopg: Any = base.DatabaseWrapper.Database


def connect(url: str) -> Any:
    """Open a session of the driver, without Django's settings, that commits each statement."""
    session = psycopg.connect(url, cursor_factory=base.Cursor)
    session.autocommit = True
    return session


def until(condition: Callable[[], bool], *, pause: float) -> None:
    """Wait for a condition, with ``pause`` seconds between checks.

    Raises:
        TimeoutError: the condition is not true after five minutes.
    """
    end = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > end:
            msg = f"the load was not worked off in {TIMEOUT:g} s"
            raise TimeoutError(msg)
        time.sleep(pause)


def all_in(load: Load, *states: State) -> bool:
    """Whether all runs are in one of these states; the query stops at the first one that is not.

    Incidents of reconciliation, which a bench may cause on purpose, wait for a person between them.
    """
    sql = (
        "SELECT NOT EXISTS (SELECT 1 FROM sagas_run WHERE id BETWEEN %s AND %s AND state <> ALL(%s) "
        "AND saga <> 'orders.ReviewFindings')"
    )
    (found,) = _row(sql, [*load.bounds, [state.value for state in states]])
    return bool(found)


def first_claim(load: Load) -> float:
    """When the first run was claimed, in seconds since the epoch."""
    sql = "SELECT EXTRACT(EPOCH FROM min(started_at))::float8 FROM sagas_run WHERE id BETWEEN %s AND %s"
    (at,) = _row(sql, list(load.bounds))
    return float(at)


def last_entry(load: Load) -> float:
    """When the last log row was written, in seconds since the epoch."""
    sql = "SELECT EXTRACT(EPOCH FROM max(at))::float8 FROM sagas_log WHERE run_id BETWEEN %s AND %s"
    (at,) = _row(sql, list(load.bounds))
    return float(at)


def times(run_id: UUID) -> dict[str, float]:
    """When each step's operations were logged (seconds since the epoch), by ``step.operation``, in order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT step || '.' || operation, EXTRACT(EPOCH FROM at)::float8 FROM sagas_log "
            "WHERE run_id = %s AND outcome = 'DONE' ORDER BY id",
            [run_id],
        )
        return {name: float(at) for name, at in cursor.fetchall()}


def commits() -> int:
    """The number of committed transactions of this database. Workers report theirs when they end, at the latest."""
    # This session reports its own now, and not within a second, because they are not part of the measurement.
    _row("SELECT pg_stat_force_next_flush()")
    (count,) = _row("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    return int(count)


def settings(*names: str) -> dict[str, str]:
    """The server's settings of these names."""
    return {name: str(_row(f"SHOW {name}")[0]) for name in names}


def _row(sql: str, params: list[Any] | None = None) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        row: tuple[Any, ...] = cursor.fetchone()
        return row
