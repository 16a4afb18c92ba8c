"""``python -m bench.reconciling``: how long a check of everything takes with a million orders, and in which memory.

1,000 orders are performed; the others are copies of them, with all that belongs to an order, by SQL.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from bench.servers import servers

_ORIGINALS = 1000
_CHUNK, _SESSIONS = 25_000, 2
_COPY = "|| '-' || number"
_NUMBER = f"to_jsonb(business_key {_COPY})"

#: As ``bench.filling``: the column that names the run, and what differs.
_TABLES = {
    "sagas_run": (
        "id",
        {
            "business_key": f"business_key {_COPY}",
            "request": f"jsonb_set(jsonb_set(request, '{{order_no}}', {_NUMBER}), '{{coupon}}', {_NUMBER})",
        },
    ),
    "sagas_log": ("run_id", {}),
    "sagas_confirmation": ("run_id", {"data": "jsonb_build_object('payment_id', copies.new::text)"}),
    "inventory_skuhold": ("run_id", {}),
    "delivery_slothold": ("run_id", {}),
    "orders_order": ("run_id", {"order_no": f"order_no {_COPY}", "coupon": f"coupon {_COPY}"}),
    "payments_payment": ("run_id", {"payment_id": "copies.new::text", "order_no": f"order_no {_COPY}"}),
    "delivery_fulfilment": ("run_id", {"order_no": f"order_no {_COPY}"}),
    "coupons_grant": (
        "used_by_run",
        {"coupon_id": f"coupon_id {_COPY}", "lock_token": "nextval('coupons_grant_token')"},
    ),
}
_GUARDED = ("sagas_run", "sagas_log", "payments_payment", "coupons_grant", "inventory_batch", "delivery_fulfilment")
#: What no run names.
_REST = (
    "INSERT INTO orders_orderline (order_id, sku, quantity, unit_price_cents, discount_cents, refunded_quantity) "
    "SELECT copy.id, line.sku, line.quantity, line.unit_price_cents, line.discount_cents, 0 FROM orders_order AS copy "
    "JOIN orders_order AS was ON was.order_no = split_part(copy.order_no, '-', 1) "
    "JOIN orders_orderline AS line ON line.order_id = was.id WHERE copy.order_no LIKE '%-%'",
    "INSERT INTO coupons_coupon (code, kind, discount_cents, expires_at, available, held, sold, settled, customer_id) "
    "SELECT copy.coupon, 'AMOUNT', was.discount_cents, was.expires_at, 0, 0, 1, 1, was.customer_id "
    "FROM orders_order AS copy JOIN coupons_coupon AS was ON was.code = split_part(copy.coupon, '-', 1) "
    "WHERE copy.coupon LIKE '%-%'",
    "INSERT INTO inventory_move (batch, kind, available, held, sold, written_off, reason, by) "
    "SELECT key, 'OPENED', available + held + sold, 0, 0, 0, 'bench', 'bench' FROM inventory_batch",
    "UPDATE inventory_batch AS b SET sold = h.n, available = b.available + b.sold - h.n "
    "FROM (SELECT pool_key, sum(quantity) AS n FROM inventory_skuhold GROUP BY 1) AS h WHERE h.pool_key = b.key",
    "UPDATE delivery_slot AS s SET sold = h.n, available = s.available + s.sold - h.n "
    "FROM (SELECT pool_key, sum(quantity) AS n FROM delivery_slothold GROUP BY 1) AS h WHERE h.pool_key = s.id::text",
)


def main() -> None:
    """Fill the tables, check everything, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.reconciling", description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--keep", action="store_true", help="leave the servers running")
    options = parser.parse_args()
    with servers(keep=options.keep):
        import django  # noqa: PLC0415 - the servers' URLs come first

        django.setup()
        _fill(options.orders)
        _check()


def _fill(orders: int) -> None:
    from bench import filling, throughput, workload  # noqa: PLC0415 - Django comes first
    from bench.preparing import prepare  # noqa: PLC0415
    from sagas.states import State  # noqa: PLC0415

    prepare()
    began = time.monotonic()
    load = workload.Shop().place(_ORIGINALS)
    throughput.drain(load, State.AWAITING_CONFIRM)
    workload.pay_all(load)
    throughput.drain(load, State.SUCCEEDED)
    with filling.session() as cursor:
        cursor.execute(
            "INSERT INTO payments_payment (gateway, payment_id, order_no, run_id, amount, currency, state, reason) "
            "SELECT 'main', run_id::text, order_no, run_id, total_cents, 'CNY', 'TAKEN', '' FROM orders_order"
        )
        for table in _GUARDED:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    chunks = [(first, min(orders, first + _CHUNK) - 1) for first in range(0, orders, _CHUNK)]
    with ThreadPoolExecutor(_SESSIONS) as sessions:
        list(sessions.map(lambda chunk: _copy(load.ids, *chunk), chunks))
    with filling.session() as cursor:
        for sql in _REST:
            cursor.execute(sql)
        for table in _GUARDED:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        cursor.execute("VACUUM ANALYZE")
    print(f"{orders:,} orders in {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201


def _copy(originals: Sequence[UUID], first: int, last: int) -> None:
    from bench import filling  # noqa: PLC0415

    filling.copy(originals, first, last, _TABLES)


def _check() -> None:
    from orders.reconciliation import checking  # noqa: PLC0415

    keys: Counter[str] = Counter()
    took: Counter[str] = Counter()
    longest: dict[str, float] = {}
    found: list[Any] = []
    before, began = _memory(), time.monotonic()
    last = began
    for part in checking.check_all():
        now = time.monotonic()
        name = part.walk.name
        keys[name] += len(part.keys)
        took[name] += int((now - last) * 1000)
        longest[name] = max(longest.get(name, 0.0), now - last)
        found += part.violations[:5]
        last = now
    whole = time.monotonic() - began
    for name, number in keys.items():
        print(f"{name:32} {number:>9,} keys {took[name] / 1000:8.1f} s, longest part {longest[name]:.2f} s")  # noqa: T201
    print(f"all {whole:.0f} s; memory {before:.0f} MiB before, {_memory():.0f} MiB at most; found: {found[:5]}")  # noqa: T201


def _memory() -> float:
    """The most that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
