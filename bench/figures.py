"""Make figures of what was measured: medians, percentiles, and the ratios that have targets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

from bench.measured import Latencies, Measured, Throughput

#: A bare chain of four tasks is published, and publishes three times.
BARE_MESSAGES = 4


@dataclass(frozen=True, slots=True)
class Target:
    """What a ratio must reach: at least, or at most."""

    at_least: float | None = None
    at_most: float | None = None

    def is_reached(self, ratio: float) -> bool:
        """Whether it is good enough."""
        return (self.at_least is None or ratio >= self.at_least) and (self.at_most is None or ratio <= self.at_most)

    def __str__(self) -> str:
        """Say it as the table does."""
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


TARGETS: Mapping[str, Target] = {
    "orders_vs_bare_chain": Target(at_least=5.0),
    "hot_vs_distinct": Target(at_least=0.8),
    "idle_p50_vs_bare_chain": Target(at_most=3.0),
}


def ratios(measured: Measured) -> dict[str, float]:
    """Compare within each round, then take the median: a machine that drifts drifts for all of a round.

    ``orders_vs_bare_chain`` is the strict reading: all the way from the first claim to SUCCEEDED, which is
    seven operations to the chain's four.
    """
    rounds = list(zip(measured.bare, measured.distinct, measured.hot, strict=True))
    idle = measured.idle
    return {
        "orders_vs_bare_chain": median(distinct.whole / bare for bare, distinct, _ in rounds),
        "orders_to_awaiting_vs_bare_chain": median(distinct.forward / bare for bare, distinct, _ in rounds),
        "hot_vs_distinct": median(hot.whole / distinct.whole for _, distinct, hot in rounds),
        "idle_p50_vs_bare_chain": percentile(idle.orders, 50) / percentile(idle.bare, 50),
        "idle_p99_vs_bare_chain": percentile(idle.orders, 99) / percentile(idle.bare, 99),
    }


def missed(found: Mapping[str, float]) -> list[str]:
    """Name the ratios that are worse than their targets."""
    return [name for name, target in TARGETS.items() if not target.is_reached(found[name])]


def figures(measured: Measured) -> dict[str, Any]:
    """Medians over the rounds, and what each round gave."""
    return {
        "bare_chain": {
            "chains_per_s": median(measured.bare),
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


def _rates(rounds: Sequence[Throughput]) -> dict[str, Any]:
    return {
        "runs_per_s_to_awaiting_confirm": median(t.forward for t in rounds),
        "runs_per_s_confirm_to_succeeded": median(t.finish for t in rounds),
        "runs_per_s": median(t.whole for t in rounds),
        "commits_per_run": median(t.commits for t in rounds),
        "messages_per_run": median(t.messages for t in rounds),
        "rounds": [asdict(t) for t in rounds],
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
