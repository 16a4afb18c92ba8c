"""What happens to a run besides its steps: it is started, confirmed, cancelled, expired or woken.

Each function is one transaction under the run's lock. A confirmation and its deadline compete for that lock. The
state decides between them; the time, read after the lock, only tells whether the deadline is over.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import uuid_utils.compat
from django.db import Error, IntegrityError, transaction

from sagas import limits, runtime, store, trace_context
from sagas.decisions import plan
from sagas.decisions.messages import Kick, Message, Wake
from sagas.decisions.plan import Move, Place
from sagas.decisions.reasons import ReasonKind, write_reason
from sagas.definition.definition import Definition
from sagas.definition.saga import Saga, Unique
from sagas.definition.variants import choose_variant
from sagas.engine import (
    deadlines,
    locks,
)
from sagas.engine.compensation import begin_compensation
from sagas.errors import (
    AlreadyDecided,
    DataTooLarge,
    DeadlineUnknown,
    InvalidArgument,
    InvalidRequest,
    NotApplicable,
    RunExists,
    RunNotFound,
    RunPruned,
    SagaError,
)
from sagas.failure_log import exc_info_of
from sagas.serialization import check_size
from sagas.states import UNDECIDED, State
from sagas.store.locked_runs import PARENT, LockedRun
from sagas.validation import parse_run_id, why_unstorable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a confirmation. ``data`` and ``received_at`` are the same for the first one and for every repeat.

    A confirmation that was taken may not be settled yet: a step that is not done may still reject. Then the run is
    undone, and the confirmation's ``compensate`` gives back what was taken. ``state`` and ``settled`` are those of
    now, also for a repeat.

    Attributes:
        data: the data of the first.
        received_at: when the first was received.
        state: the run's state now.
        first: whether this was the first.
        settled: whether the run is past its pivot, so that what was taken is kept.
    """

    data: dict[str, Any]
    received_at: datetime
    state: State
    first: bool
    settled: bool = False


def insert_run(
    saga: type[Saga[Any]],
    request: object,
    *,
    business_key: str,
    run_id: UUID | None,
    unique: Unique | None = None,
    parent: tuple[UUID, str] | None = None,
) -> UUID:
    """Insert a run that is due now, in the caller's transaction. See ``sagas.start``.

    ``parent`` names the parent run and its step, if the new run is a step of another run. A child is confirmed and
    undone with its parent.
    """
    return insert_run_of(
        saga.definition, request, business_key=business_key, run_id=run_id, unique=unique, parent=parent
    )


def insert_run_of(
    definition: Definition,
    request: object,
    *,
    business_key: str,
    run_id: UUID | None = None,
    unique: Unique | None = None,
    parent: tuple[UUID, str] | None = None,
) -> UUID:
    """The same for a definition."""
    # A child's id is always the same, and its parent is live: neither was pruned.
    given = run_id is not None and parent is None
    definition, text = _check(definition, request, business_key)
    _check_unique(definition, unique, business_key, run_id)
    run_id = _parse_given_id(definition, run_id) if run_id is not None else uuid_utils.compat.uuid7()
    store.definitions.record(definition)
    keys = definition.lock_keys(text)
    # A run and its places in the queues for its keys commit together. Without keys one statement is enough.
    with transaction.atomic() if keys.all or given or unique else nullcontext():
        if unique and (kept := store.runs.find_kept(definition.name, business_key)):
            if unique == "attach":
                return kept
            msg = f"there is a run {kept} of {definition.name} for {business_key} already"
            raise RunExists(msg, kept)
        try:
            wait = locks.enqueue(run_id, keys, parent=parent[0] if parent else None) if keys.all else 0.0
        except IntegrityError:
            # A run has one place in the queue for a key: this run exists and has its place.
            raise _run_exists(run_id) from None
        run = _new_run(definition, run_id, business_key, text)
        if not store.moves.insert(replace(run, parent=parent, locked=bool(keys.all), wait=wait)):
            raise _run_exists(run_id)
        # Behind the insert, which waits for a transaction that deletes a run of this id.
        if given and store.retention.pruning.pruned(definition.name, [run_id]):
            msg = (
                f"the id {run_id} is older than what is kept of {definition.name}: a run of it may have ended long ago"
            )
            raise RunPruned(msg, run_id)
    return run_id


def new_run(saga: type[Saga[Any]], request: object, *, business_key: str) -> store.moves.NewRun:
    """A run that the caller's own statement inserts. See ``sagas.start_sql``."""
    definition = saga.definition
    definition, text = _check(definition, request, business_key)
    if definition.lock_keys(text).all:
        msg = f"runs of {definition.name} lock business keys, which one statement cannot: start them by sagas.start"
        raise InvalidArgument(msg)
    store.definitions.record(definition)
    return _new_run(definition, uuid_utils.compat.uuid7(), business_key, text)


def _new_run(definition: Definition, run_id: UUID, business_key: str, request: str) -> store.moves.NewRun:
    trace, end_start = trace_context.current(), None
    if trace is None and (source := runtime.declared.trace_source) is not None:
        trace, end_start = source.begin(definition.name, run_id)
    return store.moves.NewRun(
        run_id=run_id,
        saga=definition.name,
        version=definition.version,
        shape=definition.shape.number,
        business_key=business_key,
        request=request,
        trace_id=trace.trace_id if trace else uuid_utils.compat.uuid4(),
        trace_parent=trace.stored if trace else None,
        end_start=end_start,
        first=Place(State.PENDING, 0),
        awaits=definition.awaits(request),
        event=definition.event_names.started if definition.publishes else "",
    )


def _check(definition: Definition, request: object, business_key: str) -> tuple[Definition, str]:
    """Check what a run is started with; return the definition that it follows, and its request as JSON text."""
    _check_key(definition, business_key)
    text = _dump_request(definition, request)
    deadlines.check_deadlines(definition, text)
    # Asked once: from now on the run's shape says which steps it skips.
    return choose_variant(definition, text), text


def _check_key(definition: Definition, business_key: object) -> None:
    if not isinstance(business_key, str):
        why = f"is a text, not {type(business_key).__name__}"
    elif len(business_key) > limits.BUSINESS_KEY:
        why = f"has at most {limits.BUSINESS_KEY} characters, not {len(business_key)}"
    elif unstorable := why_unstorable(business_key):
        why = f"cannot have {unstorable}"
    else:
        return
    msg = f"a business key {why} (a start of {definition.name})"
    raise InvalidRequest(msg, [{"loc": ["business_key"], "type": "business_key", "msg": msg}])


def _check_unique(definition: Definition, unique: object, business_key: str, run_id: UUID | None) -> None:
    if unique is None:
        return
    if unique not in get_args(Unique):
        why = f"is one of {', '.join(map(repr, get_args(Unique)))}, not {unique!r:.80}"
    elif not business_key:
        why = "needs a business key"
    elif run_id is not None:
        why = "goes without a run id: each of the two says which run there is once"
    else:
        return
    msg = f"unique= {why} (a start of {definition.name})"
    raise InvalidArgument(msg)


def _parse_given_id(definition: Definition, run_id: object) -> UUID:
    """The run id that the caller has chosen; ``InvalidRequest`` if it is no UUID."""
    try:
        return parse_run_id(run_id)
    except RunNotFound:
        msg = f"the id of a run of {definition.name} is a UUID"
        raise InvalidRequest(msg, [{"loc": ["run_id"], "type": "run_id", "msg": msg}]) from None


def _run_exists(run_id: UUID) -> RunExists:
    return RunExists(f"there is a run {run_id} already", run_id)


def _dump_request(definition: Definition, request: object) -> str:
    """Write a request as JSON; ``InvalidRequest`` if it does not fit its saga or is too large."""
    text = definition.dump(request)
    try:
        check_size(text, f"the request of {definition.name}")
    except DataTooLarge as error:
        raise InvalidRequest(str(error), [{"loc": [], "type": "too_large", "msg": str(error)}]) from error
    return text


def receive_confirmation(
    run_id: UUID, name: str, data: str, also: store.runs.Sql = ("", [])
) -> tuple[Receipt, list[Message]]:
    """Take a confirmation, with its data as JSON text, under the run's lock. See ``sagas.confirm``."""
    with transaction.atomic():
        # A statement of its own, so that what follows sees what was committed while this one waited.
        run = LockedRun.lock(run_id)
        if not run.awaits(name):
            run.definition.confirmation(name)  # raises UnknownConfirmation
        if run.definition.shared is not None and run.definition.shared.name == name:
            msg = f"{name} of {run.row.saga} comes to all runs of a key, by sagas.decide; a single run may be declined"
            raise InvalidArgument(msg)
        state = run.row.state
        # Where a run awaits one confirmation, nobody needs to ask which have come: the same statement moves the run.
        is_only = run.awaited == {name}
        change = _change_to_confirm(run) if is_only else None
        taken = None
        if state in UNDECIDED:
            taken = store.moves.record_confirmation(run.row, name, data, change=change, also=also)
        if taken is not None:
            messages: list[Message] = [Kick()] if change else []
            if change is not None:
                state = change.after.state
            elif not is_only:
                state, messages = _confirm_or_leave_due(run, store.confirmations.received_by(run_id))
            settled = state is State.CONFIRMING
            return Receipt(json.loads(taken[0]), taken[1], state, first=True, settled=settled), messages
        known = store.confirmations.find(run_id, name)
        if known is None:
            msg = f"the run is {state}: it cannot be confirmed any more"
            raise AlreadyDecided(msg, state)
        return Receipt(json.loads(known[0]), known[1], state, first=False, settled=_is_settled(run.row)), []


def _is_settled(row: store.runs.Row) -> bool:
    """Whether a locked run is past its pivot, also if it is escalated: it only goes forward from now on."""
    state = row.state
    if state is State.ESCALATED and (found := store.escalations.find_open(row.id)) is not None:
        state = found.state
    return state in {State.CONFIRMING, State.SUCCEEDED}


def _confirm_or_leave_due(run: LockedRun, received: Set[str]) -> tuple[State, list[Message]]:
    """As ``confirm_if_complete``. If the next deadline cannot be computed, the run is due: a claim escalates it."""
    try:
        return confirm_if_complete(run, received)
    except (Error, SagaError) as error:
        if not isinstance(error, DeadlineUnknown):
            raise
    except Exception as error:
        # The request no longer loads, or the application's ``until`` raises: in this process, perhaps in no other.
        trace = exc_info_of(error, run.hide)
        logger.exception("sagas: the next deadline of run %s cannot be computed", run.id, exc_info=trace)
    if run.row.state is State.AWAITING_CONFIRM:
        store.runs.make_due([run.id])
    return run.row.state, [Kick()]


def confirm_if_complete(run: LockedRun, received: Set[str]) -> tuple[State, list[Message]]:
    """Confirm a locked run if all its confirmations were received; else set the deadline of the next one."""
    row = run.row
    missing = [c for c in run.definition.confirmations if c.name not in received]
    if missing:
        # A deadline that this process cannot compute stays as it is; a process with the code for it computes it.
        if row.started_at is not None and all(c.has_known_deadline for c in missing):
            store.confirmations.set_deadline(row.id, deadlines.first_deadline(missing, run, row.started_at))
        if row.state is State.AWAITING_CONFIRM and run.definition.shared in missing and _is_decided(run):
            # Its last step has made it due, for the next claim gives it the decision; the deadline may be an hour away.
            store.runs.make_due([run.id])
            return row.state, [Kick()]
        return row.state, []
    if row.parent_id is not None and row.parent_step is not None and PARENT not in received:
        # Only the parent's confirmation is missing. There is no deadline for it.
        ended = store.runs.final_state(row.parent_id)
        if ended is not None:
            return _end_with_parent(run, ended)
        store.confirmations.set_deadline(row.id, None)
        return row.state, [Wake(row.parent_id, row.parent_step)]
    return _begin_confirming(run)


def _is_decided(run: LockedRun) -> bool:
    """Whether the decision for many runs that a locked run awaits is made, and not given to it yet."""
    return bool(store.shared_decisions.of_runs([run.id]))


def _begin_confirming(run: LockedRun) -> tuple[State, list[Message]]:
    change = _change_to_confirm(run)
    if change is None:
        return run.row.state, []
    store.moves.move(change, [run.row])
    return change.after.state, [Kick()]


def _change_to_confirm(run: LockedRun) -> Move | None:
    """Where a run goes by its last confirmation; ``None`` while its steps are not done: the last one finds it."""
    before = run.row.place
    if before.state is not State.AWAITING_CONFIRM:
        return None
    after, due = plan.place_to_confirm(run.definition, before=before.state)
    return Move(before, after, due)


def _end_with_parent(run: LockedRun, ended: State) -> tuple[State, list[Message]]:
    """End a locked child as a person has ended its parent: the parent itself does not confirm or undo it any more.

    The parent need not be locked, because a final state does not change.
    """
    if ended is State.FAILED:
        entry = store.moves.event_entry("cancel", by="parent")
        return _compensate(run, entry, ReasonKind.CANCELLED, f"{run.row.parent_id} has ended")
    store.moves.record_confirmation(run.row, PARENT, "{}")
    return _begin_confirming(run)


def decline_confirmation(
    run_id: UUID, name: str, *, reason: str, by: str, message: str = ""
) -> tuple[State, list[Message]]:
    """Undo a run because a confirmation will not come. See ``sagas.decline``."""
    with transaction.atomic():
        run = LockedRun.lock(run_id)
        row = run.row
        run.definition.confirmation(name)  # raises UnknownConfirmation if there is none
        if row.state in {State.COMPENSATING, State.FAILED}:
            return row.state, []
        if row.state not in UNDECIDED or name in _received_or_decided(run):
            msg = f"{name} has come, or the run is {row.state}: it cannot be refused any more"
            raise AlreadyDecided(msg, row.state)
        entry = store.moves.event_entry("refuse", step=name, by=by)
        return _compensate(run, entry, ReasonKind.REFUSED, reason, message)


def cancel_run(
    run_id: UUID, *, reason: str, by: str, message: str = "", by_parent: bool = False
) -> tuple[State, list[Message]]:
    """Undo an undecided run. See ``sagas.cancel``."""
    with transaction.atomic():
        row = store.runs.lock_one(run_id)
        if row.state in {State.COMPENSATING, State.FAILED}:
            return row.state, []
        run = LockedRun.of(row)
        own = run.definition.confirmation_names
        complete = own <= _received_or_decided(run)
        if row.parent_id is not None and not by_parent:
            _check_parent(row, row.parent_id, held=complete and row.state is State.AWAITING_CONFIRM)
        confirmed = row.parent_id is None and bool(own) and complete
        if row.state not in UNDECIDED or confirmed:
            msg = f"the run is {'confirmed' if confirmed else row.state}: it cannot be cancelled any more"
            raise AlreadyDecided(msg, row.state)
        entry = store.moves.event_entry("cancel", by=by)
        return _compensate(run, entry, ReasonKind.CANCELLED, reason, message)


def _received_or_decided(run: LockedRun) -> Set[str]:
    """The confirmations that a locked run has, and the one that a decision for many gives it in a moment."""
    came = store.confirmations.received_by(run.id)
    if run.definition.shared is not None:
        came |= {made.name for made in store.shared_decisions.of_runs([run.id]).values() if not made.declined}
    return came


def _compensate(
    run: LockedRun, entry: store.moves.Entry, kind: ReasonKind, reason: str, message: str = ""
) -> tuple[State, list[Message]]:
    """Undo a locked run. Customers may read ``message``, and operators ``reason``."""
    told = run.hide(message) if message else ""
    why = write_reason(kind, entry.step, kind.capitalize(), run.hide(reason), message=told)
    begin_compensation([run], entry, {run.row.id: why})
    return State.COMPENSATING, [Kick()]


def _check_parent(row: store.runs.Row, parent: UUID, *, held: bool) -> None:
    """Refuse to undo a child that its parent needs. A parent that has ended as FAILED needs nothing."""
    ended = store.runs.final_state(parent)
    if ended is State.SUCCEEDED:
        msg = f"the run is a step of {parent}, which has succeeded"
        raise AlreadyDecided(msg, row.state)
    if held and ended is None:
        msg = f"the run is a step of {parent}, which counts on it: cancel that one"
        raise AlreadyDecided(msg, row.state)


def expire_unconfirmed(saga: str, version: int, name: str, ids: Sequence[UUID], *, by: str) -> list[Message]:
    """Undo the runs whose confirmation ``name`` has not come in time.

    Args:
        saga: name of the runs' saga.
        version: its version.
        name: the confirmation whose deadline this is.
        ids: the runs.
        by: what brought the deadline here ("message" or "tick"), for the log.

    Returns:
        A kick if runs are to be undone; a new deadline message for the runs whose deadline is not over.

    Raises:
        UnknownSaga: there is no such run, and this process does not know the saga.
        UnknownConfirmation: the saga has none of this name.
    """
    with transaction.atomic():
        found = [row for row in store.runs.lock(ids) if (row.saga, row.version) == (saga, version)]
        rows = [row for row in found if row.state in UNDECIDED and row.started_at is not None]
        received = store.confirmations.received([row.id for row in rows])
        if not found and (not ids or len(store.retention.pruning.pruned(saga, ids)) < len(ids)):
            # A message that makes no sense to this code is refused, although it has no runs.
            store.definitions.find(saga, version).confirmation(name)
        if not rows:
            return []
        unconfirmed = [LockedRun.of(row) for row in rows if name not in received[row.id]]
        return deadlines.expire_overdue(name, unconfirmed, by=by)


def retry_now(run_id: UUID, *, by: str) -> list[Message]:
    """End a run's waits for its next attempts. See ``sagas.api.retry``."""
    with transaction.atomic():
        row = store.runs.lock_one(run_id)
        steps = backoffs(row, store.runs.clock().timestamp())
        if not steps and not row.waits_for_retry:
            msg = f"the run is {row.state}, and does not wait for its next attempt"
            raise NotApplicable(msg)
        for step in steps:
            store.runs.end_wait(run_id, step)
        store.runs.make_due([run_id])
        store.moves.log(store.moves.event_entry("retry", by=by), [row])
        return [Kick()]


def backoffs(row: store.runs.Row, now: float) -> list[str]:
    """The steps at which a run waits for its next attempt, and for no answer."""
    return [step for step, wait in row.waits.items() if not wait.operation and wait.until > now]


def wake_run(run_id: UUID, step: str) -> None:
    """End a run's wait at a step, so that the step is asked again now. A run that does not wait there is left alone."""
    with transaction.atomic():
        if store.runs.lock([run_id]):
            store.runs.end_wait(run_id, step)
