"""What a person has paused is held back: a run, a saga, a step's participant, or all new starts.

A claim and a delivery ask, under the locks of their runs, and hold back those that are paused: nothing is performed for
them, and nothing turns them back, until the pause is over. What has begun already ends as it does: its outcome is
recorded. Confirmations and cancellations are taken at any time, and what follows them waits. While nothing is paused,
this costs no statement; see ``store.runs.GUARDED``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol, TypeVar
from uuid import UUID

from sagas import store
from sagas.decisions import plan
from sagas.definition.definition import Definition
from sagas.errors import UnknownSaga
from sagas.states import LIVE, State
from sagas.store.locked_runs import LockedRun
from sagas.store.pauses import Open

Run = TypeVar("Run", bound=LockedRun)

#: What a pause may be about.
RUN, SAGA, STEP, STARTS = SCOPES = ("run", "saga", "step", "starts")

#: Seconds after which a held run is looked at again: as long as the pause has lasted, from 5 s to 5 minutes. So a
#: million of them cost little. The end of the pause makes them due.
SOONEST: Final = 5.0
LONGEST: Final = 300.0


class Paused(Protocol):
    """A run that may be paused: the engine's row, or the model's."""

    @property
    def id(self) -> UUID: ...
    @property
    def saga(self) -> str: ...
    @property
    def state(self) -> str: ...


def applies(pause: Open, row: Paused, steps: Collection[str] = ()) -> bool:
    """Whether a pause holds a run back that is about to perform one of these steps."""
    match pause.scope:
        case "run":
            return row.id == pause.run_id
        case "saga":
            return row.saga == pause.saga
        case "starts":
            return row.state == State.PENDING and pause.saga in {"", row.saga}
        case _:
            return row.saga == pause.saga and pause.step in steps


def hold_rows(rows: Sequence[store.runs.Row], steps: Collection[str] = ()) -> list[store.runs.Row]:
    """Hold back those of these locked runs that are paused; return the others.

    Args:
        rows: the runs, read with ``GUARDED``.
        steps: the steps that all of them are about to perform.
    """
    if not any(row.guarded for row in rows):
        return list(rows)
    return _hold(rows, lambda pause, row: applies(pause, row, steps), store.pauses.all_open())


def hold_runs(runs: Sequence[Run], *, asked: bool = False) -> list[Run]:
    """The same for runs whose definition is known, wherever each stands.

    Args:
        runs: the runs.
        asked: whether they were read with ``GUARDED``. If not, it costs a statement.
    """
    if not runs or (asked and not any(run.row.guarded for run in runs)):
        return list(runs)
    pauses = store.pauses.all_open()
    steps = {run.id: steps_at(run) for run in runs} if pauses else {}
    left = {
        row.id
        for row in _hold([run.row for run in runs], lambda pause, row: applies(pause, row, steps[row.id]), pauses)
    }
    return [run for run in runs if run.id in left]


def steps_at(run: LockedRun) -> frozenset[str]:
    """The steps of which a run performs an operation next."""
    if run.row.state not in LIVE:
        return frozenset()
    operations = plan.operations_at(run.definition, run.row.place)
    return frozenset(run.definition.all_steps[index].name for index, _ in operations)


def _hold(rows: Sequence[store.runs.Row], is_held: object, pauses: Iterable[Open]) -> list[store.runs.Row]:
    assert callable(is_held)
    held: dict[tuple[int, bool], list[store.runs.Row]] = defaultdict(list)
    by_id = {pause.id: pause for pause in pauses}
    for row in rows:
        # The oldest: it has held the run back for longest.
        pause = next((pause for pause in by_id.values() if is_held(pause, row)), None)
        if pause is not None:
            held[pause.id, _is_span(row)].append(row)
    still = store.pauses.keep({pause for pause, _ in held}) if held else set()
    gone = set()
    for (number, shift), some in held.items():
        if number in still:
            pause = by_id[number]
            look = min(max(pause.age, SOONEST), LONGEST)
            store.pauses.hold([row.id for row in some], since=pause.since, look=look, shift=shift)
            gone |= {row.id for row in some}
    return [row for row in rows if row.id not in gone]


def _is_span(row: store.runs.Row) -> bool:
    """Whether the deadline of a run is some time after its start, and no hour of the day."""
    try:
        definition: Definition = store.definitions.find(row.saga, row.version, row.shape)
    except UnknownSaga:
        return False
    return all(confirmation.until is None for confirmation in definition.confirmations)
