"""How many orders want the same stock: one SKU for all, beside TCC under a lock in Redis, and up to a thousand.

The other side does less: it holds and sells a cup, in two tasks. An order has a coupon and a slot besides, and a log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from bench import throughput
from bench.measured import Rate, Throughput
from bench.measures import Options, Say, peers
from bench.measures.curves import curve
from bench.measures.saturation import CPU_COLUMNS, by_kind, cheapest, fastest, whole, whole_cpu
from bench.peers import LOCKED
from bench.preparing import prepare
from bench.results import Found, Sheet
from bench.workload import SKUS, Shop

#: The last step of the other side's runs.
_SETTLED = 2


def measure(options: Options, say: Say) -> Found:
    """Measure one SKU, some and many, and then one SKU both ways, in turns."""
    prepare()
    shop = Shop()
    found = curve(
        "hot",
        title="SKUs that all orders share",
        x="SKUs",
        values=(1, SKUS) if options.quick else (1, 10, 100, SKUS),
        once=lambda shop, skus: throughput.of_orders(shop, options.size(3000, 300), skus=skus),
        say=say,
        shop=shop,
    )
    beside = _beside_lock(shop, options, say)
    found.ratios |= beside.ratios
    found.figures |= beside.figures
    found.sheets += beside.sheets
    return found


def _beside_lock(shop: Shop, options: Options, say: Say) -> Found:
    peers.create(LOCKED)
    locked: list[Rate] = []
    orders: list[Throughput] = []
    rounds, runs = options.size(3, 1), options.size(LOCKED.runs, 200)

    def lock() -> None:
        locked.append(peers.rate_of(LOCKED, 1 + len(locked) * runs, runs, steps=_SETTLED))

    def order() -> None:
        orders.append(throughput.of_orders(shop, options.size(3000, 300), skus=1))

    for number in range(rounds):
        say(f"round {number + 1} of {rounds}: one SKU, both ways")
        for once in (lock, order)[:: -1 if number % 2 else 1]:
            once()
    return beside_lock(locked, orders)


def beside_lock(locked: Sequence[Rate], orders: Sequence[Throughput]) -> Found:
    """The ratio, the table and the figures of some rounds."""
    return Found(
        ratios={
            "hot_vs_lock": whole(orders) / fastest(locked),
            "hot_vs_lock_by_cpu": cheapest(locked) / whole_cpu(orders),
        },
        figures={"hot_lock": [asdict(one) for one in locked], "hot_orders": [asdict(one) for one in orders]},
        sheets=[
            Sheet(
                "One hot SKU, from the first task to the last confirm: orders a second, milliseconds of CPU an order",
                ("", "a second", *CPU_COLUMNS),
                [
                    [LOCKED.title, f"{fastest(locked):,.0f}", *by_kind([one.cpu for one in locked])],
                    ["orders", f"{whole(orders):,.0f}", *by_kind([one.whole_cpu for one in orders])],
                ],
            )
        ],
    )
