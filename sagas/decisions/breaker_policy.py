"""When a participant's breaker opens: a pure decision over its retried operations. No database, no clock.

Only confirms and undos are judged, and of them only attempts after the first: what succeeds at once is never counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """Retried operations that one transaction has finished.

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
    """When it opens; the figures are settings.

    Attributes:
        operations: how many are looked at in a window at most: the last ones.
        minimum: fewer than so many in a window say nothing.
        rate: part of them that failed, 0 to 1, from which on a window counts as bad.
        window: its length in seconds.
        windows: so many windows running must be bad.
    """

    operations: int
    minimum: int
    rate: float
    window: float
    windows: int


@dataclass(frozen=True, slots=True)
class Window:
    """What was looked at in one window."""

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
