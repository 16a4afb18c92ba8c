"""Compute rates, percentiles, and the ratios that have targets, from measurements. Pure.

A rate is that of the best round. Other load on the machine only lowers a rate, for seconds at a time, on one side of
a comparison or the other: on a busy machine the median of three rounds gave ratios from 7 to 14, the best of three
8.3 to 10. Latencies are measured alternately, so both sides are disturbed alike, and their median is used. All rounds
and samples are stored, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

from bench.measured import Latencies, Measured, Throughput

#: A bare chain of four tasks is published once, and its tasks publish three more messages.
BARE_MESSAGES = 4


@dataclass(frozen=True, slots=True)
class Target:
    """The least, or the highest, value that a ratio may have."""

    at_least: float | None = None
    at_most: float | None = None

    def is_reached(self, ratio: float) -> bool:
        """Whether it is good enough."""
        return (self.at_least is None or ratio >= self.at_least) and (self.at_most is None or ratio <= self.at_most)

    def __str__(self) -> str:
        """As in the table."""
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


TARGETS: Mapping[str, Target] = {
    "orders_vs_bare_chain": Target(at_least=5.0),
    "hot_vs_distinct": Target(at_least=0.8),
    "idle_p50_vs_bare_chain": Target(at_most=3.0),
}


def ratios(measured: Measured) -> dict[str, float]:
    """Compute the ratios.

    ``orders_vs_bare_chain`` is the strict one: from the first claim to SUCCEEDED, which is seven operations against
    the chain's four.
    """
    bare, idle = max(measured.bare), measured.idle
    distinct, hot = _best(measured.distinct), _best(measured.hot)
    return {
        "orders_vs_bare_chain": distinct.whole / bare,
        "orders_to_awaiting_vs_bare_chain": distinct.forward / bare,
        "hot_vs_distinct": hot.whole / distinct.whole,
        "idle_p50_vs_bare_chain": percentile(idle.orders, 50) / percentile(idle.bare, 50),
        "idle_p99_vs_bare_chain": percentile(idle.orders, 99) / percentile(idle.bare, 99),
    }


def missed(found: Mapping[str, float]) -> list[str]:
    """Name the ratios that are worse than their targets."""
    return [name for name, target in TARGETS.items() if not target.is_reached(found[name])]


def figures(measured: Measured) -> dict[str, Any]:
    """The best round of each, what each round gave, and percentiles."""
    return {
        "bare_chain": {
            "chains_per_s": max(measured.bare),
            "messages_per_run": BARE_MESSAGES,
            "rounds": measured.bare,
            **_percentiles(measured.idle.bare),
        },
        "orders_distinct": _rates(measured.distinct),
        "orders_hot": _rates(measured.hot),
        "idle": _idle(measured.idle),
    }


def percentile(values: Sequence[float], percent: int) -> float:
    """The given percentile, from 1 to 99, of at least two values."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _best(rounds: Sequence[Throughput]) -> Throughput:
    return max(rounds, key=lambda found: found.whole)


def _rates(rounds: Sequence[Throughput]) -> dict[str, Any]:
    best = _best(rounds)
    return {
        "runs_per_s_to_awaiting_confirm": best.forward,
        "runs_per_s_confirm_to_succeeded": best.finish,
        "runs_per_s": best.whole,
        "commits_per_run": best.commits,
        "messages_per_run": best.messages,
        "rounds": [asdict(found) for found in rounds],
    }


def _idle(idle: Latencies) -> dict[str, Any]:
    return {
        **_percentiles(idle.orders),
        "payment_to_succeeded": _percentiles(idle.confirms),
        "hops_p50_ms": {name: median(values) for name, values in idle.hops.items()},
        "raw_ms": {"bare_chain": idle.bare, "orders": idle.orders},
    }


def _percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    return {
        "p50_ms": percentile(milliseconds, 50),
        "p99_ms": percentile(milliseconds, 99),
        "samples": len(milliseconds),
    }
