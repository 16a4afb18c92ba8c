"""The turns a locked run can take off its happy path: back, or into a person's hands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from sagas import store
from sagas.decisions import plan
from sagas.decisions.plan import Due, Move, Place
from sagas.decisions.remedies import suggest
from sagas.definition.participants import Phase
from sagas.states import State
from sagas.store.locked_runs import LockedRun, by_place


def turn_back(
    runs: Sequence[LockedRun],
    entry: store.moves.Entry,
    reasons: Mapping[UUID, str],
    *,
    due: float | None = None,
) -> list[tuple[Place, list[store.runs.Row]]]:
    """Let locked, undecided runs be undone from where they stand.

    Args:
        runs: the runs.
        entry: what happened to them, for the log.
        reasons: why, by run, as JSON text.
        due: when the dispatcher looks at those that have something to undo, if not at once: whoever turns them
            back sends them on.

    Returns:
        Where they stand then.
    """
    more = _more_to_undo(runs)
    places: list[tuple[Place, list[store.runs.Row]]] = []
    for definition, place, group in by_place(runs):
        for also, some in _by_bits(group, more).items():
            after, now = plan.compensating(definition, place, also)
            when = now if due is None or not plan.onward(definition, after) else due
            store.moves.advance(Move(place, after, when), some, entry, data=reasons, keep=store.moves.Keep.REASON)
            places.append((after, some))
    _await_answers([run.row for run in runs])
    return places


def _more_to_undo(runs: Sequence[LockedRun]) -> dict[UUID, int]:
    """What is to be undone besides the steps that are done, as bits of positions, by run.

    Confirmations that came and can be taken back; and operations that were begun: they may have taken effect,
    although nobody said so.
    """
    # Under the runs' locks: none comes from now on, for a run in COMPENSATING takes no confirmation.
    more = refunds_due(runs)
    for run in runs:
        for step, wait in run.row.waits.items():
            index = run.definition.index(step) if wait.begun else None
            if index is not None and run.definition.has(index, Phase.UNDO):
                more[run.id] |= 1 << index
    return more


def refunds_due(runs: Sequence[LockedRun]) -> dict[UUID, int]:
    """What takes back the confirmations that have come for these locked runs, as bits of positions, by run."""
    due: dict[UUID, int] = defaultdict(int)
    refundable = {
        run.id: run.definition for run in runs if any(c.refund is not None for c in run.definition.confirmations)
    }
    came = store.confirmations.received(list(refundable)) if refundable else {}
    for run_id, names in came.items():
        for confirmation in refundable[run_id].confirmations:
            if confirmation.refund is not None and confirmation.name in names:
                due[run_id] |= 1 << refundable[run_id].index(confirmation.name)
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
        store.runs.wait_until(times)


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
