"""The heat map of a saga's lifecycle: in which stage runs stayed how long, and when, beside what is usual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sagas import store
from sagas.definition import registry
from sagas.observability import stages
from sagas.observability.stages import Stages
from sagas.store.burn_rates import Incident
from sagas.store.heat_map import Deploy, Opening
from sagas.store.service_levels import BOUNDS

#: The time whose median is what is usual.
USUAL = timedelta(days=7)
#: Changes of the definition, and incidents, that are marked at most.
MARKS = 20
#: From these multiples of the stage's median on, a p95 is of the next level of heat.
LEVELS = (2.5, 5.0, 10.0, 25.0)
#: Whatever is usual, a stay of so many seconds is not hot.
COOL = 0.01


@dataclass(slots=True)
class Stays:
    """Stays in a stage: how many had reached so many of ``BOUNDS``, and how many ended in a fault."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    faults: int = 0

    @property
    def number(self) -> int:
        """How many."""
        return sum(self.buckets)

    def add(self, bucket: int, number: int, *, is_fault: bool) -> None:
        """Add some."""
        self.buckets[bucket] += number
        self.faults += number if is_fault else 0

    def quantile(self, share: float) -> float:
        """About how many seconds this share of them did not reach: within a bucket they are taken as spread evenly."""
        rank, passed, lower = share * self.number, 0, 0.0
        for bound, number in zip(BOUNDS, self.buckets, strict=False):
            if number and passed + number >= rank:
                return lower + (bound - lower) * (rank - passed) / number
            passed, lower = passed + number, bound
        return BOUNDS[-1]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The map.

    Attributes:
        since: where it begins, a whole minute.
        width: the length of a part.
        parts: how many there are.
        order: the stages in their order.
        stays: by stage and part; nothing where nobody was.
        usual: the median of each stage over a week, in seconds.
    """

    saga: str
    since: datetime
    width: timedelta
    parts: int
    order: Stages
    stays: Mapping[tuple[str, int], Stays]
    usual: Mapping[str, float]
    deploys: Sequence[Deploy]
    openings: Sequence[Opening]
    incidents: Sequence[Incident]

    @property
    def until(self) -> datetime:
        """Where it ends."""
        return self.since + self.parts * self.width

    def factor(self, stage: str, part: int) -> float | None:
        """The p95 of a cell as a multiple of what is usual in its stage; ``None`` where nobody was."""
        found = self.stays.get((stage, part))
        usual = self.usual.get(stage, 0.0)
        if found is None or not usual:
            return None
        return found.quantile(0.95) / usual

    def heat(self, stage: str, part: int) -> int:
        """How hot a cell is, from 0, as usual, to the number of ``LEVELS``."""
        factor = self.factor(stage, part)
        if factor is None or self.stays[stage, part].quantile(0.95) < COOL:
            return 0
        return sum(factor >= level for level in LEVELS)


def look(saga: str, *, width: timedelta, parts: int) -> HeatMap:
    """Look at the last ``parts`` parts of a saga's time.

    Args:
        saga: its name.
        width: the length of a part, in whole minutes; together no more than a week.
        parts: how many.
    """
    now = store.runs.clock()
    # Parts begin at multiples of their length, so that a part is the same at each look.
    seconds = int(width.total_seconds())
    end = datetime.fromtimestamp((int(now.timestamp()) // seconds + 1) * seconds, UTC)
    since = end - parts * width
    found: dict[tuple[str, int], Stays] = {}
    for one in store.heat_map.stays(saga, since, width, parts):
        found.setdefault((one.name, one.part), Stays()).add(one.bucket, one.number, is_fault=one.is_fault)
    week: dict[str, Stays] = {}
    minute = end.replace(second=0, microsecond=0)
    for one in store.heat_map.stays(saga, minute - USUAL, USUAL, 1):
        week.setdefault(one.name, Stays()).add(one.bucket, one.number, is_fault=one.is_fault)
    newest = {definition.name: definition for definition in registry.all_definitions()}
    definition = newest.get(saga)
    steps = [step.name for step in definition.all_steps] if definition is not None else []
    return HeatMap(
        saga=saga,
        since=since,
        width=width,
        parts=parts,
        order=stages.in_order({name for name, _ in found}, definition),
        stays=found,
        usual={name: one.quantile(0.5) for name, one in week.items()},
        deploys=store.heat_map.deploys(saga, since, end, MARKS),
        openings=store.heat_map.openings(saga, steps, since, end),
        incidents=[
            one
            for one in store.burn_rates.latest_incidents(saga, MARKS)
            if one.since < end and (one.closed_at or end) >= since
        ],
    )
