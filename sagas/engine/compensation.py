"""The turns a locked run can take off its happy path: back, or into a person's hands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from sagas import store
from sagas.decisions import plan
from sagas.decisions.plan import Due, Move, Place
from sagas.decisions.remedies import suggest
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.states import State


def turn_back(
    definition: Definition,
    rows: Sequence[store.runs.Row],
    entry: store.moves.Entry,
    reasons: Mapping[UUID, str],
    *,
    due: float | None = None,
) -> list[tuple[Place, list[store.runs.Row]]]:
    """Let locked, undecided runs be undone from where they stand.

    Args:
        definition: the saga of all of them.
        rows: the runs.
        entry: what happened to them, for the log.
        reasons: why, by run, as JSON text.
        due: when the dispatcher looks at those that have something to undo, if not at once: whoever turns them
            back sends them on.

    Returns:
        Where they stand then.
    """
    more = _more_to_undo(definition, rows)
    places: list[tuple[Place, list[store.runs.Row]]] = []
    for place, group in store.runs.by_place(rows).items():
        for also, some in _by_bits(group, more).items():
            after, now = plan.compensating(definition, place, also)
            when = now if due is None or not plan.onward(definition, after) else due
            store.moves.advance(Move(place, after, when), some, entry, data=reasons, keep=store.moves.Keep.REASON)
            places.append((after, some))
    _await_answers(rows)
    return places


def _more_to_undo(definition: Definition, rows: Sequence[store.runs.Row]) -> dict[UUID, int]:
    """What is to be undone besides the steps that are done, as bits of positions, by run.

    Confirmations that came and can be taken back; and operations that were begun: they may have taken effect,
    although nobody said so.
    """
    # Under the runs' locks: none comes from now on, for a run in COMPENSATING takes no confirmation.
    more = refunds_due(definition, rows)
    for row in rows:
        for step, wait in row.waits.items():
            if wait.begun and definition.has(definition.index(step), Phase.UNDO):
                more[row.id] |= 1 << definition.index(step)
    return more


def refunds_due(definition: Definition, rows: Sequence[store.runs.Row]) -> dict[UUID, int]:
    """What takes back the confirmations that have come for these locked runs, as bits of positions, by run."""
    due: dict[UUID, int] = defaultdict(int)
    positions = {c.name: definition.index(c.name) for c in definition.confirmations if c.refund is not None}
    if positions:
        for run_id, names in store.confirmations.confirmations([row.id for row in rows]).items():
            due[run_id] = sum(1 << positions[name] for name in names & set(positions))
    return due


def _by_bits(rows: Sequence[store.runs.Row], bits: Mapping[UUID, int]) -> dict[int, list[store.runs.Row]]:
    groups: dict[int, list[store.runs.Row]] = defaultdict(list)
    for row in rows:
        groups[bits.get(row.id, 0)].append(row)
    return groups


def _await_answers(rows: Sequence[store.runs.Row]) -> None:
    """Let the undo wait for what was begun and has not been answered: it may still take effect."""
    times = {
        row.id: max(wait.until for wait in row.waits.values() if wait.operation)
        for row in rows
        if row.pending and any(wait.operation for wait in row.waits.values())
    }
    if times:
        store.waits.wait_until(times)


#: The confirmation that a run waits for which is a step of another.
PARENT = "@parent"


def wanted(definition: Definition, row: store.runs.Row) -> set[str]:
    """Names of the confirmations that a run waits for."""
    return {confirmation.name for confirmation in definition.confirmations} | ({PARENT} if row.parent_id else set())


def escalate(row: store.runs.Row, entry: store.moves.Entry, error: str, *, operation: str = "") -> None:
    """Hand a locked run to a person: it stands still until it is resumed, or resolved by hand.

    Args:
        row: the run.
        entry: what happened to it, for the log; its step is where the run stands.
        error: what is wrong, as JSON text.
        operation: what comes next for it, where the entry is an event and does not say so.
    """
    operation = operation if entry.outcome == "EVENT" else entry.operation
    suggestion = suggest(row.state, entry.step, operation, error)
    store.escalations.open_escalation(row, step=entry.step, operation=operation, error=error, suggestion=suggestion)
    after = Place(State.ESCALATED, row.cursor, row.fork)
    store.moves.advance(Move(row.place, after, Due.NEVER), [row], entry, data={row.id: error})


def event(name: str, *, step: str = "", by: str = "") -> store.moves.Entry:
    """Log entry of something that happened to a run, other than an operation of a step."""
    return store.moves.Entry(operation=name, outcome="EVENT", step=step, worker=by)
