"""The report of service levels over a time: what was good, and the incidents that cost budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sagas.definition.objectives import Objective
from sagas.store.service_levels import BOUNDS, Count

#: Bad minutes that are at most so far apart are one incident.
GAP = timedelta(minutes=15)


@dataclass(slots=True)
class Incident:
    """Bad runs that ended close to each other.

    Attributes:
        began: the first minute with a bad run.
        ended: the last one.
        late: how many runs took too long.
        person: how many needed a person.
    """

    began: datetime
    ended: datetime
    late: int = 0
    person: int = 0

    @property
    def bad(self) -> int:
        """The bad runs."""
        return self.late + self.person


@dataclass(slots=True)
class Level:
    """One objective of one saga over the time.

    Attributes:
        good: number of good runs.
        incidents: where the bad runs are, in order of time.
    """

    saga: str
    objective: Objective
    good: int = 0
    incidents: list[Incident] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """The bad runs."""
        return sum(incident.bad for incident in self.incidents)

    @property
    def spent(self) -> float | None:
        """The share of the error budget that was spent; more than 1 if the objective was missed, None without runs."""
        return self.objective.burn(self.good, self.bad) if self.good + self.bad else None


@dataclass(slots=True)
class Times:
    """How long runs, or stays in a stage, took.

    Attributes:
        buckets: how many had reached so many of ``BOUNDS``.
    """

    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    @property
    def number(self) -> int:
        """How many."""
        return sum(self.buckets)

    def add(self, count: Count) -> None:
        """Add those of a minute."""
        self.buckets[count.bucket] += count.number
        self.seconds += count.seconds

    def percentile(self, share: float) -> float | None:
        """The bound in seconds that this share of them did not reach; None if it is beyond the last bound."""
        rank, passed = share * self.number, 0
        for bound, number in zip(BOUNDS, self.buckets, strict=False):
            passed += number
            if passed >= rank:
                return bound
        return None


def levels(counts: Iterable[Count], declared: Mapping[str, Sequence[Objective]]) -> list[Level]:
    """What became of each declared objective, also of one without runs, by saga and in the order of declaration."""
    found = {
        (saga, objective.name): Level(saga, objective)
        for saga, objectives in sorted(declared.items())
        for objective in objectives
    }
    for count in sorted(counts, key=lambda count: count.minute):
        level = found.get((count.saga, count.name))
        if count.subject != "objective" or level is None:
            continue
        if count.outcome == "good":
            level.good += count.number
            continue
        if not level.incidents or count.minute - level.incidents[-1].ended > GAP:
            level.incidents.append(Incident(count.minute, count.minute))
        incident = level.incidents[-1]
        incident.ended = count.minute
        if count.outcome == "person":
            incident.person += count.number
        else:
            incident.late += count.number
    return list(found.values())


def times(counts: Iterable[Count], saga: str) -> dict[tuple[str, str, str], Times]:
    """The times of a saga's runs, undos and stages, by subject, name and outcome."""
    found: defaultdict[tuple[str, str, str], Times] = defaultdict(Times)
    for count in counts:
        if count.saga == saga and count.subject != "objective":
            found[count.subject, count.name, count.outcome].add(count)
    return dict(sorted(found.items()))
