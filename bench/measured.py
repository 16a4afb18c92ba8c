"""Measurements as plain data."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rate:
    """Chains or runs a second, and the milliseconds of CPU that each costs, by kind of process."""

    per_s: float
    cpu: dict[str, float]


@dataclass(frozen=True, slots=True)
class Throughput:
    """Rates of one load of orders.

    Attributes:
        forward: runs a second, from the first claim to the last run's AWAITING_CONFIRM.
        finish: runs a second, from the first claim of paid runs to the last run's SUCCEEDED.
        whole: runs a second over both.
        commits: database commits a run, over both.
        messages: task messages a run, over both.
        forward_cpu: milliseconds of CPU a run, by kind of process and in ``total``, of ``forward``.
        whole_cpu: the same, over both.
    """

    forward: float
    finish: float
    whole: float
    commits: float
    messages: float
    forward_cpu: dict[str, float]
    whole_cpu: dict[str, float]


@dataclass(slots=True)
class Latencies:
    """Milliseconds of an idle system, one value a sample.

    Attributes:
        bare: from before a chain is published to its fourth task.
        orders: from the commit that started a run to the log row of its fourth step.
        confirms: from the commit of its payment to the log row of its last confirm operation.
        hops: of ``orders`` and ``confirms``, from each log row to the next, by ``step.operation``.
    """

    bare: list[float] = field(default_factory=list)
    orders: list[float] = field(default_factory=list)
    confirms: list[float] = field(default_factory=list)
    hops: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
