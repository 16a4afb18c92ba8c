"""The turns a locked run can take off its happy path: back, or into a person's hands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from sagas import plan, store
from sagas.definition import Definition
from sagas.plan import Due, Move, Place
from sagas.states import State


def turn_back(
    definition: Definition, rows: Sequence[store.Row], entry: store.Entry, reasons: Mapping[UUID, str]
) -> None:
    """Let locked, undecided runs be undone from where they stand.

    Args:
        definition: the saga of all of them.
        rows: the runs.
        entry: what happened to them, for the log.
        reasons: why, by run, as JSON text.
    """
    refunds = _refunds(definition, rows)
    for place, group in store.by_place(rows).items():
        for due_back, some in _by_refunds(group, refunds).items():
            after, due = plan.compensating(definition, place, due_back)
            store.advance(Move(place, after, due), some, entry, data=reasons, keep=store.Keep.REASON)
    _await_answers(rows)


def _refunds(definition: Definition, rows: Sequence[store.Row]) -> dict[UUID, int]:
    """Bits of the positions of what takes back the confirmations that came, by run."""
    positions = {c.name: definition.index(c.name) for c in definition.confirmations if c.refund is not None}
    if not positions:
        return {}
    # Under the runs' locks: none comes from now on, for a run in COMPENSATING takes no confirmation.
    came = store.confirmations([row.id for row in rows])
    return {run_id: sum(1 << positions[name] for name in names & set(positions)) for run_id, names in came.items()}


def _by_refunds(rows: Sequence[store.Row], refunds: Mapping[UUID, int]) -> dict[int, list[store.Row]]:
    groups: dict[int, list[store.Row]] = defaultdict(list)
    for row in rows:
        groups[refunds.get(row.id, 0)].append(row)
    return groups


def _await_answers(rows: Sequence[store.Row]) -> None:
    """Let the undo wait for what was begun and has not been answered: it may still take effect."""
    times = {
        row.id: max(wait.until for wait in row.waits.values() if wait.operation)
        for row in rows
        if row.pending and any(wait.operation for wait in row.waits.values())
    }
    if times:
        store.wait_until(times)


def escalate(row: store.Row, entry: store.Entry, error: str) -> None:
    """Hand a locked run to a person: it stands still until it is resumed.

    Args:
        row: the run.
        entry: what happened to it, for the log.
        error: what is wrong, as JSON text.
    """
    store.open_escalation(row, step=entry.step, operation=entry.operation, error=error)
    after = Place(State.ESCALATED, row.cursor, row.fork)
    store.advance(Move(row.place, after, Due.NEVER), [row], entry, data={row.id: error})


def event(name: str, *, step: str = "", by: str = "") -> store.Entry:
    """Log entry of something that happened to a run, other than an operation of a step."""
    return store.Entry(operation=name, outcome="EVENT", step=step, worker=by)
