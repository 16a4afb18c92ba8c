"""What an application calls: start, confirm, cancel, erase, and the rest; what people do about escalations.

Each function works in the caller's database transaction, if there is one. The kick follows the commit.
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
from sagas.serialization import dump_limited
from sagas.states import State
from sagas.validation import check_note, check_person, parse_run_id


def start(saga: type[Saga[Any]], request: object, *, business_key: str = "", run_id: UUID | None = None) -> UUID:
    """Start a run. It begins when the surrounding transaction commits.

    Args:
        saga: the saga's class.
        request: an instance of the saga's request type, or a dict that fits it.
        business_key: what people know the run by, such as an order number; at most 64 characters.
        run_id: the run's id, if the caller must know it before the call; by default a new UUIDv7.

    Returns:
        The run's id, which is the global transaction id.

    Raises:
        InvalidRequest: the request does not fit, changes when it is stored and read again, or is larger than
            ``SAGAS["DATA_LIMIT"]``; or the business key or the id is invalid. Nothing was written.
        Locked: another run holds a business key, and this saga does not wait for it.
        RunExists: a run of this id exists.
    """
    run_id = lifecycle.insert_run(saga, request, business_key=business_key, run_id=run_id)
    after_commit(kick)
    return run_id


# ``PlaceOrder.start(request)`` calls this function.
Saga.starter = start


def confirm(run_id: UUID, name: str, data: dict[str, Any] | None = None) -> Receipt:
    """Confirm a run. A repeat gets the data of the first call, and how the run stands now.

    A confirmation that was taken is final once its receipt is ``settled``. Until then the run may still be undone, and
    the confirmation's ``compensate`` is called. If this function raises, nothing was taken, and ``compensate`` is not
    called: the caller gives back what was paid.

    Args:
        run_id: the run.
        name: the confirmation's name in the saga.
        data: what to keep of it as JSON, such as a payment id.

    Raises:
        RunNotFound: there is no such run.
        UnknownConfirmation: its saga has no confirmation of this name.
        AlreadyDecided: the run is being undone, is undone, or is escalated.
        DataTooLarge: ``data`` is larger than ``SAGAS["DATA_LIMIT"]``.
        InvalidArgument: ``data`` is no dict, or JSON cannot represent it.
    """
    given: object = {} if data is None else data
    if not isinstance(given, dict):
        msg = f"the data of {name} is a dict, not {type(given).__name__}"
        raise InvalidArgument(msg)
    text = dump_limited(given, f"the data of {name}")
    receipt, messages = lifecycle.receive_confirmation(parse_run_id(run_id), name, text)
    _after_commit(messages)
    return receipt


def decline(run_id: UUID, name: str, *, reason: str = "", by: str = "", message: str = "") -> State:
    """Say that a confirmation will not come, because the payment was declined, say. The run is undone.

    A repeat gets the same answer.

    Args:
        run_id: the run.
        name: the confirmation's name in the saga.
        reason: why, for operators; at most 10,000 characters, of which 2,000 are kept.
        by: who, for the log; at most 150 characters, of which 100 are kept.
        message: why, for customers; as long as ``reason``. By default a standard sentence without the reason.

    Returns:
        COMPENSATING, or FAILED if the run is undone already.

    Raises:
        RunNotFound: there is no such run.
        UnknownConfirmation: its saga has no confirmation of this name.
        AlreadyDecided: this confirmation has come, or the run is confirmed.
        InvalidArgument: ``reason``, ``by`` or ``message`` is no text, or is too long.
    """
    check_note("reason", reason)
    check_note("message", message)
    check_person("by", by)
    state, messages = lifecycle.decline_confirmation(parse_run_id(run_id), name, reason=reason, by=by, message=message)
    _after_commit(messages)
    return state


def cancel(run_id: UUID, *, reason: str = "", by: str = "", message: str = "") -> State:
    """Undo a run that is not decided yet. A repeat gets the same answer.

    Args:
        run_id: the run.
        reason: why, for operators; at most 10,000 characters, of which 2,000 are kept.
        by: who, for the log; at most 150 characters, of which 100 are kept.
        message: why, for customers; as long as ``reason``. By default a standard sentence without the reason.

    Returns:
        COMPENSATING, or FAILED if the run is undone already.

    Raises:
        RunNotFound: there is no such run.
        AlreadyDecided: the run is confirmed.
        InvalidArgument: ``reason``, ``by`` or ``message`` is no text, or is too long.
    """
    check_note("reason", reason)
    check_note("message", message)
    check_person("by", by)
    state, messages = lifecycle.cancel_run(parse_run_id(run_id), reason=reason, by=by, message=message)
    _after_commit(messages)
    return state


def resume(run_id: UUID, *, by: str, note: str = "", escalation: int | None = None) -> State:
    """Resume an escalated run where it stood.

    Args:
        run_id: the run.
        by: who; at most 150 characters.
        note: what was repaired, for the record; at most 10,000 characters.
        escalation: the id of the ``Escalation`` that the person has read; by default the open one.

    Raises:
        RunNotFound: there is no such run.
        AlreadyDecided: the run is not escalated, or its open escalation is another one.
        InvalidDecision: ``by`` or ``note`` is no text, or is too long.
    """
    _check_decision(by=by, note=note)
    state, messages = actions.resume(parse_run_id(run_id), by=by, note=note, escalation=escalation)
    _after_commit(messages)
    return state


def acknowledge(run_id: UUID, *, by: str, escalation: int | None = None) -> bool:
    """Record that a person has seen an escalation. No more notices of it are sent.

    Args:
        run_id: the run.
        by: who; at most 150 characters.
        escalation: the id of the ``Escalation`` that the person has read; by default the open one.

    Returns:
        Whether this call was the first. A repeat changes nothing.

    Raises:
        RunNotFound: there is no such run.
        AlreadyDecided: the run is not escalated, or its open escalation is another one.
        InvalidDecision: a name is missing or too long.
    """
    return actions.acknowledge(parse_run_id(run_id), by=by, escalation=escalation)


def assign(run_id: UUID, *, to: str, by: str, escalation: int | None = None) -> None:
    """Assign an escalated run to a person. Assigning it to oneself (``to`` is ``by``) also acknowledges it.

    Args:
        run_id: the run.
        to: the assignee; at most 150 characters.
        by: who assigns it; at most 150 characters.
        escalation: the id of the ``Escalation`` that the person has read; by default the open one.

    Raises:
        RunNotFound: there is no such run.
        AlreadyDecided: the run is not escalated, or its open escalation is another one.
        InvalidDecision: a name is missing or too long.
    """
    actions.assign(parse_run_id(run_id), to=to, by=by, escalation=escalation)


def resolve(run_id: UUID, *, outcome: State, by: str, note: str, escalation: int | None = None) -> State:
    """End an escalated run by hand. The person is responsible for the effects of its steps.

    The engine neither confirms nor undoes the steps any more. It still gives back confirmations: if one has come and
    has a ``compensate``, a run that is ended as FAILED is COMPENSATING until that is done. If the run was escalated at
    that very compensation, the person is responsible for it, too.

    Args:
        run_id: the run.
        outcome: ``State.SUCCEEDED`` if all of it is confirmed, ``State.FAILED`` if all of it is undone.
        by: who; at most 150 characters.
        note: what was done by hand, for the record; at most 10,000 characters.
        escalation: the id of the ``Escalation`` that the person has read; by default the open one.

    Returns:
        The outcome, or COMPENSATING.

    Raises:
        RunNotFound: there is no such run.
        AlreadyDecided: the run is not escalated, or its open escalation is another one.
        InvalidDecision: the name or the note is missing or too long, or the outcome is neither of the two.
    """
    state, messages = actions.resolve(parse_run_id(run_id), outcome=outcome, by=by, note=note, escalation=escalation)
    _after_commit(messages)
    return state


def erase(*, business_key: str, by: str) -> Erasure:
    """Overwrite personal data in every run of a business key, permanently. A repeat does nothing.

    Rows, times and outcomes stay. An entry ``erase`` in each run's log says who erased and when. Only the engine's
    tables are changed: the domains erase what participants have written into tables of their own.

    Args:
        business_key: what people know the runs by.
        by: who, for the log.

    Raises:
        RunNotFound: there is no run of this business key.
        NotFinished: one of the runs still needs its data. Nothing was erased.
        NotErased: a step's other database, which has copies, cannot be reached. Call it again later.
        InvalidArgument: an argument is empty, or is no text.
    """
    return erasure.erase(business_key=business_key, by=by)


def check_admission() -> None:
    """Raise ``Overloaded`` if the oldest run that has not begun has waited longer than ``SAGAS["ADMISSION"]``."""
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
    """Report how an operation has ended for which a participant returned ``Accepted``. A repeat changes nothing.

    Args:
        run_id: the run.
        step: the step's name.
        outcome: ``Done`` with the result, or ``Rejected``.
        operation: the operation's name, as in ``call.operation``: "confirm", "compensate" or "cancel"; by default the
            step's forward operation ("forward" or "try"). If the run does not wait for it, the report is a repeat.
        by: who reports, for the log.

    Returns:
        The run's state after the report.

    Raises:
        RunNotFound: there is no such run.
        UnknownStep: its saga has no such step, or the step has no such operation.
        NotAwaited: this operation has not begun.
        DataTooLarge: the result is larger than ``SAGAS["DATA_LIMIT"]``. Nothing was taken.
        InvalidArgument: ``outcome`` is neither of the two, JSON cannot represent its result, or ``by`` is no text.
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
