"""When a new run would wait too long to begin, from looks at the backlog. Pure: no clock, no SQL.

Runs begin in the order in which they became due. The backlog's *head* is the due time of the oldest run that could
begin. If the head moves on by half a second each second, the backlog has twice the time of work in it that its age
says. Near the limit the runs are also counted, since a count knows a burst that the head has not reached yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

#: Seconds for which a look counts.
WINDOW = 10.0
#: A head that hardly moves is taken for one that moves so fast, in seconds a second.
SLOWEST = 0.05
#: Nobody is refused while the oldest run has waited no longer. Work that is shared by ticks of a second waits so long.
NEVER_BELOW = 2.0
#: Runs are counted from this part of the limit on.
NEAR = 0.25
#: Runs that are counted at most, at a look.
MOST_COUNTED = 20_000


@dataclass(frozen=True, slots=True)
class Count:
    """Runs that could begin, the oldest first.

    Attributes:
        waiting: how many, at most as many as were asked for.
        is_all: whether no more wait than were counted.
        through: the due time of the last one that was counted, in seconds of Unix time.
        left: how many of those that were counted at the look before still wait.
        stood: whether the last one of those still waits, so that there was always something to begin meanwhile.
    """

    waiting: int
    is_all: bool
    through: float
    left: int
    stood: bool


@dataclass(frozen=True, slots=True)
class Look:
    """The backlog at one moment. Times are in seconds of Unix time, by the database's clock.

    Attributes:
        at: when.
        head: the due time of the oldest run that could begin; ``at`` if none waits.
        count: the runs counted, if they were.
    """

    at: float
    head: float
    count: Count | None = None

    @property
    def age(self) -> float:
        """For how long the oldest run has waited."""
        return max(self.at - self.head, 0.0)


def keep(looks: Sequence[Look], look: Look) -> tuple[Look, ...]:
    """Add a look, and forget those that are too old. A clock that was set back makes a new beginning."""
    return (*(old for old in looks if 0 <= look.at - old.at <= WINDOW), look)


def pace(looks: Sequence[Look]) -> float:
    """By how many seconds the head moves on each second, from ``SLOWEST`` to 1; 1 until there are two looks."""
    first, last = looks[0], looks[-1]
    if last.at <= first.at:
        return 1.0
    return min(max((last.head - first.head) / (last.at - first.at), SLOWEST), 1.0)


def rate(looks: Sequence[Look]) -> float | None:
    """How many runs begin each second while a backlog stands; ``None`` if that was not seen."""
    begun = seconds = 0.0
    for before, after in pairwise(looks):
        if before.count and after.count and after.count.stood:
            begun += before.count.waiting - after.count.left
            seconds += after.at - before.at
    return begun / seconds if begun > 0 and seconds > 0 else None


def expected_wait(looks: Sequence[Look]) -> float:
    """For how many seconds a run that is started now waits to begin; 0 if nothing is known."""
    if not looks:
        return 0.0
    by_pace = looks[-1].age / pace(looks)
    count, begun = looks[-1].count, rate(looks)
    if count is None or begun is None:
        return by_pace
    by_count = count.waiting / begun
    # The head is slow while it passes a burst. The runs behind a burst that fits are not refused for that.
    return by_count if count.is_all else max(by_count, by_pace)


def runs_to_count(looks: Sequence[Look], limit: float) -> int:
    """How many runs to count at the look that is the last of these; 0 if none need be counted."""
    if not looks or looks[-1].age / pace(looks) < NEAR * limit:
        return 0
    begun = rate(looks)
    return MOST_COUNTED if begun is None else min(MOST_COUNTED, math.ceil(1.5 * limit * begun) + 100)


def excess(looks: Sequence[Look], limit: float) -> float:
    """For how many seconds new runs must be refused; 0 if they are accepted."""
    if not looks or looks[-1].age <= NEVER_BELOW:
        return 0.0
    return max(expected_wait(looks) - limit, 0.0)
