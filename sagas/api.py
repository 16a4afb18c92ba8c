"""What an application calls: start, confirm, cancel, erase, and the rest; what people do about escalations.

Each function works in the caller's database transaction, if there is one. The kick follows the commit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from asgiref.sync import sync_to_async

from sagas import runtime, store
from sagas.conf import config
from sagas.db import after_commit
from sagas.decisions import admission
from sagas.decisions.messages import Message, Unlock, Wake
from sagas.definition.participants import Done
from sagas.definition.saga import Saga, Unique
from sagas.delivery.carrier import do_after_commit
from sagas.engine import lifecycle, shared_decisions
from sagas.engine.lifecycle import Receipt
from sagas.engine.reports import receive_report
from sagas.errors import InvalidArgument, InvalidDecision, Overloaded, Rejected
from sagas.escalations import actions
from sagas.metrics import catalogue
from sagas.metrics.instruments import count_now
from sagas.retention import erasure
from sagas.retention.erasure import Erasure
from sagas.serialization import dump_limited
from sagas.states import State
from sagas.store.shared_decisions import Decision
from sagas.store.workers import kick
from sagas.validation import check_note, check_person, parse_run_id

P = ParamSpec("P")
R = TypeVar("R")


def start(
    saga: type[Saga[Any]],
    request: object,
    *,
    business_key: str = "",
    run_id: UUID | None = None,
    unique: Unique | None = None,
) -> UUID:
    """Start a run. It begins when the surrounding transaction commits.

    Args:
        saga: the saga's class.
        request: an instance of the saga's request type, or a dict that fits it.
        business_key: what people know the run by, such as an order number; at most 64 characters.
        run_id: the run's id, if the caller must know it before the call; by default a new UUIDv7.
        unique: how a start goes that finds a run of this saga and business key which is not undone, whether it goes on,
            has succeeded or waits for a person: "reject" raises ``RunExists``, and "attach" returns that run's id. A
            run that is FAILED is undone, so its key may be started again. Of two such starts at the same time, the
            second waits for the first one's commit. Starts without it are not stopped, and a run that was pruned is
            forgotten.

    Returns:
        The run's id, which is the global transaction id.

    Raises:
        InvalidRequest: the request does not fit, changes when it is stored and read again, or is larger than
            ``SAGAS["DATA_LIMIT"]``; or the business key or the id is invalid. Nothing was written.
        Locked: another run holds a business key, and this saga does not wait for it.
        RunExists: a run of this id exists; or, with ``unique="reject"``, one of this business key.
        InvalidArgument: ``unique`` is neither of the two, is given without a business key or with a run id, or the
            transaction's isolation level is above READ COMMITTED. Nothing was written.
        RunPruned: the id is so old that a run of this id may have ended and been deleted (a ``RunExists``).
    """
    run_id = lifecycle.insert_run(saga, request, business_key=business_key, run_id=run_id, unique=unique)
    after_commit(kick)
    return run_id


@dataclass(frozen=True, slots=True)
class StartSql:
    """The start of a run as a part of the caller's own SQL statement. See ``start_sql``.

    Attributes:
        run_id: the run's id.
        ctes: common table expressions, to be put behind ``WITH``. ``sagas_started`` returns ``id``: one row if the run
            was inserted. All names, also those of the parameters, begin with ``sagas_``.
        params: the parameters, for placeholders such as ``%(sagas_id)s``.
    """

    run_id: UUID
    ctes: str
    params: dict[str, Any]
    end_start: Callable[[], object] | None = None

    def announce(self) -> None:
        """Wake a worker after the commit. Call it behind the statement; without it the run begins at the next tick."""
        if self.end_start is not None:
            after_commit(self.end_start)
        after_commit(kick)


def start_sql(saga: type[Saga[Any]], request: object, *, business_key: str = "", source: str = "") -> StartSql:
    """Start a run by a statement of the caller, which writes rows of its own in the same statement.

    So both commit together in one round trip, without a transaction around them. Nothing is written here, but for the
    saga's definition, the first time in a process.

    Args:
        saga: the saga's class. Its runs must lock no business keys.
        request: as for ``start``.
        business_key: as for ``start``.
        source: a ``FROM`` clause of which each row would start the run, so it has one row, or none: ``"FROM claimed"``,
            a common table expression that comes before.

    Raises:
        InvalidRequest: as for ``start``.
        InvalidArgument: runs of this saga lock business keys.
    """
    run = lifecycle.new_run(saga, request, business_key=business_key)
    ctes = store.moves.starting(publishes=bool(run.event), shared=run.awaits is not None, source=source)
    return StartSql(run.run_id, ctes, run.params(), run.end_start)


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
        InvalidArgument: ``data`` is no dict, or JSON cannot represent it; or the confirmation comes by ``decide``.
    """
    return _confirm(run_id, name, data, ("", []))


def confirm_sql(
    run_id: UUID, name: str, data: dict[str, Any] | None = None, *, ctes: str, params: Sequence[Any]
) -> Receipt:
    """Confirm a run by a statement that also writes rows of the caller's own. All else is as for ``confirm``.

    It is the counterpart of ``start_sql``, for a door where each round trip counts. Elsewhere, put ``confirm`` and your
    writes into one transaction.

    Args:
        run_id: as for ``confirm``.
        name: as for ``confirm``.
        data: as for ``confirm``.
        ctes: common table expressions, to be put behind ``WITH``. Each selects its rows from ``sagas_received``, which
            has ``run_id`` and ``received_at``: one row if this call is the first, and none if it is a repeat. The text
            is the application's own; what comes from outside belongs into ``params``.
        params: the parameters, for the placeholders ``%s``.

    Raises:
        InvalidArgument: as for ``confirm``; or ``ctes`` is empty.
        IntegrityError: and every other error of these expressions. Nothing was taken.
    """
    if not ctes.strip():
        msg = "confirm_sql takes the application's common table expressions; without any, call confirm"
        raise InvalidArgument(msg)
    return _confirm(run_id, name, data, (f", {ctes}", list(params)))


def _confirm(run_id: UUID, name: str, data: dict[str, Any] | None, also: store.runs.Sql) -> Receipt:
    text = _dump_confirmation(name, data)
    receipt, messages = lifecycle.receive_confirmation(parse_run_id(run_id), name, text, also)
    _after_commit(messages)
    return receipt


def _dump_confirmation(name: str, data: object) -> str:
    given: object = {} if data is None else data
    if not isinstance(given, dict):
        msg = f"the data of {name} is a dict, not {type(given).__name__}"
        raise InvalidArgument(msg)
    return dump_limited(given, f"the data of {name}")


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


def decide(
    saga: type[Saga[Any]],
    name: str,
    key: str,
    data: dict[str, Any] | None = None,
    *,
    decline: str | None = None,
    message: str = "",
    by: str = "",
) -> Decision:
    """Decide, once and finally, for all runs of a key: those that wait, and those that start later.

    Their confirmation ``name`` is declared with ``decided_by=``, which computes the key. The decision is one row of the
    caller's transaction; after the commit, workers give it to the undecided runs, a cohort at a time. Where it is the
    last confirmation of a run, the run can be cancelled no more from the commit on. Do not lock runs in the same
    transaction before (by ``confirm``, say): the decision comes first.

    Args:
        saga: the saga's class.
        name: the confirmation's name.
        key: the key; a text of 1 to 128 characters.
        data: what each run keeps of it as JSON.
        decline: in place of the confirmation, refuse it: the runs are undone. Why, for operators; as in ``decline``.
        message: with ``decline``, why, for customers.
        by: who, for the log; at most 150 characters, of which 100 are kept.

    Returns:
        The decision. A repeat with the same answer, a refusal for whatever reason or the same data, gets the one that
        was made, and whether it is ``settled`` by now.

    Raises:
        DecidedOtherwise: the key was decided before, and otherwise (an ``AlreadyDecided``).
        UnknownConfirmation: the saga has no confirmation of this name.
        InvalidArgument: it is not declared with ``decided_by=``; the key is none; ``data`` is no dict, or comes with
            ``decline``; a text is none or too long; or the transaction's isolation level is above READ COMMITTED, and
            another decision of the key was committed since it began.
        DataTooLarge: ``data`` is larger than ``SAGAS["DATA_LIMIT"]``.
    """
    check_note("decline", "" if decline is None else decline)
    check_note("message", message)
    check_person("by", by)
    text = None if decline is not None else _dump_confirmation(name, data)
    if (data is not None) if decline is not None else message:
        msg = f"the decision {name} is data=, or decline= with message=, and not both"
        raise InvalidArgument(msg)
    made = shared_decisions.decide(saga.definition, name, key, text, reason=decline or "", message=message, by=by)
    if made.first:
        after_commit(kick)
    return made


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


def retry(run_id: UUID, *, by: str) -> None:
    """Let a run that waits for its next attempt make it now. It counts as the attempt that was due later.

    Args:
        run_id: the run.
        by: who; at most 150 characters, of which 100 are kept.

    Raises:
        RunNotFound: there is no such run.
        NotApplicable: the run waits for no attempt.
        InvalidArgument: ``by`` is no text, or is too long.
    """
    check_person("by", by)
    _after_commit(lifecycle.retry_now(parse_run_id(run_id), by=by))


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


#: Seconds between two looks at the backlog, and after which a look says nothing any more.
_LOOK_EVERY, _STALE = 1.0, 5.0


def check_admission(*, within: float | None = None) -> None:
    """Raise ``Overloaded`` if a new run would wait longer than ``SAGAS["ADMISSION"]`` to begin, as far as is known.

    ``within`` is a shorter limit, for a run that is worth nothing unless it begins in so many seconds. The error's
    ``retry_after`` is after how many seconds that will be over, from 1 to 60. The database is asked once a second
    and process, by one thread; the other threads go by the last answer.
    """
    limit = config().admission
    looks = _looks(limit)
    if within is not None:
        limit = min(limit, max(within, 0.0))
    if excess := admission.excess(looks, limit):
        count_now([(catalogue.REFUSED, 1, {})])
        msg = f"a new run would wait {limit + excess:.0f} s to begin; the limit is {limit:g} s"
        raise Overloaded(msg, retry_after=math.ceil(min(max(excess, 1), 60)))


def _looks(limit: float) -> tuple[admission.Look, ...]:
    """The last looks at the backlog; none if they are too old to go by."""
    memory, looking = runtime.memory, runtime.own.looking
    if time.monotonic() - memory.backlog_asked_at >= _LOOK_EVERY and looking.acquire(blocking=False):
        try:
            memory.looks = _look(memory.looks, limit)
        finally:
            # If it failed, too: the next second comes soon enough.
            memory.backlog_asked_at = time.monotonic()
            looking.release()
    is_stale = time.monotonic() - memory.backlog_asked_at > _STALE
    return () if is_stale else memory.looks


def _look(looks: tuple[admission.Look, ...], limit: float) -> tuple[admission.Look, ...]:
    last = looks[-1] if looks else None
    look = store.claims.look_at_backlog(last.head if last else None)
    if most := admission.runs_to_count(admission.keep(looks, look), limit):
        before = last.count.through if last and last.count else None
        look = replace(look, count=store.claims.count_backlog(most, since=look.head, before=before))
    return admission.keep(looks, look)


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


def _awaited(function: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """The same for coroutines: it is called in a thread, because Django's database connections belong to threads."""
    call = sync_to_async(function)

    @wraps(function)
    async def awaited(*args: P.args, **kwargs: P.kwargs) -> R:
        return await call(*args, **kwargs)

    awaited.__name__ = awaited.__qualname__ = f"a{function.__name__}"
    awaited.__doc__ = f"""As ``{function.__name__}``, for coroutines. It is a transaction of its own.

    To do it in a transaction with writes of your own, put both into a function, and call that by ``sync_to_async``.
    """
    return awaited


astart = _awaited(start)
aconfirm = _awaited(confirm)
adecline = _awaited(decline)
acancel = _awaited(cancel)
adecide = _awaited(decide)


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
