"""Make a failing schedule small: the fewest lines that still break the same promise, with the roundest numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tests.simulator.trace import Item, Schedule

#: Whether a schedule still fails in the same way.
Fails = Callable[[Schedule], bool]

#: How often a schedule is played for it, at most.
PATIENCE = 600


class Shrinker:
    """Tries smaller schedules, as long as there is patience.

    Args:
        fails: plays a schedule and says whether it still fails.
        patience: how often it may be asked.
    """

    def __init__(self, fails: Fails, *, patience: int = PATIENCE) -> None:
        self._fails = fails
        self.left = patience

    def shrink(self, schedule: Schedule) -> Schedule:
        """Shrink a schedule that fails; what is given back fails too."""
        before = None
        while schedule != before and self.left > 0:
            before = schedule
            schedule = self._fewer(schedule)
            schedule = self._simpler(schedule)
        return schedule

    def _holds(self, schedule: Schedule) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        return self._fails(schedule)

    def _fewer(self, schedule: Schedule) -> Schedule:
        """Delta debugging: leave out ever smaller parts, until no single line can be left out."""
        items = list(schedule.items)
        size = max(1, len(items) // 2)
        while items:
            start = 0
            while start < len(items):
                rest = items[:start] + items[start + size :]
                if rest and self._holds(schedule.of(rest)):
                    items = rest
                else:
                    start += size
            if size == 1:
                break
            size = max(1, size // 2)
        return schedule.of(items)

    def _simpler(self, schedule: Schedule) -> Schedule:
        for name in list(schedule.settings):
            rest = {key: value for key, value in schedule.settings.items() if key != name}
            if self._holds(candidate := replace(schedule, settings=rest)):
                schedule = candidate
        for number in range(len(schedule.items)):
            for item in _simpler_items(schedule.items[number]):
                if self._holds(candidate := _with(schedule, number, item)):
                    schedule = candidate
                    break
        return schedule


def _with(schedule: Schedule, number: int, item: Item) -> Schedule:
    items: Sequence[Item] = schedule.items
    return schedule.of([*items[:number], item, *items[number + 1 :]])


def _simpler_items(item: Item) -> Iterator[Item]:
    """What says the same with less, or with rounder numbers; the simplest first."""
    if item.at:
        for at in (0.0, float(round(item.at)), round(item.at, 1)):
            if at != item.at:
                yield replace(item, at=at)
    for name, value in item.args:
        if name in {"saga", "what", "at"}:
            continue
        if name in {"for", "by", "after"}:
            for simpler in (1, 10, 40, 100):
                if simpler < float(value) or (f"{simpler}" != value and simpler <= 1):
                    yield item.having(**{name: simpler})
        elif name == "faults" and "," in value:
            for word in value.split(","):
                yield item.having(faults=word)
        else:
            yield item.having(**{name: None})
