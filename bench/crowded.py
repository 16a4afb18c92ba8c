"""What a transaction that is left open does to claims: their cost by dead index entries, with a floor and without.

Vacuum takes away no row that the open transaction could still see. Each time a run's due time changes, one more entry
of the index on due times is dead, and stays. At 93 orders a second 1.7 million come in an hour.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.core.management import call_command
from django.db import connection, connections, transaction
from rich.console import Console
from rich.table import Table

from sagas import runtime, store
from sagas.store import claims

#: Dead entries at each measurement. More take long to make, because each change passes all of those before.
DEAD = (0, 10_000, 50_000, 200_000)
#: Live runs, of which each claim takes a part; and claims a measurement.
LIVE, TAKEN, CLAIMS = 2_000, 100, 15


@dataclass(frozen=True, slots=True)
class Point:
    """Milliseconds of a claim at so many dead entries, and of a look from the start."""

    dead: int
    without: float
    floor: float
    look: float


def run(say: Callable[[str], None]) -> Sequence[Point]:
    """Measure it, on a database of its own."""
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sagas_run SET (autovacuum_enabled = off)")
        cursor.execute(
            "INSERT INTO sagas_run (id, saga, version, state, cursor, business_key, request, results, trace_id, "
            "created_at, due_at, attempt, claims) SELECT gen_random_uuid(), 'none.Crowd', 1, 'PENDING', 0, '', '{}', "
            "'{}', gen_random_uuid(), now(), now() - interval '2 hours', 0, 0 FROM generate_series(1, %s)",
            [LIVE],
        )
        cursor.execute("ANALYZE sagas_run")
    found, made = [], 0
    with _left_open():
        for dead in DEAD:
            say(f"{dead} dead entries")
            made = _die(made, dead)
            found.append(_measure(dead))
    return found


@contextmanager
def _left_open() -> Iterator[None]:
    """A transaction that reads, and is left open."""
    other = connections.create_connection("default")
    other.settings_dict = {**other.settings_dict, "OPTIONS": {}}
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT count(*) FROM sagas_run")
            yield
    finally:
        other.close()


def _die(made: int, dead: int) -> int:
    """Change the due times of the live runs until there are so many dead entries, all older than the live ones."""
    with connection.cursor() as cursor:
        while made < dead:
            cursor.execute("UPDATE sagas_run SET due_at = due_at + interval '1 second' WHERE state = 'PENDING'")
            made += LIVE
        cursor.execute("UPDATE sagas_run SET due_at = clock_timestamp() WHERE state = 'PENDING'")
    return made


def _measure(dead: int) -> Point:
    memory = runtime.memory
    memory.is_due_crowded, before = False, claims._SLOW
    claims._SLOW = float("inf")
    without = _milliseconds(_claim)
    claims._SLOW = before
    memory.is_due_crowded, memory.floor_until = True, float("-inf")
    began = time.perf_counter()
    store.claims.floor()
    look = (time.perf_counter() - began) * 1000
    memory.is_due_crowded, memory.floor_until = True, float("inf")
    return Point(dead, without, _milliseconds(_claim), look)


def _milliseconds(act: Callable[[], None]) -> float:
    taken = []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        act()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def _claim() -> None:
    with transaction.atomic():
        assert len(store.claims.lock_due(TAKEN, lapsed=False, begin=True)) == TAKEN
        transaction.set_rollback(True)


def show(found: Sequence[Point], console: Console) -> None:
    """Print the curve."""
    table = Table(title=f"A claim of {TAKEN} runs beside an open transaction")
    for column in ("dead entries", "claims/s without a floor", "claims/s with it", "a look from the start, ms"):
        table.add_column(column, justify="right")
    for point in found:
        table.add_row(
            f"{point.dead:,}", f"{1000 / point.without:,.0f}", f"{1000 / point.floor:,.0f}", f"{point.look:,.1f}"
        )
    console.print(table)
