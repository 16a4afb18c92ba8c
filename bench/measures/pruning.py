"""What pruning does to the orders of the moment: their latency at a steady rate, while old runs are deleted or not.

A few orders are brought to their end by a worker, and copied as orders of long ago. Then orders come at 93 a second,
which is eight million a day, and are paid at once. The time of an order is that from its start to its end, by the clock
of the database.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import uuid_utils.compat
from django.db import connection, transaction

from bench import books, database
from bench.measures import Options, Say
from bench.preparing import prepare
from bench.results import Found, Sheet, percentile, percentiles
from bench.servers import ROOT
from bench.workers import order_worker
from bench.workload import Shop, pay, pay_all, refresh_statistics
from sagas.states import State

#: Orders a second: eight million a day.
RATE = 93
#: Runs that are deleted, and those of which they are copies.
OLD, ORIGINALS = 100_000, 1_000
#: Runs that are deleted in a second: the command's default.
PRUNED = 500
#: Days since their end, and for which runs are kept.
AGE, KEPT = 400, 90
#: Seconds of each measurement without pruning, one before and one after.
QUIET = 45.0
_MILLISECONDS_A_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Beside:
    """Milliseconds from start to end of the orders without pruning and during it; and what the pruning took."""

    quiet: Sequence[float]
    pruning: Sequence[float]
    pruned: int
    seconds: float
    wal_bytes: int


def measure(options: Options, say: Say) -> Found:
    """Measure orders before, during and after the pruning of 100,000 runs; of a part of them in less than a minute."""
    prepare()
    part = min(1.0, options.minutes)
    found = _measure(
        options.size(max(1, int(OLD * part / ORIGINALS)), 2) * ORIGINALS, options.size(1, 0) * QUIET * part or 5.0, say
    )
    return summary(found)


def _measure(old: int, quiet_for: float, say: Say) -> Beside:
    shop = Shop()
    say("making old runs")
    load = shop.place(ORIGINALS)
    pay_all(load)
    with order_worker():
        database.until(lambda: database.all_in(load, State.SUCCEEDED), pause=0.25)
        books.check(ORIGINALS)
        for _ in range(old // ORIGINALS):
            _copy(load.ids)
        refresh_statistics()
        say("orders without pruning")
        quiet = _orders(shop, lambda passed: passed < quiet_for)
        say(f"orders while {old:,} old runs are pruned")
        before = _wal()
        began = time.monotonic()
        with _pruning() as process:
            pruning = _orders(shop, lambda _: process.poll() is None)
        seconds = time.monotonic() - began
        wal = _wal() - before
        say("orders without pruning, again")
        quiet += _orders(shop, lambda passed: passed < quiet_for)
    left = _left()
    if left:
        msg = f"{left} of {old} old runs are left"
        raise RuntimeError(msg)
    return Beside(quiet, pruning, old, seconds, wal)


def summary(beside: Beside) -> Found:
    """The ratio of the p99, and a table."""
    quiet, pruning = percentiles(beside.quiet), percentiles(beside.pruning)
    rows = [
        [name, f"{len(times):,}", *(f"{percentile(times, part):,.0f}" for part in (50, 90, 99)), f"{max(times):,.0f}"]
        for name, times in (("without pruning", beside.quiet), ("beside pruning", beside.pruning))
    ]
    return Found(
        ratios={"pruning_p99_vs_none": pruning["p99_ms"] / quiet["p99_ms"]},
        figures={
            "pruning": {
                "quiet": quiet,
                "pruning": pruning,
                "runs": beside.pruned,
                "seconds": beside.seconds,
                "wal_bytes": beside.wal_bytes,
            }
        },
        sheets=[
            Sheet(
                f"{RATE} orders a second, from start to SUCCEEDED; milliseconds. {beside.pruned:,} runs pruned in "
                f"{beside.seconds:.0f} s, with {beside.wal_bytes / 1e6:,.0f} MB of WAL, that of the orders among it",
                ("", "orders", "p50", "p90", "p99", "longest"),
                rows,
            )
        ],
    )


def _left() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sagas_run WHERE finished_at < clock_timestamp() - interval '1 day'")
        (left,) = cursor.fetchone()
    return int(left)


def _orders(shop: Shop, go_on: Callable[[float], bool]) -> list[float]:
    """Place and pay orders at a steady rate; return how long each took, once all have ended."""
    ids: list[UUID] = []
    began = time.monotonic()
    while go_on(time.monotonic() - began):
        # Due by now; several at once where the last ones took too long to place.
        due = int((time.monotonic() - began) * RATE) - len(ids)
        if due > 0:
            placed = shop.place(due)
            pay(placed.ids)
            ids += placed.ids
        else:
            time.sleep(0.5 / RATE)

    def all_ended() -> bool:
        return len(_times(ids)) == len(ids)

    database.until(all_ended, pause=0.25)
    return _times(ids)


def _times(ids: Sequence[UUID]) -> list[float]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXTRACT(EPOCH FROM finished_at - created_at)::float8 * 1000 FROM sagas_run "
            "WHERE id = ANY(%s::uuid[]) AND state = 'SUCCEEDED'",
            [list(ids)],
        )
        return [took for (took,) in cursor.fetchall()]


@contextmanager
def _pruning() -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "RETENTION_DAYS": str(KEPT)}
    command = [sys.executable, "manage.py", "sagas", "prune", "--rate", str(PRUNED)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 - ours
    try:
        yield process
        if process.wait() != 0:
            msg = "manage.py sagas prune failed"
            raise RuntimeError(msg)
    finally:
        process.kill()
        process.wait()


def _wal() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        (written,) = cursor.fetchone()
    return int(written)


#: What an order has, by table: the column that names the run.
_TABLES = {
    "sagas_run": "id",
    "sagas_log": "run_id",
    "sagas_confirmation": "run_id",
    "inventory_skuhold": "run_id",
    "delivery_slothold": "run_id",
}


def _copy(ids: Sequence[UUID]) -> None:
    """Copy ended runs, and what goes with them, as runs of long ago."""
    shift = AGE * _MILLISECONDS_A_DAY << 80
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE copies (old uuid, new uuid) ON COMMIT DROP")
        cursor.execute(
            "INSERT INTO copies SELECT * FROM unnest(%s::uuid[], %s::uuid[])",
            [list(ids), [UUID(int=uuid_utils.compat.uuid7().int - shift) for _ in ids]],
        )
        for table, of_run in _TABLES.items():
            cursor.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND table_schema = "
                "current_schema() AND column_name <> ALL(%s)",
                [table, [of_run, "id"]],
            )
            columns = [name for (name,) in cursor.fetchall()]
            values = [f"{name} - interval '{AGE} days'" if name == "finished_at" else name for name in columns]
            cursor.execute(
                f"INSERT INTO {table} ({of_run}, {', '.join(columns)}) "  # noqa: S608 - ours
                f"SELECT copies.new, {', '.join(values)} FROM {table} AS was JOIN copies ON copies.old = was.{of_run}"
            )
        for pool, key, hold in (
            ("inventory_batch", "key", "inventory_skuhold"),
            ("delivery_slot", "id", "delivery_slothold"),
        ):
            held = f"SELECT pool_key, sum(quantity) AS sold FROM {hold} JOIN copies ON copies.new = run_id GROUP BY 1"  # noqa: S608 - ours
            cursor.execute(
                f"UPDATE {pool} AS pool SET sold = pool.sold + h.sold, available = pool.available - h.sold "  # noqa: S608 - ours
                f"FROM ({held}) AS h WHERE h.pool_key = pool.{key}::text"
            )
