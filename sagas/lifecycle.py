"""What happens to a run from outside its steps: started, confirmed, cancelled, expired, resumed.

Each is one transaction under the run's lock. A confirm and its deadline race for that lock; the state
decides, and the clock, read after the lock, only advises.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import uuid_utils.compat
from django.db import transaction

from sagas import (
    confirmation_store,
    escalation_store,
    isolation,
    move_store,
    outcomes,
    plan,
    store,
    versions,
    wait_store,
)
from sagas.confirmations import Confirmation
from sagas.definition import Definition
from sagas.errors import AlreadyDecided, DataTooLarge, InvalidRequest, RunNotFound, UnknownConfirmation
from sagas.limits import check_size
from sagas.messages import Deadline, Kick, Message, Wake
from sagas.plan import Move, Place
from sagas.saga import Saga
from sagas.states import UNDECIDED, State
from sagas.turns import PARENT, event, turn_back


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a confirmation got. ``data`` and ``received_at`` are the same for the first and for every repeat.

    Attributes:
        data: what came with the first.
        received_at: when the first came.
        state: the run's state now.
        first: whether this was the first.
    """

    data: dict[str, Any]
    received_at: datetime
    state: State
    first: bool


def insert_run(
    saga: type[Saga[Any]],
    request: object,
    *,
    business_key: str,
    run_id: UUID | None,
    parent: tuple[UUID, str] | None = None,
) -> UUID:
    """Insert a run that is due now, in the caller's transaction. See ``sagas.start``.

    ``parent`` is the run, and the step of it, that this one is: it is confirmed and undone with it.
    """
    definition = saga.definition
    run_id = run_id or uuid_utils.compat.uuid7()
    text = _dump(definition, request)
    versions.record(definition)
    keys = definition.keys(text)
    # The run and its places in line are there together; a saga without locks is inserted in one statement.
    with transaction.atomic() if keys.all else nullcontext():
        wait = isolation.enter(run_id, keys, parent=parent[0] if parent else None) if keys.all else 0.0
        move_store.insert(
            run_id=run_id,
            saga=definition.name,
            version=definition.version,
            shape=definition.shape.number,
            business_key=business_key,
            request=text,
            trace_id=uuid_utils.compat.uuid4(),
            first=Place(State.PENDING, 0),
            worker="",
            parent=parent,
            event=definition.names.started if definition.publishes else "",
            locked=bool(keys.all),
            wait=wait,
        )
    return run_id


def _dump(definition: Definition, request: object) -> str:
    """Write a request as JSON, if it fits its saga and is not too large."""
    text = definition.dump(request)
    try:
        check_size(text, f"the request of {definition.name}")
    except DataTooLarge as error:
        raise InvalidRequest(str(error), [{"loc": [], "type": "too_large", "msg": str(error)}]) from error
    return text


def receive_confirmation(run_id: UUID, name: str, data: dict[str, Any]) -> tuple[Receipt, list[Message]]:
    """Take a confirmation under the run's lock. See ``sagas.confirm``."""
    with transaction.atomic():
        row = lock_one(run_id)
        definition = versions.find(row.saga, row.version, row.shape)
        if name != PARENT or row.parent_id is None:
            _check_has(definition, name)
        known = confirmation_store.confirmation(run_id, name)
        if known is not None:
            return Receipt(json.loads(known[0]), known[1], row.state, first=False), []
        if row.state not in UNDECIDED:
            msg = f"the run is {row.state}: it cannot be confirmed any more"
            raise AlreadyDecided(msg, row.state)
        text = outcomes.dump(data)
        check_size(text, f"the data of {definition.name}.{name}")
        confirmation_store.insert_confirmation(run_id, name, text)
        move_store.log(event("confirmation", step=name), [row])
        state, messages = follow_confirmations(definition, row)
        recorded = confirmation_store.confirmation(run_id, name)
        assert recorded is not None
        return Receipt(json.loads(recorded[0]), recorded[1], state, first=True), messages


def follow_confirmations(definition: Definition, row: store.Row) -> tuple[State, list[Message]]:
    """Let a locked run go on if all its confirmations are in, else wait for the next deadline."""
    received = confirmation_store.confirmations([row.id])[row.id]
    missing = [c for c in definition.confirmations if c.name not in received]
    if missing:
        # What this process cannot compute stays as it is: whoever looks then can.
        if row.started_at is not None and all(c.is_known_here for c in missing):
            confirmation_store.set_deadline(row.id, _first_deadline(definition, missing, row, row.started_at))
        return row.state, []
    if row.parent_id is not None and row.parent_step is not None and PARENT not in received:
        # All that this run itself waits for is there: it waits for its parent now, however long that takes.
        confirmation_store.set_deadline(row.id, None)
        return row.state, [Wake(row.parent_id, row.parent_step)]
    if row.state is not State.AWAITING_CONFIRM:
        # The steps are not done. The last of them will find the confirmation.
        return row.state, []
    after, due = plan.confirming(definition, before=row.state)
    move_store.move(Move(row.place, after, due), [row])
    return after.state, [Kick()]


def set_deadlines(definition: Definition, rows: Sequence[store.Row]) -> None:
    """Give runs that begin now their first deadline, where it depends on the request.

    The others got theirs with the lease.
    """
    computed = [c for c in definition.confirmations if c.until is not None]
    if rows and computed:
        now = store.clock()
        confirmation_store.bring_deadlines_forward(
            {row.id: _first_deadline(definition, computed, row, now) for row in rows}
        )


def _first_deadline(
    definition: Definition, confirmations: Sequence[Confirmation], row: store.Row, started_at: datetime
) -> datetime:
    load = partial(definition.load, row.request)
    return min(confirmation.deadline(started_at, load) for confirmation in confirmations)


def refuse_confirmation(run_id: UUID, name: str, *, reason: str, by: str) -> tuple[State, list[Message]]:
    """Undo a run because a confirmation will not come. See ``sagas.refuse``."""
    with transaction.atomic():
        row = lock_one(run_id)
        definition = versions.find(row.saga, row.version, row.shape)
        _check_has(definition, name)
        if row.state in {State.COMPENSATING, State.FAILED}:
            return row.state, []
        if row.state not in UNDECIDED or name in confirmation_store.confirmations([run_id])[run_id]:
            msg = f"{name} has come, or the run is {row.state}: it cannot be refused any more"
            raise AlreadyDecided(msg, row.state)
        return _undo_as_wished(definition, row, event("refuse", step=name, by=by), "refused", reason)


def _undo_as_wished(
    definition: Definition, row: store.Row, entry: move_store.Entry, kind: str, reason: str
) -> tuple[State, list[Message]]:
    told = definition.marks.hide(reason, row.request, row.results)
    turn_back(definition, [row], entry, {row.id: outcomes.reason(kind, entry.step, kind.capitalize(), told)})
    return State.COMPENSATING, [Kick()]


def _check_has(definition: Definition, name: str) -> Confirmation:
    for confirmation in definition.confirmations:
        if confirmation.name == name:
            return confirmation
    msg = f"{definition.name} has no confirmation {name!r}"
    raise UnknownConfirmation(msg)


def cancel_run(run_id: UUID, *, reason: str, by: str, by_parent: bool = False) -> tuple[State, list[Message]]:
    """Undo an undecided run on somebody's wish. See ``sagas.cancel``."""
    with transaction.atomic():
        row = lock_one(run_id)
        if row.state in {State.COMPENSATING, State.FAILED}:
            return row.state, []
        definition = versions.find(row.saga, row.version, row.shape)
        own = {confirmation.name for confirmation in definition.confirmations}
        complete = own <= confirmation_store.confirmations([run_id])[run_id]
        if row.parent_id is not None and not by_parent and complete and row.state is State.AWAITING_CONFIRM:
            msg = f"the run is a step of {row.parent_id}, which counts on it: cancel that one"
            raise AlreadyDecided(msg, row.state)
        confirmed = row.parent_id is None and bool(own) and complete
        if row.state not in UNDECIDED or confirmed:
            msg = f"the run is {'confirmed' if confirmed else row.state}: it cannot be cancelled any more"
            raise AlreadyDecided(msg, row.state)
        return _undo_as_wished(definition, row, event("cancel", by=by), "cancelled", reason)


def expire(saga: str, version: int, name: str, ids: Sequence[UUID], *, by: str) -> list[Message]:
    """Judge a confirm deadline: undo the runs whose confirmation ``name`` has not come in time.

    Args:
        saga: name of the runs' saga.
        version: its version.
        name: the confirmation whose deadline this is.
        ids: the runs.
        by: what brought the deadline here ("message" or "tick"), for the log.

    Returns:
        A kick where runs are to be undone; a new deadline for those that were judged too early.

    Raises:
        UnknownSaga: there is no such run, and this process does not know the saga.
        UnknownConfirmation: the saga has none of this name.
    """
    with transaction.atomic():
        found = [row for row in store.lock(ids) if (row.saga, row.version) == (saga, version)]
        rows = [row for row in found if row.state in UNDECIDED and row.started_at is not None]
        received = confirmation_store.confirmations([row.id for row in rows])
        messages: list[Message] = []
        # Of several shapes where the saga was changed while they were on their way; of none where all are decided.
        # Where there are no such runs, the code must make sense of it at least.
        for shape in {row.shape for row in rows} if found else {0}:
            definition = versions.find(saga, version, shape)
            confirmation = _check_has(definition, name)
            late = [row for row in rows if row.shape == shape and name not in received[row.id]]
            messages += judge(definition, confirmation, late, by=by)
        return messages


def judge(definition: Definition, confirmation: Confirmation, rows: Sequence[store.Row], *, by: str) -> list[Message]:
    """Undo those locked, unconfirmed runs whose deadline is over; arm it again for the others."""
    # Read after the lock: a run that waited for its lock is judged by the time it got it.
    now = store.clock()
    late: list[store.Row] = []
    early: dict[float, list[UUID]] = defaultdict(list)
    reasons: dict[UUID, str] = {}
    for row in rows:
        if row.started_at is None:
            continue
        over = (now - confirmation.deadline(row.started_at, partial(definition.load, row.request))).total_seconds()
        if over < 0:
            early[round(-over, 1) + 0.1].append(row.id)
            continue
        late.append(row)
        detail = _too_late(confirmation, now - timedelta(seconds=over))
        late_ms = round(over * 1000)
        reasons[row.id] = outcomes.reason("timeout", confirmation.name, "NotConfirmed", detail, by=by, late_ms=late_ms)
    messages: list[Message] = []
    if late:
        turn_back(definition, late, event("expire", step=confirmation.name, by=by), reasons)
        messages.append(Kick())
    if confirmation.within is not None:
        within = confirmation.within.total_seconds()
        messages += [
            Deadline(definition.name, definition.version, confirmation.name, within, tuple(ids), delay)
            for delay, ids in early.items()
        ]
    return messages


def _too_late(confirmation: Confirmation, deadline: datetime) -> str:
    if confirmation.within is not None:
        return f"no {confirmation.name} came within {confirmation.within.total_seconds():g} s"
    return f"no {confirmation.name} came until {deadline.isoformat(timespec='seconds')}"


def wake(run_id: UUID, step: str) -> None:
    """Let a run look at what it waits for at a step. Nothing happens to a run that does not wait there."""
    with transaction.atomic():
        if store.lock([run_id]):
            wait_store.wake(run_id, step)


def resume_run(run_id: UUID, *, by: str, note: str, escalation: int | None = None) -> tuple[State, list[Message]]:
    """Put an escalated run back to where it stood, due now. See ``sagas.resume``."""
    with transaction.atomic():
        row = lock_one(run_id)
        found = escalation_store.opened(run_id, escalation)
        if row.state is not State.ESCALATED or found is None:
            msg = f"the run is {row.state}: only an escalated run can be resumed"
            raise AlreadyDecided(msg, row.state)
        escalation_store.resolve_escalation(run_id, resolution="resumed", by=by, note=note)
        move_store.advance(
            Move(row.place, Place(found.state, row.cursor, row.fork), plan.NOW), [row], event("resume", by=by)
        )
        return found.state, [Kick()]


def lock_one(run_id: UUID) -> store.Row:
    """Lock one run; ``RunNotFound`` if there is none."""
    rows = store.lock([run_id])
    if not rows:
        msg = f"there is no run {run_id}"
        raise RunNotFound(msg)
    return rows[0]
