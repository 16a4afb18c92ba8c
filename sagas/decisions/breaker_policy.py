"""When a circuit breaker opens: one rule for both kinds of breakers. Pure: no database, no clock.

The breakers of confirms and undos (``sagas.engine.breakers``) count retried attempts only. The circuits of remote
participants (``sagas.remote.circuit``) count every call, in Redis; a test compares their script with this rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """Operations that one transaction has finished.

    Attributes:
        age: seconds ago.
        succeeded: of them.
        failed: the others.
    """

    age: float
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a breaker opens.

    Attributes:
        operations: at most so many operations of a window are counted, the last ones.
        minimum: a window with fewer operations is not bad.
        rate: the share of failed operations, 0 to 1, from which on a window is bad.
        window: seconds of one window.
        windows: so many windows in a row must be bad.
    """

    operations: int
    minimum: int
    rate: float
    window: float
    windows: int


@dataclass(frozen=True, slots=True)
class Window:
    """What was counted in one window."""

    retried: int
    failed: int


def windows(samples: Iterable[Sample], rule: Rule) -> list[Window]:
    """Sort samples into windows, the latest first, and count the last operations of each.

    A sample is counted whole: in one transaction there is no first and last.
    """
    counted = [Window(0, 0) for _ in range(rule.windows)]
    for sample in sorted(samples, key=lambda sample: sample.age):
        index = int(max(sample.age, 0.0) // rule.window)
        if index >= rule.windows or counted[index].retried >= rule.operations:
            continue
        before = counted[index]
        counted[index] = Window(before.retried + sample.succeeded + sample.failed, before.failed + sample.failed)
    return counted


def opens(counted: Sequence[Window], rule: Rule) -> bool:
    """Whether every window is bad."""
    return bool(counted) and all(
        window.retried >= rule.minimum and window.failed >= rule.rate * window.retried for window in counted
    )
