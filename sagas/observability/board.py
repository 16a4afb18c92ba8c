"""The board of service levels: of each objective the budget that is left and how fast it is spent, and where time goes.

It reads counted minutes by their primary key: a month of each objective, and a day of the stages of its saga.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sagas import store
from sagas.decisions import burn_rates
from sagas.decisions.burn_rates import PERIOD, Burn, Runs
from sagas.definition import registry
from sagas.definition.objectives import Objective
from sagas.observability import stages
from sagas.observability.report import Times
from sagas.store.burn_rates import Incident

#: The time over which it is said how long stages took.
LATELY = timedelta(days=1)
#: The last incidents of a saga that are shown.
INCIDENTS = 10


@dataclass(frozen=True, slots=True)
class Level:
    """One objective of one saga.

    Attributes:
        runs: those of the last thirty days.
        left: the share of the error budget that is left; below 0 if the objective is missed, ``None`` without runs.
        burns: one for each pair of windows, the fastest first.
        incident: the open one.
    """

    saga: str
    objective: Objective
    runs: Runs
    left: float | None
    burns: Sequence[Burn]
    incident: Incident | None


@dataclass(frozen=True, slots=True)
class Stage:
    """How long the stays in a stage took lately.

    Attributes:
        is_undo: whether it is on the way back.
        faults: how many of the stays ended in a fault.
    """

    name: str
    is_undo: bool
    times: Times
    faults: int


@dataclass(frozen=True, slots=True)
class Saga:
    """How long the runs of a saga took lately.

    Attributes:
        runs: whole runs by how they ended, the wait for customers left out.
        undo: from the turn until all is undone: the lag of compensation; ``None`` if nothing was undone.
        stages: forward first, then back, each in the order in which a run comes to them.
        incidents: the last ones, the latest first.
    """

    name: str
    runs: Sequence[tuple[str, Times]]
    undo: Times | None
    stages: Sequence[Stage]
    incidents: Sequence[Incident]


@dataclass(frozen=True, slots=True)
class Board:
    """All of it, as of the time up to which runs are counted; ``None`` if nothing was counted ever."""

    at: datetime | None
    levels: Sequence[Level]
    sagas: Sequence[Saga]


def look() -> Board:
    """Look at every saga that declares objectives."""
    declared = registry.objectives()
    at = store.service_levels.counted_until()
    if at is None or not declared:
        return Board(at, [], [])
    sagas = sorted(declared)
    windows = store.burn_rates.windows(at, sagas)
    months = store.burn_rates.totals(sagas, at - PERIOD, at)
    still_open = store.burn_rates.open_incidents()
    levels = [
        _level(saga, objective, months, windows.get((saga, objective.name), {}), still_open.get((saga, objective.name)))
        for saga in sagas
        for objective in declared[saga]
    ]
    return Board(at, levels, [_saga(saga, at) for saga in sagas])


def _level(
    saga: str,
    objective: Objective,
    months: dict[tuple[str, str], Runs],
    windows: dict[timedelta, Runs],
    incident: Incident | None,
) -> Level:
    runs = months.get((saga, objective.name), Runs())
    left = 1 - objective.burn(runs.good, runs.bad) if runs.good + runs.bad else None
    return Level(saga, objective, runs, left, burn_rates.burns(objective, windows), incident)


def _saga(name: str, at: datetime) -> Saga:
    runs: dict[str, Times] = {}
    undo: Times | None = None
    found: dict[str, Times] = {}
    faults: dict[str, int] = {}
    for count in store.service_levels.summed(name, at - LATELY, at, subjects=("run", "undo", "stage")):
        if count.subject == "run":
            runs.setdefault(count.outcome, Times()).add(count)
        elif count.subject == "undo":
            undo = undo or Times()
            undo.add(count)
        elif count.outcome != "WAITED":
            found.setdefault(count.name, Times()).add(count)
            faults[count.name] = faults.get(count.name, 0) + (count.number if count.outcome == "FAULT" else 0)
    newest = {definition.name: definition for definition in registry.all_definitions()}
    order = stages.in_order(found, newest.get(name))
    return Saga(
        name,
        sorted(runs.items(), reverse=True),
        undo,
        [
            Stage(stage, is_undo, found[stage], faults[stage])
            for is_undo, names in ((False, order.forward), (True, order.backward))
            for stage in names
        ],
        store.burn_rates.latest_incidents(name, INCIDENTS),
    )
