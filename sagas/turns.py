"""The turns a locked run can take off its happy path: back, or into a person's hands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from sagas import plan, store
from sagas.definition import Definition
from sagas.plan import Due, Move, Place
from sagas.states import State


def turn_back(definition: Definition, rows: Sequence[store.Row], reasons: Mapping[UUID, str]) -> None:
    """Let locked, undecided runs be undone from where they stand.

    Args:
        definition: the saga of all of them.
        rows: the runs.
        reasons: why, by run, as JSON text.
    """
    moves: dict[Move, list[UUID]] = defaultdict(list)
    for row in rows:
        after, due = plan.compensating(definition, row.place)
        moves[Move(row.place, after, due)].append(row.id)
    for change, ids in moves.items():
        store.move(change, ids, reasons=reasons)


def escalate(row: store.Row, *, step: str, operation: str, error: str) -> None:
    """Hand a locked run to a person: it stands still until it is resumed.

    Args:
        row: the run.
        step: the step that broke, if one did.
        operation: its operation.
        error: what is wrong, as JSON text.
    """
    store.escalate(row, step=step, operation=operation, error=error)
    note_event("escalate", [row], {row.id: error}, step=step)
    store.move(Move(row.place, Place(State.ESCALATED, row.cursor), Due.NEVER), [row.id])


def note_event(
    event: str,
    rows: Sequence[store.Row],
    data: Mapping[UUID, str] | None = None,
    *,
    step: str = "",
    by: str = "",
) -> None:
    """Log something that happened to locked runs, other than an operation of a step."""
    store.log(store.Entry(operation=event, outcome="EVENT", step=step, worker=by), rows, data)
