"""What a person does about an escalated run: acknowledge, assign, resume, resolve.

Each action is one transaction under the run's lock, and has an entry in the run's log.
"""

from __future__ import annotations

import json
from uuid import UUID

from django.db import transaction

from sagas import limits, store
from sagas.db import after_commit
from sagas.decisions import plan
from sagas.decisions.messages import Kick, Message
from sagas.decisions.plan import Due, Move, Place
from sagas.decisions.reasons import ReasonKind, write_reason
from sagas.engine import (
    locks,
    subsagas,
)
from sagas.engine.compensation import refunds_due
from sagas.engine.results import wake_parents
from sagas.errors import AlreadyDecided, InvalidDecision, UnknownSaga
from sagas.escalations import reopening
from sagas.serialization import dump_json
from sagas.states import FINAL, State
from sagas.store.locked_runs import LockedRun
from sagas.validation import printable


def acknowledge(run_id: UUID, *, by: str, escalation: int | None = None) -> bool:
    """Record that somebody has seen the escalation. See ``sagas.acknowledge``."""
    _check_name(by, "by")
    with transaction.atomic():
        row, found = _lock_escalated(run_id, escalation)
        if found.acknowledged:
            return False
        _acknowledge(row, by)
        return True


def assign(run_id: UUID, *, to: str, by: str, escalation: int | None = None) -> None:
    """Record who sees to the escalated run. See ``sagas.assign``."""
    _check_name(to, "to")
    _check_name(by, "by")
    with transaction.atomic():
        row, found = _lock_escalated(run_id, escalation)
        if to == by and not found.acknowledged:
            _acknowledge(row, by)
        if found.assignee != to:
            store.escalations.assign(run_id, to=to)
            store.moves.log(store.moves.event_entry("assign", by=by), [row], {run_id: dump_json({"to": printable(to)})})


def resume(run_id: UUID, *, by: str, note: str, escalation: int | None = None) -> tuple[State, list[Message]]:
    """Put an escalated run back to where it stood, due now. See ``sagas.resume``."""
    with transaction.atomic():
        row, found = _lock_escalated(run_id, escalation)
        store.escalations.resolve_escalation(run_id, resolution="resumed", by=by, note=note)
        if row.pending:
            store.runs.reset_waits(row, store.runs.clock().timestamp())
        stood = Place(found.state, row.cursor, row.fork)
        store.moves.advance(Move(row.place, stood, plan.NOW), [row], store.moves.event_entry("resume", by=by))
        return found.state, [Kick()]


def resolve(
    run_id: UUID, *, outcome: State, by: str, note: str, escalation: int | None = None
) -> tuple[State, list[Message]]:
    """End an escalated run by hand. See ``sagas.resolve``."""
    _check_name(by, "by")
    _check_note(note)
    if outcome not in list(FINAL):
        msg = f"a run is resolved as {' or '.join(sorted(FINAL))}, not {outcome!r}"
        raise InvalidDecision(msg)
    outcome = State(outcome)
    with transaction.atomic():
        row, found = _lock_escalated(run_id, escalation)
        given_back = refunds_to_make(row, found) if outcome is State.FAILED else 0
        store.escalations.resolve_escalation(run_id, resolution=outcome.lower(), by=by, note=note)
        data = json.dumps({"outcome": outcome, "note": printable(note)})
        # The cursor stays: it says which effects the engine has confirmed or undone.
        change = Move(row.place, Place(outcome, row.cursor), Due.NEVER)
        if given_back:
            change = Move(row.place, Place(State.COMPENSATING, 0, given_back), plan.NOW)
        store.moves.advance(change, [row], store.moves.event_entry("resolve", by=by), data={run_id: data})
        # Customers may read the reason, so the note is not in it.
        by_hand = write_reason(ReasonKind.RESOLVED, "", "ResolvedByHand", "Somebody has ended this by hand.")
        store.escalations.set_reason(run_id, by_hand if outcome is State.FAILED else None)
        # After the commit, because parent and child never lock each other. If this is lost, the child finds out itself.
        after_commit(subsagas.end_children, run_id, outcome)
        ended = [Kick()] if given_back else locks.release([row])
        return change.after.state, [*wake_parents([row]), *ended]


def refunds_to_make(row: store.runs.Row, found: store.escalations.Open) -> int:
    """The refunds of a run that a person ends as FAILED, as bits of positions.

    Confirmations came from outside, so they are given back whatever the person has undone. The person vouches for the
    refund at which the run was escalated, and for all of them if this process does not know the saga.
    """
    try:
        run = LockedRun.of(row)
    except UnknownSaga:
        return 0
    bits = refunds_due([run]).get(row.id, 0)
    if found.state is State.COMPENSATING:
        # The bits of the fork are the refunds that are left. The run was escalated at the highest one.
        bits &= row.fork & ~(1 << row.fork.bit_length() >> 1)
    return bits


def _lock_escalated(run_id: UUID, meant: int | None) -> tuple[store.runs.Row, store.escalations.Open]:
    row = store.runs.lock_one(run_id)
    found = reopening.open_escalation_of(row, meant)
    if row.state is not State.ESCALATED or found is None:
        msg = f"the run is {row.state}: it is not escalated"
        raise AlreadyDecided(msg, row.state)
    return row, found


def _acknowledge(row: store.runs.Row, by: str) -> None:
    store.escalations.acknowledge(row.id, by=by)
    store.moves.log(store.moves.event_entry("acknowledge", by=by), [row])


def _check_note(note: object) -> None:
    if not isinstance(note, str) or not note.strip() or len(note) > limits.NOTE:
        msg = f"say in a note of at most {limits.NOTE} characters what was done by hand"
        raise InvalidDecision(msg)


def _check_name(name: object, what: str) -> None:
    if not isinstance(name, str) or not name.strip() or len(name) > limits.PERSON_NAME:
        msg = f"{what}={repr(name)[:200]}: give a name of 1 to {limits.PERSON_NAME} characters"
        raise InvalidDecision(msg)
