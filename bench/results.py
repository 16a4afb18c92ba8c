"""What a measure has found, as plain data, and the values that its ratios should reach. Pure.

A rate is that of the best round: other load on the machine only lowers a rate, for seconds at a time, on one side of a
comparison or the other. Latencies are measured alternately, so both sides are disturbed alike. CPU time is the median.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: its first column is text, the others are numbers, already written as they are shown."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Curve:
    """What a figure becomes as one thing is changed.

    Attributes:
        name: of its file.
        title: above it.
        x: what is changed.
        y: what is measured; the axis begins at 0.
        points: by line, pairs of both.
    """

    name: str
    title: str
    x: str
    y: str
    points: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(slots=True)
class Found:
    """What one measure has found.

    Attributes:
        ratios: by the names of ``TARGETS``, and others.
        missing: by the name of a ratio, why it was not measured.
        figures: everything, for other programs.
        sheets: for people.
        curves: for people.
    """

    ratios: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    sheets: list[Sheet] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Target:
    """The least, or the highest, value that a ratio should have."""

    at_least: float | None = None
    at_most: float | None = None

    def is_reached(self, ratio: float) -> bool:
        """Whether it is good enough."""
        return (self.at_least is None or ratio >= self.at_least) and (self.at_most is None or ratio <= self.at_most)

    def __str__(self) -> str:
        """As in the table."""
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


TARGETS: Mapping[str, Target] = {
    "orders_to_awaiting_vs_bare_chain": Target(at_least=20),
    "orders_vs_bare_chain": Target(at_least=12),
    "orders_to_awaiting_vs_best_bare_chain": Target(at_least=9),
    "compressed_vs_bare_chain": Target(at_least=28),
    "hot_vs_distinct": Target(at_least=0.95),
    "compressed_hot_vs_distinct": Target(at_least=0.5),
    "hot_vs_lock": Target(at_least=4),
    "idle_p50_vs_bare_chain": Target(at_most=1.0),
    "compressed_idle_p50_vs_bare_chain": Target(at_most=0.7),
    "no_broker_idle_p50_vs_bare_chain": Target(at_most=0.9),
    "orders_vs_dbos": Target(at_least=75),
    "no_broker_vs_dbos": Target(at_least=100),
    "compensating_10_vs_0": Target(at_least=0.8),
    "full_tables_vs_empty": Target(at_least=0.9),
    "pruning_p99_vs_none": Target(at_most=1.2),
    "metrics_cpu_vs_off": Target(at_most=1.03),
    "post_cpu_vs_trivial_view": Target(at_most=1.75),
    "shop_cpu_ms_per_order": Target(at_most=8.5),
    "compressed_shop_cpu_ms_per_order": Target(at_most=7),
    "shop_rate": Target(at_least=150),
    "overload_doomed": Target(at_most=0),
    "overload_payments_lost": Target(at_most=0),
    "overload_p99_second_half_vs_first": Target(at_most=1.2),
    "short_lived_p99_vs_ordinary": Target(at_most=0.44),
    "short_lived_stock_hold_vs_ordinary": Target(at_most=0.24),
    "short_lived_confirm_vs_ordinary": Target(at_most=0.27),
    "short_lived_with_ten_minutes_left": Target(at_least=0.99),
    "short_lived_late": Target(at_most=0.01),
}


def percentile(values: Sequence[float], percent: int) -> float:
    """The given percentile, from 1 to 99, of at least two values."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Percentiles of latencies, and how many there are."""
    return {
        "p50_ms": percentile(milliseconds, 50),
        "p99_ms": percentile(milliseconds, 99),
        "samples": len(milliseconds),
    }
