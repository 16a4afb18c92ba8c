"""The turns a locked run can take off its happy path: back, or into a person's hands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sagas import plan, store
from sagas.definition import Definition
from sagas.plan import Due, Move, Place
from sagas.states import State
from sagas.suggestions import suggest


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
    for place, group in store.by_place(rows).items():
        after, due = plan.compensating(definition, place)
        store.advance(Move(place, after, due), group, entry, data=reasons, keep=store.Keep.REASON)


def escalate(row: store.Row, entry: store.Entry, error: str, *, operation: str = "") -> None:
    """Hand a locked run to a person: it stands still until it is resumed, or resolved by hand.

    Args:
        row: the run.
        entry: what happened to it, for the log; its step is where the run stands.
        error: what is wrong, as JSON text.
        operation: what comes next for it, where the entry is an event and does not say so.
    """
    operation = operation if entry.outcome == "EVENT" else entry.operation
    suggestion = suggest(row.state, entry.step, operation, error)
    store.open_escalation(row, step=entry.step, operation=operation, error=error, suggestion=suggestion)
    after = Place(State.ESCALATED, row.cursor)
    store.advance(Move(row.place, after, Due.NEVER), [row], entry, data={row.id: error})


def event(name: str, *, step: str = "", by: str = "") -> store.Entry:
    """Log entry of something that happened to a run, other than an operation of a step."""
    return store.Entry(operation=name, outcome="EVENT", step=step, worker=by)
