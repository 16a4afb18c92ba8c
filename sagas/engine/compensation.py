"""What happens to a locked run that cannot go forward: its compensation begins, or a person is called."""

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


def begin_compensation(
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
        due: when runs that have something to undo are due, in seconds. By default they are due at once; a caller that
            publishes their chains itself gives them a lease.

    Returns:
        The places where the runs stand then.
    """
    groups = by_place(runs)
    waiting = [run for run in runs if run.row.pending]
    more = _also_to_undo(runs, waiting)
    places: list[tuple[Place, list[store.runs.Row]]] = []
    for definition, place, rows in groups:
        for also, some in _group_by_bits(rows, more).items():
            after, now = plan.place_to_undo(definition, place, also)
            when = now if due is None or not plan.next_chains(definition, after) else due
            store.moves.advance(Move(place, after, when), some, entry, data=reasons, keep=store.moves.Keep.REASON)
            places.append((after, some))
    if waiting:
        _wait_for_outcomes(waiting)
    return places


def places_to_undo(runs: Sequence[LockedRun]) -> dict[UUID, Place]:
    """Where undecided runs would go if they were undone now. Nothing is written, and they need not be locked."""
    more = _also_to_undo(runs, [run for run in runs if run.row.pending])
    return {run.id: plan.place_to_undo(run.definition, run.row.place, more.get(run.id, 0))[0] for run in runs}


def _also_to_undo(runs: Sequence[LockedRun], waiting: Sequence[LockedRun]) -> dict[UUID, int]:
    """What is to be undone besides the steps that are done, as bits of positions, by run.

    That is: confirmations that were received and can be taken back, and operations that were begun, of those runs that
    wait for one. Such an operation may have taken effect, although its outcome is not known.
    """
    # The runs are locked, and a run in COMPENSATING takes no confirmation: these are all that there will be.
    more = refunds_due(runs)
    for run in waiting:
        for step, wait in run.row.waits.items():
            index = run.definition.index(step) if wait.begun else None
            if index is not None and run.definition.has_operation(index, Phase.UNDO):
                more[run.row.id] |= 1 << index
    return more


def refunds_due(runs: Sequence[LockedRun]) -> dict[UUID, int]:
    """The refunds of the confirmations that these locked runs have received, as bits of positions, by run."""
    due: dict[UUID, int] = defaultdict(int)
    refundable = {
        run.row.id: run.definition for run in runs if any(c.refund is not None for c in run.definition.confirmations)
    }
    came = store.confirmations.received(list(refundable)) if refundable else {}
    for run_id, names in came.items():
        for confirmation in refundable[run_id].confirmations:
            if confirmation.refund is not None and confirmation.name in names:
                due[run_id] |= 1 << refundable[run_id].index(confirmation.name)
    return due


def _group_by_bits(rows: Sequence[store.runs.Row], bits: Mapping[UUID, int]) -> dict[int, list[store.runs.Row]]:
    groups: dict[int, list[store.runs.Row]] = defaultdict(list)
    for row in rows:
        groups[bits.get(row.id, 0)].append(row)
    return groups


def _wait_for_outcomes(runs: Sequence[LockedRun]) -> None:
    """Let the undo wait for operations that were begun and have no outcome yet: they may still take effect."""
    ends = {run.row.id: [wait.until for wait in run.row.waits.values() if wait.operation] for run in runs}
    times = {run_id: max(until) for run_id, until in ends.items() if until}
    if times:
        store.runs.wait_until(times)


def escalate(row: store.runs.Row, entry: store.moves.Entry, error: str, *, operation: str = "") -> None:
    """Escalate a locked run: nothing happens to it until a person resumes or resolves it.

    Args:
        row: the run.
        entry: what happened to it, for the log; its step is where the run stands.
        error: what is wrong, as JSON text.
        operation: the run's next operation, if the entry is an event, which names none.
    """
    operation = operation if entry.outcome == "EVENT" else entry.operation
    suggestion = suggest(row.state, entry.step, operation, error)
    store.escalations.open_escalation(row, step=entry.step, operation=operation, error=error, suggestion=suggestion)
    after = Place(State.ESCALATED, row.cursor, row.fork)
    store.moves.advance(Move(row.place, after, Due.NEVER), [row], entry, data={row.id: error})
