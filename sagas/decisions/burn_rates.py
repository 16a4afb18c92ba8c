"""Burn rates: how fast an objective's error budget is spent, over pairs of windows. Pure.

A burn rate of 1 spends the budget in exactly the time for which it is meant. A pair burns if both of its windows do:
the longer one says that it matters, and the shorter one that it still goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sagas.definition.objectives import Objective

#: For how long a budget is meant.
PERIOD = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two windows, and the burn rate from which on people are told."""

    factor: float
    long: timedelta
    short: timedelta


#: The fastest first: two percent of the month's budget within an hour, five within six hours, ten within three days.
PAIRS = (
    Pair(14.4, timedelta(hours=1), timedelta(minutes=5)),
    Pair(6.0, timedelta(hours=6), timedelta(minutes=30)),
    Pair(1.0, timedelta(days=3), timedelta(hours=6)),
)
#: The windows of all pairs, the shortest first.
WINDOWS = tuple(sorted({length for pair in PAIRS for length in (pair.long, pair.short)}))


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs that have ended in a window."""

    good: int = 0
    bad: int = 0


@dataclass(frozen=True, slots=True)
class Burn:
    """The burn rates of a pair; 0 where no run has ended.

    Attributes:
        place: the pair's place in ``PAIRS``.
        is_burning: whether both windows have reached the factor, with enough bad runs.
    """

    place: int
    long: float
    short: float
    runs: Runs
    is_burning: bool

    @property
    def pair(self) -> Pair:
        """Its windows."""
        return PAIRS[self.place]


def burns(objective: Objective, seen: Mapping[timedelta, Runs]) -> list[Burn]:
    """Judge each pair, in the order of ``PAIRS``."""
    found = []
    for place, pair in enumerate(PAIRS):
        runs = seen.get(pair.long, Runs())
        long, short = (_rate(objective, seen.get(length, Runs())) for length in (pair.long, pair.short))
        is_burning = min(long, short) >= pair.factor and runs.bad >= objective.floor
        found.append(Burn(place, long, short, runs, is_burning))
    return found


def fastest(found: list[Burn]) -> Burn | None:
    """The first pair that burns; ``None`` if none does."""
    return next((burn for burn in found if burn.is_burning), None)


def rate(burn: float) -> str:
    """A burn rate for people, without an exponent."""
    return f"{burn:,.0f} ×" if burn >= 100 else f"{burn:.3g} ×"


def _rate(objective: Objective, runs: Runs) -> float:
    return objective.burn(runs.good, runs.bad) if runs.good + runs.bad else 0.0
