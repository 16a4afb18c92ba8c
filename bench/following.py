"""``python -m bench.following``: how far `manage.py reconcile follow` is behind while orders flow, and what it costs.

Orders are placed, performed and paid while it follows, and it must find nothing. Then as many again, and meanwhile
rows of the first are corrupted by SQL, one kind after the other: each must be found.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from bench.servers import ROOT, servers

#: Corruptions that no constraint and no trigger forbids: of one order's run, by name.
KINDS = {
    "a status": "UPDATE orders_order SET status = 'REJECTED' WHERE run_id = %s",
    "a total": "UPDATE orders_order SET total_cents = total_cents - 1 WHERE run_id = %s",
    "a discount": "UPDATE orders_order SET discount_cents = discount_cents + 1 WHERE run_id = %s",
    "the run of an order": "UPDATE orders_order SET run_id = gen_random_uuid() WHERE run_id = %s",
    "the count of a coupon": "UPDATE coupons_coupon SET sold = sold + 1, settled = settled + 1, available = 0 "
    "WHERE code = (SELECT coupon FROM orders_order WHERE run_id = %s)",
    "cups of a line": "UPDATE orders_orderline AS l SET quantity = 2 FROM orders_order AS o "
    "WHERE l.order_id = o.id AND o.run_id = %s",
    "a price of a line": "UPDATE orders_orderline AS l SET unit_price_cents = 1 FROM orders_order AS o "
    "WHERE l.order_id = o.id AND o.run_id = %s",
    "a line": "DELETE FROM orders_orderline AS l USING orders_order AS o WHERE l.order_id = o.id AND o.run_id = %s",
    "a hold of cups": "DELETE FROM inventory_skuhold WHERE run_id = %s",
    "cups of a hold": "UPDATE inventory_skuhold SET quantity = 3 WHERE run_id = %s",
    "the state of a hold": "UPDATE inventory_skuhold SET state = 'HELD', ended_at = NULL WHERE run_id = %s",
    "a place": "DELETE FROM delivery_slothold WHERE run_id = %s",
    "the state of a place": "UPDATE delivery_slothold SET state = 'HELD' WHERE run_id = %s",
    "another slot's place": "UPDATE delivery_slothold SET pool_key = (pool_key::int + 1)::text WHERE run_id = %s",
    "the count of a slot": "UPDATE delivery_slot SET sold = sold + 1 WHERE id = "
    "(SELECT pool_key::bigint FROM delivery_slothold WHERE run_id = %s)",
}
_LEDGER = (
    "INSERT INTO inventory_move (batch, kind, available, held, sold, written_off, reason, by) "
    "SELECT key, 'OPENED', available + held + sold, 0, 0, 0, 'bench', 'bench' FROM inventory_batch"
)
_PAYMENTS = (
    "INSERT INTO payments_payment (gateway, payment_id, order_no, run_id, amount, currency, state, reason) "
    "SELECT 'main', run_id::text, order_no, run_id, total_cents, 'CNY', 'TAKEN', '' FROM orders_order "
    "WHERE run_id = ANY(%s::text[]::uuid[])"
)
#: Between two looks at how far it has come, how long it may take to be through, and to find one corruption.
_LOOK, _PATIENCE, _SOON = 0.1, 300.0, 20.0


def main() -> None:
    """Follow two loads, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.following", description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    options = parser.parse_args()
    with servers(keep=False):
        import django  # noqa: PLC0415 - the servers' URLs come first

        django.setup()
        _measure(options.orders)


def _measure(orders: int) -> None:
    from django.core.management import call_command  # noqa: PLC0415 - Django comes first

    from bench import workload  # noqa: PLC0415
    from bench.preparing import prepare  # noqa: PLC0415

    prepare()
    call_command("reconcile", "follow", "--prepare")
    shop = workload.Shop()
    _execute(_LEDGER)
    with _following() as (pid, lag):
        began, cpu = time.monotonic(), _cpu(pid)
        ids = _carry(shop, orders)
        seconds = time.monotonic() - began
        lags = lag.until_read()
        used = (_cpu(pid) - cpu) / orders * 1000
        quantiles = statistics.quantiles(lags, n=100)
        _say(f"{orders:,} orders in {seconds:.0f} s, {len(_findings())} findings: {sorted(_findings())[:5]}")
        _say(f"lag p50 {quantiles[49]:.2f} s, p99 {quantiles[98]:.2f} s; the follower's CPU {used:.2f} ms an order")
        load = threading.Thread(target=_carry, args=(shop, max(orders // 4, 2000)))
        load.start()
        for number, (name, sql) in enumerate(KINDS.items()):
            took = _until_found(sql, ids[number * 7 + 3])
            _say(f"{name:24} {f'found after {took:.2f} s' if took < _SOON else 'NOT FOUND'}")
        _say(f"under load: {load.is_alive()} at the last one")
        load.join()


def _carry(shop: object, orders: int) -> tuple[UUID, ...]:
    """Place orders, perform and pay them, in loads of at most 5,000."""
    from bench import throughput, workload  # noqa: PLC0415 - Django comes first
    from sagas.states import State  # noqa: PLC0415

    assert isinstance(shop, workload.Shop)
    ids: tuple[UUID, ...] = ()
    while len(ids) < orders:
        load = shop.place(min(5000, orders - len(ids)))
        throughput.drain(load, State.AWAITING_CONFIRM)
        _pay(load.ids)
        throughput.drain(load, State.SUCCEEDED)
        ids += load.ids
    return ids


def _pay(ids: tuple[UUID, ...]) -> None:
    from django.db import connection, transaction  # noqa: PLC0415 - Django comes first

    from bench import workload  # noqa: PLC0415
    from sagas.db import array  # noqa: PLC0415

    for begin in range(0, len(ids), 50):
        # As by a gateway's webhook: the payment and the confirmation are one commit.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_PAYMENTS, [array(ids[begin : begin + 50])])
            workload.pay(ids[begin : begin + 50])


def _until_found(sql: str, run_id: UUID) -> float:
    """Corrupt a row, and wait until something new is found about it; seconds."""
    before = _findings()
    _execute(sql, str(run_id))
    began = time.monotonic()
    while time.monotonic() < began + _SOON:
        if _findings() - before:
            break
        time.sleep(_LOOK)
    return time.monotonic() - began


@contextmanager
def _following() -> Iterator[tuple[int, Lag]]:
    """The command in a process of its own, once it has its slot; and how far it is behind."""
    # The role of scripts/services that may read slots.
    url = os.environ["DATABASE_URL"].replace("//drinkgroup:", "//drinkgroup_follow:", 1)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "reconcile", "follow"],
        cwd=ROOT,
        env={**os.environ, "RECONCILE_FOLLOW_URL": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lag = Lag()
    try:
        while lag.positions() is None:
            if process.poll() is not None:
                sys.exit("the follower has ended")
            time.sleep(_LOOK)
        lag.start()
        yield process.pid, lag
    finally:
        lag.stopped.set()
        process.terminate()
        process.wait()


class Lag(threading.Thread):
    """Notes when the log had come to a position, and when the slot was advanced over it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stopped = threading.Event()
        self.lags: list[float] = []
        self._waiting: list[tuple[float, int]] = []

    def positions(self) -> tuple[int, int] | None:
        """Where the log ends, and up to where it is read; ``None`` before there is a slot."""
        rows = _execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint, "
            "pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::bigint FROM pg_replication_slots WHERE confirmed_flush_lsn "
            "IS NOT NULL"
        )
        return (int(str(rows[0][0])), int(str(rows[0][1]))) if rows else None

    def run(self) -> None:
        """Look until it is stopped."""
        while not self.stopped.wait(_LOOK):
            found = self.positions()
            if found is None:
                continue
            end, read = found
            now = time.monotonic()
            self._waiting.append((now, end))
            while self._waiting and self._waiting[0][1] <= read:
                self.lags.append(now - self._waiting.pop(0)[0])

    def until_read(self) -> list[float]:
        """Wait until all is read that is in the log now; seconds of delay until then, one a look."""
        found = self.positions()
        assert found is not None
        until = time.monotonic() + _PATIENCE
        while (now := self.positions()) is not None and now[1] < found[0]:
            if time.monotonic() > until:
                sys.exit("the follower has not come to the end of the log")
            time.sleep(_LOOK)
        time.sleep(2 * _LOOK)
        return list(self.lags)


def _findings() -> set[tuple[object, ...]]:
    return set(_execute("SELECT invariant, row FROM orders_finding WHERE resolved_at IS NULL"))


def _execute(sql: str, *params: str) -> list[tuple[object, ...]]:
    from django.db import connection  # noqa: PLC0415 - Django comes first

    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall()) if cursor.description else []


def _cpu(pid: int) -> float:
    """Seconds of a process and its descendants."""
    from bench import cpu  # noqa: PLC0415 - reads where the servers are

    return cpu.of_tree(pid, cpu.table())


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a program


if __name__ == "__main__":
    main()
