"""What is known of a run when a person decides about it: read for many runs by a few statements, locked or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sagas import store
from sagas.decisions.plan import Place
from sagas.definition.definition import Definition
from sagas.engine import compensation, pauses
from sagas.errors import UnknownSaga
from sagas.states import LIVE, UNDECIDED, State
from sagas.store.escalations import Open
from sagas.store.locked_runs import LockedRun
from sagas.store.pauses import Open as Pause


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """A run as a person decides about it.

    Attributes:
        row: the run.
        definition: what it follows; ``None`` if this process does not know its saga.
        standing: what people see of it besides.
        confirmed: the confirmations that it has, or that a decision for many gives it in a moment.
        escalation: its open escalation.
        pauses: what holds it back: a pause of the run, its saga, its next step or all starts.
        undone_from: where it would go if it were undone now; ``None`` if it is decided, or the saga is not known.
        now: the database's time, in seconds of Unix time.
    """

    row: store.runs.Row
    definition: Definition | None
    standing: store.runs.Standing
    confirmed: frozenset[str]
    escalation: Open | None
    pauses: tuple[Pause, ...]
    undone_from: Place | None
    now: float

    @property
    def id(self) -> UUID:
        """The id of the run."""
        return self.row.id

    @property
    def known_as(self) -> str:
        """The business key, or else the id."""
        return self.standing.business_key or str(self.id)

    @property
    def seen(self) -> str:
        """The state and the last log entry: another text as soon as anything has happened to the run."""
        return f"{self.row.state}:{self.standing.entry}"

    @property
    def run(self) -> LockedRun | None:
        """The run with its definition; ``None`` if this process does not know it."""
        return None if self.definition is None else LockedRun(self.row, self.definition)


def look(rows: Iterable[store.runs.Row]) -> list[Situation]:
    """What is known of these runs, in their order.

    Args:
        rows: the runs, read under their locks by who acts, and without them by who only plans.
    """
    rows = list(rows)
    if not rows:
        return []
    ids = [row.id for row in rows]
    definitions = {row.id: _definition_of(row) for row in rows}
    known = [LockedRun(row, found) for row in rows if (found := definitions[row.id]) is not None]
    standings = store.runs.find_standings(ids)
    escalations = store.escalations.find_open_of(ids)
    confirmed = _confirmed(ids, known)
    undone = compensation.places_to_undo([run for run in known if run.row.state in UNDECIDED])
    open_pauses = store.pauses.all_open()
    now = store.runs.clock().timestamp()
    return [
        Situation(
            row=row,
            definition=definitions[row.id],
            standing=standings[row.id],
            confirmed=frozenset(confirmed[row.id]),
            escalation=escalations.get(row.id),
            pauses=tuple(found for found in open_pauses if _applies(found, row, definitions[row.id])),
            undone_from=undone.get(row.id),
            now=now,
        )
        for row in rows
        # One that was pruned between two statements.
        if row.id in standings
    ]


def look_at(ids: Iterable[UUID]) -> list[Situation]:
    """What is known of runs, without locks: they may move on at any time. Ids without a run are left out."""
    return look(store.runs.read(set(ids)))


def state_of(run: Situation) -> State:
    """Where the run stands, or stood when it was escalated."""
    return run.row.state if run.escalation is None else run.escalation.state


def _applies(pause: Pause, row: store.runs.Row, definition: Definition | None) -> bool:
    if row.state not in LIVE and pause.scope != pauses.RUN:
        return False
    steps = pauses.steps_at(LockedRun(row, definition)) if definition is not None else frozenset()
    return pauses.applies(pause, row, steps)


def _definition_of(row: store.runs.Row) -> Definition | None:
    try:
        return store.definitions.find(row.saga, row.version, row.shape)
    except UnknownSaga:
        return None


def _confirmed(ids: Sequence[UUID], known: Sequence[LockedRun]) -> dict[UUID, set[str]]:
    found = store.confirmations.received(ids)
    shared = [run.id for run in known if run.definition.shared is not None]
    for run_id, made in (store.shared_decisions.of_runs(shared) if shared else {}).items():
        if not made.declined:
            found[run_id].add(made.name)
    return found
