"""Orders beside bare chains in turns, when all work exists before the first task begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from bench import throughput
from bench.lifecycles import COMPRESSED, NO_LIFECYCLE, ORDINARY, has_compressed
from bench.measured import Rate, Throughput
from bench.measures import Options, Say
from bench.preparing import prepare
from bench.results import Found, Sheet
from bench.workers import BARE
from bench.workload import SKUS, Shop

#: The bare chain that has the guarantees of the engine, at its best prefetch.
COMPARED = "prefetch_16"
#: A round's orders of these kinds: lifecycle, and whether all take one SKU.
_KINDS = {
    "distinct": (ORDINARY, False),
    "hot": (ORDINARY, True),
    "compressed": (COMPRESSED, False),
    "compressed_hot": (COMPRESSED, True),
}

Bare = Mapping[str, Sequence[Rate]]
Orders = Mapping[str, Sequence[Throughput]]


def measure(options: Options, say: Say) -> Found:
    """Measure all kinds in rounds, whose order alternates, so that a drift favours none."""
    prepare()
    rounds = options.size(3, 1)
    kinds = [kind for kind, (lifecycle, _) in _KINDS.items() if lifecycle is ORDINARY or has_compressed()]
    shop = Shop(slots=COMPRESSED.slots)
    bare: dict[str, list[Rate]] = {name: [] for name in BARE}
    orders: dict[str, list[Throughput]] = {kind: [] for kind in kinds}
    for number in range(rounds):
        where = f"round {number + 1} of {rounds}"
        turn = -1 if number % 2 else 1
        for name in list(BARE)[::turn]:
            say(f"{where}: bare chain, {BARE[name].title}")
            bare[name].append(throughput.of_bare_chains(options.size(400, 150), BARE[name]))
        for kind in kinds[::turn]:
            lifecycle, hot = _KINDS[kind]
            say(f"{where}: {lifecycle.title}{', one hot SKU' if hot else ''}")
            count = options.size(4000, 500)
            orders[kind].append(
                throughput.of_orders(
                    shop,
                    count,
                    skus=1 if hot else SKUS,
                    slots=lifecycle.slots,
                    environment=lifecycle.environment,
                )
            )
    return summary(bare, orders)


def summary(bare: Bare, orders: Orders) -> Found:
    """The ratios, the table and the figures of some rounds."""
    found = Found(ratios=ratios(bare, orders))
    if "compressed" not in orders:
        found.missing = dict.fromkeys(("compressed_vs_bare_chain", "compressed_hot_vs_distinct"), NO_LIFECYCLE)
    found.figures = {
        "bare_chains": {name: [asdict(rate) for rate in rounds] for name, rounds in bare.items()},
        "orders": {kind: [asdict(found) for found in rounds] for kind, rounds in orders.items()},
    }
    found.sheets = [_sheet(bare, orders)]
    return found


def ratios(bare: Bare, orders: Orders) -> dict[str, float]:
    """Compute the ratios, each also by CPU: how many times the CPU of an order a bare chain costs.

    ``orders_vs_bare_chain`` is the strict one: to SUCCEEDED, which is seven operations against the chain's four.
    """
    chain, best = fastest(bare[COMPARED]), max(fastest(rounds) for rounds in bare.values())
    chain_cpu, best_cpu = cheapest(bare[COMPARED]), min(cheapest(rounds) for rounds in bare.values())
    distinct, hot = orders["distinct"], orders["hot"]
    found = {
        "orders_to_awaiting_vs_bare_chain": forward(distinct) / chain,
        "orders_to_awaiting_vs_bare_chain_by_cpu": chain_cpu / forward_cpu(distinct),
        "orders_vs_bare_chain": whole(distinct) / chain,
        "orders_vs_bare_chain_by_cpu": chain_cpu / whole_cpu(distinct),
        "orders_to_awaiting_vs_best_bare_chain": forward(distinct) / best,
        "orders_to_awaiting_vs_best_bare_chain_by_cpu": best_cpu / forward_cpu(distinct),
        "hot_vs_distinct": whole(hot) / whole(distinct),
        "hot_vs_distinct_by_cpu": whole_cpu(distinct) / whole_cpu(hot),
    }
    if "compressed" in orders:
        one, other = orders["compressed"], orders["compressed_hot"]
        found |= {
            "compressed_vs_bare_chain": forward(one) / chain,
            "compressed_vs_bare_chain_by_cpu": chain_cpu / forward_cpu(one),
            "compressed_hot_vs_distinct": whole(other) / whole(one),
            "compressed_hot_vs_distinct_by_cpu": whole_cpu(one) / whole_cpu(other),
        }
    return found


def fastest(rounds: Sequence[Rate]) -> float:
    """The best round's rate."""
    return max(found.per_s for found in rounds)


def cheapest(rounds: Sequence[Rate]) -> float:
    """The usual round's CPU time."""
    return median(found.cpu["total"] for found in rounds)


def forward(rounds: Sequence[Throughput]) -> float:
    """The best round's rate to AWAITING_CONFIRM."""
    return max(found.forward for found in rounds)


def whole(rounds: Sequence[Throughput]) -> float:
    """The best round's rate to SUCCEEDED."""
    return max(found.whole for found in rounds)


def forward_cpu(rounds: Sequence[Throughput]) -> float:
    """The usual round's CPU time to AWAITING_CONFIRM."""
    return median(found.forward_cpu["total"] for found in rounds)


def whole_cpu(rounds: Sequence[Throughput]) -> float:
    """The usual round's CPU time to SUCCEEDED."""
    return median(found.whole_cpu["total"] for found in rounds)


def by_kind(costs: Sequence[Mapping[str, float]]) -> list[str]:
    """Cells: the median CPU time of workers, PostgreSQL and RabbitMQ, and of all with Redis."""
    kinds = ("workers", "postgresql", "rabbitmq", "total")
    return [f"{median(cost.get(kind, 0.0) for cost in costs):.2f}" for kind in kinds]


CPU_COLUMNS = ("work", "SQL", "MQ", "all")


def _sheet(bare: Bare, orders: Orders) -> Sheet:
    rows: list[list[Any]] = [
        [BARE[name].title, f"{fastest(rounds):,.0f}", "", *by_kind([rate.cpu for rate in rounds])]
        for name, rounds in bare.items()
    ]
    for kind, rounds in orders.items():
        lifecycle, hot = _KINDS[kind]
        title = f"{lifecycle.title}, one hot SKU" if hot else lifecycle.title
        costs = by_kind([found.whole_cpu for found in rounds])
        rows.append([title, f"{forward(rounds):,.0f}", f"{whole(rounds):,.0f}", *costs])
    return Sheet(
        "All due at once: runs a second, and milliseconds of CPU a run (orders: to SUCCEEDED)",
        ("", "four steps", "whole", *CPU_COLUMNS),
        rows,
    )
