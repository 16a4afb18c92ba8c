"""What an application calls: start, confirm, cancel, erase; what people do about escalations; the door's admission.

All work in the caller's database transaction, if there is one; the kick follows the commit.
"""

from __future__ import annotations

import math
import time
from typing import Any
from uuid import UUID

from sagas import runtime, store
from sagas.conf import config
from sagas.db import after_commit
from sagas.decisions.messages import Message, Unlock, Wake
from sagas.definition.participants import Done
from sagas.definition.saga import Saga
from sagas.engine import erasure, lifecycle
from sagas.engine.carrier import do_after_commit
from sagas.engine.erasure import Erasure
from sagas.engine.lifecycle import Receipt
from sagas.engine.reports import receive_report
from sagas.errors import InvalidArgument, InvalidDecision, Overloaded, Rejected
from sagas.escalations import actions
from sagas.redis.kicks import kick
from sagas.states import State
from sagas.validation import check_note, check_person, parse_run_id


def start(saga: type[Saga[Any]], request: object, *, business_key: str = "", run_id: UUID | None = None) -> UUID:
    """Start a run; it begins when the surrounding transaction commits.

    Args:
        saga: the definition.
        request: what it is asked for, of the saga's request type (or a dict that fits it).
        business_key: what people know it by, such as an order number; at most 64 characters.
        run_id: the run's id, where the caller must know it before; a UUIDv7 by default.

    Returns:
        The run's id, which is the global transaction id.

    Raises:
        InvalidRequest: the request does not fit, would be read as something else than it is, or is larger than
            ``SAGAS["DATA_LIMIT"]``; or the business key or the id cannot be one. Nothing was written.
        Locked: another run holds a business key for which this saga does not wait.
        RunExists: a run of this id exists.
    """
    run_id = lifecycle.insert_run(saga, request, business_key=business_key, run_id=run_id)
    after_commit(kick)
    return run_id


# ``PlaceOrder.start(request)`` is this function, too.
Saga.starter = start


def confirm(run_id: UUID, name: str, data: dict[str, Any] | None = None) -> Receipt:
    """Give a confirmation. A repeat gets what the first got, and how the run stands now.

    It is taken, and not settled before the receipt says so: until then the run may still be undone, and the
    confirmation's ``compensate`` called. Where it is refused, nothing calls that: whoever brought it gives it back.

    Args:
        run_id: the run.
        name: the confirmation's name in the saga.
        data: what to keep of it, such as a payment id; JSON.

    Raises:
        RunNotFound: there is no such run.
        UnknownConfirmation: its saga waits for no confirmation of this name.
        AlreadyDecided: the run is being undone, is undone, or waits for a person.
        DataTooLarge: ``data`` is larger than ``SAGAS["DATA_LIMIT"]``. Nothing was taken.
        InvalidArgument: ``data`` is no dict, or JSON cannot say what is in it. Nothing was taken.
    """
    receipt, messages = lifecycle.receive_confirmation(parse_run_id(run_id), name, {} if data is None else data)
    _after_commit(messages)
    return receipt


def decline(run_id: UUID, name: str, *, reason: str = "", by: str = "", message: str = "") -> State:
    """Say that a confirmation will not come (the payment was declined): the run is undone. A repeat is answered alike.

    Args:
        run_id: the run.
        name: the confirmation's name in the saga.
        reason: why, for the record and for operators; at most 10,000 characters, of which 2,000 are kept.
        by: who, for the record; at most 150 characters, of which the log keeps 100.
        message: what customers may read of why; likewise. By default a sentence that says no more than that it was.

    Returns:
        The state: COMPENSATING, or FAILED if it was undone before.

    Raises:
        RunNotFound: there is no such run.
        UnknownConfirmation: its saga waits for no confirmation of this name.
        AlreadyDecided: this confirmation has come, or the run is confirmed.
        InvalidArgument: ``reason``, ``by`` or ``message`` is no text, or too long.
    """
    check_note("reason", reason)
    check_note("message", message)
    check_person("by", by)
    state, messages = lifecycle.decline_confirmation(parse_run_id(run_id), name, reason=reason, by=by, message=message)
    _after_commit(messages)
    return state


def cancel(run_id: UUID, *, reason: str = "", by: str = "", message: str = "") -> State:
    """Undo a run that is not decided yet. A repeat is answered alike.

    Args:
        run_id: the run.
        reason: why, for the record and for operators; at most 10,000 characters, of which 2,000 are kept.
        by: who, for the record; at most 150 characters, of which the log keeps 100.
        message: what customers may read of why; likewise. By default a sentence that says no more than that it was.

    Returns:
        The state: COMPENSATING, or FAILED if it was undone before.

    Raises:
        RunNotFound: there is no such run.
        AlreadyDecided: it is confirmed.
        InvalidArgument: ``reason``, ``by`` or ``message`` is no text, or too long.
    """
    check_note("reason", reason)
    check_note("message", message)
    check_person("by", by)
    state, messages = lifecycle.cancel_run(parse_run_id(run_id), reason=reason, by=by, message=message)
    _after_commit(messages)
    return state


def resume(run_id: UUID, *, by: str, note: str = "", escalation: int | None = None) -> State:
    """Put an escalated run back to work where it stood.

    Args:
        run_id: the run.
        by: who, at most 150 characters.
        note: what was mended, for the record; at most 10,000 characters.
        escalation: id of the ``Escalation`` that was read; by default whichever is open.

    Raises:
        RunNotFound: there is no such run.
        AlreadyDecided: it is not escalated, or by another escalation than this one.
        InvalidDecision: ``by`` or ``note`` is no text, or too long.
    """
    _check_decision(by=by, note=note)
    state, messages = actions.resume(parse_run_id(run_id), by=by, note=note, escalation=escalation)
    _after_commit(messages)
    return state


def acknowledge(run_id: UUID, *, by: str, escalation: int | None = None) -> bool:
    """Note that somebody has seen that a run is escalated: no more notices of it are sent.

    Args:
        run_id: the run.
        by: who, at most 150 characters.
        escalation: id of the ``Escalation`` that was read; by default whichever is open.

    Returns:
        Whether this was the first; a repeat changes nothing.

    Raises:
        RunNotFound: there is no such run.
        AlreadyDecided: it is not escalated, or by another escalation than this one.
        InvalidDecision: nobody is named.
    """
    return actions.acknowledge(parse_run_id(run_id), by=by, escalation=escalation)


def assign(run_id: UUID, *, to: str, by: str, escalation: int | None = None) -> None:
    """Say who sees to an escalated run. Who takes it himself (``to`` is ``by``) acknowledges it.

    Args:
        run_id: the run.
        to: who sees to it, at most 150 characters.
        by: who says so, at most 150 characters.
        escalation: id of the ``Escalation`` that was read; by default whichever is open.

    Raises:
        RunNotFound: there is no such run.
        AlreadyDecided: it is not escalated, or by another escalation than this one.
        InvalidDecision: nobody is named.
    """
    actions.assign(parse_run_id(run_id), to=to, by=by, escalation=escalation)


def resolve(run_id: UUID, *, outcome: State, by: str, note: str, escalation: int | None = None) -> State:
    """End an escalated run by hand: whoever does it vouches for the effects of its steps.

    The engine does nothing more about these. What has come from outside it still gives back: where a confirmation
    has come and has a ``compensate``, a run that is ended as FAILED is COMPENSATING until that is done. The one
    exception is the compensation at which the run was escalated: that is vouched for, too.

    Args:
        run_id: the run.
        outcome: ``State.SUCCEEDED``: all of it is confirmed; ``State.FAILED``: all of it is undone.
        by: who, at most 150 characters.
        note: what was done by hand, for the record; at most 10,000 characters.
        escalation: id of the ``Escalation`` that was read; by default whichever is open.

    Returns:
        The run's state: the outcome, or COMPENSATING.

    Raises:
        RunNotFound: there is no such run.
        AlreadyDecided: it is not escalated, or by another escalation than this one.
        InvalidDecision: nobody is named, there is no note, or the outcome is neither of the two.
    """
    state, messages = actions.resolve(parse_run_id(run_id), outcome=outcome, by=by, note=note, escalation=escalation)
    _after_commit(messages)
    return state


def erase(*, business_key: str, by: str) -> Erasure:
    """Overwrite what is marked as personal in every run of a business key, for good; a repeat does nothing.

    Rows, times and outcomes stay, and an ``erase`` in each run's log says who did it and when. It reaches the engine's
    tables: what participants have written into tables of their own is theirs to erase.

    Args:
        business_key: what people know the runs by.
        by: who, for the record.

    Raises:
        RunNotFound: there is no run of this business key.
        NotFinished: a run of it still needs its data. Nothing was erased.
        NotErased: another database, which a step of it names, has copies and cannot be reached. Repeat it then.
        InvalidArgument: one of the two is empty, or no text.
    """
    return erasure.erase(business_key=business_key, by=by)


def check_admission() -> None:
    """Raise ``Overloaded`` when runs have waited so long that new ones had better not join them."""
    limit = config().admission
    age = _backlog_age()
    if age > limit:
        msg = f"the oldest run has waited {age:.0f} s to begin; the limit is {limit:g} s"
        raise Overloaded(msg, retry_after=max(1, math.ceil(min(age - limit, 60))))


def _backlog_age() -> float:
    """Seconds for which the oldest new run has waited; the database is asked at most once a second."""
    memory, now = runtime.memory, time.monotonic()
    if now - memory.backlog_asked_at >= 1.0:
        memory.backlog_age = store.claims.backlog_age()
        memory.backlog_asked_at = now
    return memory.backlog_age


def report(run_id: UUID, step: str, outcome: Done | Rejected, *, operation: str = "", by: str = "") -> State:
    """Say how an operation ended that a participant had ``Accepted``. A repeat changes nothing.

    Args:
        run_id: the run.
        step: name of the step in the saga.
        outcome: ``Done``, with its result, or ``Rejected``.
        operation: which operation it was, as ``call.operation`` said: "confirm", "compensate", "cancel". By default
            the step's forward one ("forward" or "try"). A report of another than the run waits for is a repeat.
        by: who says so, for the record.

    Returns:
        The run's state now.

    Raises:
        RunNotFound: there is no such run.
        UnknownStep: its saga has no such step, or the step no such operation.
        NotAwaited: this operation has not been begun.
        DataTooLarge: the result is larger than ``SAGAS["DATA_LIMIT"]``. Nothing was taken.
        InvalidArgument: the outcome is neither of the two, JSON cannot say its result, or ``by`` is no text.
    """
    check_person("by", by)
    state, messages = receive_report(parse_run_id(run_id), step, outcome, operation=operation, by=by)
    _after_commit(messages)
    return state


def _check_decision(*, by: str, note: str) -> None:
    try:
        check_person("by", by)
        check_note("note", note)
    except InvalidArgument as error:
        raise InvalidDecision(str(error)) from None


def _after_commit(messages: list[Message]) -> None:
    # No chains or deadlines follow here: the dispatcher finds the rest in the database.
    for message in messages:
        if isinstance(message, Wake | Unlock):
            after_commit(do_after_commit, message)
    if messages:
        after_commit(kick)
