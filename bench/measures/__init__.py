"""The measures of ``make bench``: each can be run alone, on empty servers of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from bench.results import Found

#: Called with each stage as it begins.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured.

    Attributes:
        quick: one short round: a smoke test, not a figure.
        minutes: for which the shop must hold its rate.
        rows: ended runs in the tables, for the measure of full tables.
    """

    quick: bool = False
    minutes: float = 1.0
    rows: Sequence[int] = (1_000_000, 3_000_000)

    def size(self, full: int, quick: int) -> int:
        """One of two numbers."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure.

    Attributes:
        module: has ``measure(options, say)``.
        title: what it measures.
        limit: minutes after which it is given up.
        usual: whether ``make bench`` includes it; others are named by ``--only`` or an option of their own.
        ratios: what it finds, so that a ratio is not missing without a word when the measure fails.
    """

    module: str
    title: str
    limit: float
    usual: bool = True
    ratios: Sequence[str] = ()

    def run(self, options: Options, say: Say) -> Found:
        """Measure, on servers whose URLs are in the environment."""
        found: Found = import_module(f"bench.measures.{self.module}").measure(options, say)
        return found


MEASURES = {
    "saturation": Measure(
        "saturation",
        "orders beside bare chains, all due at once",
        12,
        ratios=(
            "orders_to_awaiting_vs_bare_chain",
            "orders_vs_bare_chain",
            "orders_to_awaiting_vs_best_bare_chain",
            "compressed_vs_bare_chain",
            "hot_vs_distinct",
            "compressed_hot_vs_distinct",
        ),
    ),
    "idle": Measure(
        "idle",
        "one order, and one bare chain, at a time",
        6,
        ratios=(
            "idle_p50_vs_bare_chain",
            "compressed_idle_p50_vs_bare_chain",
            "no_broker_idle_p50_vs_bare_chain",
        ),
    ),
    "compensating": Measure("compensating", "one order in ten is cancelled", 6, ratios=("compensating_10_vs_0",)),
    "cohort": Measure("cohort", "the size of cohorts", 6),
    "workers": Measure("workers", "the number of worker processes", 6),
    "hot": Measure(
        "hot", "one hot SKU beside a lock in Redis, and more SKUs that all orders share", 10, ratios=("hot_vs_lock",)
    ),
    "shape": Measure("shape", "the number of steps, and the size of the request", 8),
    "traces": Measure("traces", "orders without traces, and with 0, 1, 10 and 100 % of them sampled", 15),
    "door": Measure("door", "one POST of an order beside a trivial view", 4, ratios=("post_cpu_vs_trivial_view",)),
    "shop": Measure(
        "shop",
        "orders over HTTP to SUCCEEDED, at a steady rate",
        45,
        ratios=("shop_cpu_ms_per_order", "compressed_shop_cpu_ms_per_order", "shop_rate"),
    ),
    "deadlines": Measure("deadlines", "35,000 unpaid orders wait for their deadlines", 6),
    "overload": Measure(
        "overload",
        "three times the orders that can be worked off, for two minutes",
        15,
        usual=False,
        ratios=("overload_doomed", "overload_payments_lost", "overload_p99_second_half_vs_first"),
    ),
    "short_lived": Measure(
        "short_lived",
        "orders that are due soon beside others, under one load",
        15,
        usual=False,
        ratios=(
            "short_lived_p99_vs_ordinary",
            "short_lived_stock_hold_vs_ordinary",
            "short_lived_confirm_vs_ordinary",
            "short_lived_with_ten_minutes_left",
            "short_lived_late",
        ),
    ),
    "rush": Measure("rush", "a rush on a drink of which few cups are left", 10, usual=False),
    "groups": Measure("groups", "10,000 members of a group buy are settled", 10, usual=False),
    "full": Measure("full", "millions of ended runs in the tables", 40, usual=False, ratios=("full_tables_vs_empty",)),
    "prune": Measure(
        "pruning", "orders while 100,000 old runs are pruned", 10, usual=False, ratios=("pruning_p99_vs_none",)
    ),
    "metrics": Measure("metrics", "orders that are counted, and not", 8, usual=False, ratios=("metrics_cpu_vs_off",)),
    "peers": Measure(
        "peers", "the same steps with other engines", 25, usual=False, ratios=("orders_vs_dbos", "no_broker_vs_dbos")
    ),
    "grid": Measure("grid", "cohorts, claims and prefetch: the defaults", 40, usual=False),
}
