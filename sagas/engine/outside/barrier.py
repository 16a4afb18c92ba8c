"""Call the participants of a step whose data is in another database, so that each effect happens there once.

The effect commits in the other database, then its outcome commits in the engine's. The process may die between the two
commits. So the first statement of the transaction in the other database inserts a barrier row for each operation,
with the idempotency key as its key. A redelivery finds the row and its recorded outcome, and does not call the
participant.

An undo may come before its forward operation, because a worker that has lost the engine's database may still reach the
other one. So an undo first inserts the row of the forward operation. If that insert succeeds, the forward operation has
not happened: there is nothing to undo (a null compensation), and a late forward operation finds its row and does
nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import Error, connections, transaction

from sagas import store
from sagas.db import ConnectionLost, ErrorKind, classify_error, is_lost
from sagas.definition.participants import Accepted, Call, Done, Phase
from sagas.definition.steps import Step
from sagas.engine import invocation
from sagas.engine.invocation import Answer, Fault, SetBasedFailure
from sagas.errors import Rejected
from sagas.postgresql import sessions
from sagas.postgresql.sessions import Patience
from sagas.postgresql.statements import only_reads
from sagas.serialization import dump_json
from sagas.states import BarrierOutcome
from sagas.store.barriers import Row, Table
from sagas.validation import printable

#: The result of an undo that had nothing to undo, for the log.
NULL = {"null": True}


class DatabaseAway(Exception):
    """The other database does not answer as it should: whether the operation is done there is not known."""


class SessionLost(ConnectionLost):
    """The other database answers, and only this session was lost: one of the runs may be the cause."""


class WrongDatabase(Exception):
    """A participant wrote in another database than its step names."""


class Overtaken(Rejected):
    """The undo of the operation came first, so the operation never happens."""


class BarrierLost(Exception):
    """The log has the effect, but the other database has no barrier row for it: whether it is there is not known."""


def connect_database(step: Step) -> DatabaseAway | None:
    """Connect to the step's database before its runs are locked, so that no lock waits for it; say if it is away."""
    if not step.database:
        return None
    there: Any = connections[step.database]
    try:
        # A connection from before a restart of that server would cost the whole cohort an attempt.
        if there.connection is not None and not there.is_usable():
            there.close()
        there.ensure_connection()
    except Error as error:
        return _report_away(step, error)
    return None


def call_through_barrier(
    step: Step, phase: Phase, calls: Sequence[Call[Any]], *, may_reject: bool, patience: Patience | None = None
) -> Sequence[Answer]:
    """Call the participant for each operation that has no barrier row yet, in one transaction of the other database.

    Args:
        step: the step; it names the database.
        phase: which of its operations.
        calls: in the order of their runs, which are locked.
        may_reject: whether a rejection is an answer; otherwise it is a fault.
        patience: how long to wait for locks there; by default as long as the session's setting says.

    Returns:
        An answer for each call. If the database is away, faults: the engine's own transaction goes on.

    Raises:
        SetBasedFailure: a set-based participant raised; its transaction was rolled back.
        SessionLost: the session was lost in the middle of the transaction, and there was more than one call.
        django.db.Error: the transaction collided with another, or the database refused what a participant wrote.
    """
    began = time.monotonic()
    try:
        with transaction.atomic(using=step.database, durable=True):
            if patience is not None:
                patience.limit(step.database)
            return _collect_in_transaction(step, phase, calls, may_reject=may_reject)
    except (Error, SetBasedFailure, DatabaseAway, ConnectionLost) as error:
        cause = error.error if isinstance(error, SetBasedFailure) else error
        if isinstance(cause, DatabaseAway | ConnectionLost) or is_lost(cause, step.database):
            # The lost connection may be the engine's own, through which a participant may read. That is found out when
            # these faults are written.
            away = _report_away(step, cause)
            if len(calls) > 1 and _is_session_only(step, cause, began):
                raise SessionLost(str(away)) from error
            return [Fault(away)] * len(calls)
        raise


def _is_session_only(step: Step, error: Exception, began: float) -> bool:
    """Whether the database answers and only this session has ended: one of the runs may have ended it."""
    if isinstance(error, DatabaseAway):
        return False
    return sessions.examine_loss(time.monotonic() - began, step.database).outlived


def _report_away(step: Step, error: Exception) -> DatabaseAway:
    """Say that the database is away, and close the connection: the next attempt makes a new one."""
    connections[step.database].close()
    return error if isinstance(error, DatabaseAway) else DatabaseAway(f"{step.database}: {error}".strip())


@dataclass(frozen=True, slots=True)
class _Entry:
    """The calls at the barrier.

    Attributes:
        inserted: the rows that this transaction has inserted, as (run, operation).
        to_call: the calls for which the participant is called.
        recorded: the answers that the rows have, by run.
        nulls: the answers of undos that have nothing to undo, by run; no row has them yet.
        times_accepted: how often the log says that the operation was accepted, by run, if a row says so.
    """

    inserted: set[tuple[UUID, str]]
    to_call: list[Call[Any]] = field(default_factory=list)
    recorded: dict[UUID, Answer] = field(default_factory=dict)
    nulls: dict[UUID, Answer] = field(default_factory=dict)
    times_accepted: dict[UUID, int] = field(default_factory=dict)


def _collect_in_transaction(step: Step, phase: Phase, calls: Sequence[Call[Any]], *, may_reject: bool) -> list[Answer]:
    table = Table(step.database, step.name)
    with _barrier_statements(step):
        entry = (_enter_to_undo if phase is Phase.UNDO else _enter)(table, step, phase, calls)
    answers = dict(entry.nulls)
    if entry.to_call:
        with _writes_only_there(step):
            given = invocation.collect(
                step.actions[phase].participant, entry.to_call, step.rejects, using=step.database
            )
        for answer in given:
            if isinstance(answer, Fault) and isinstance(answer.error, WrongDatabase):
                # Django may have marked the engine's transaction as broken: both must be rolled back.
                raise SetBasedFailure(answer.error)
        answers |= {
            call.run_id: _rejection_as_fault(answer, may_reject)
            for call, answer in zip(entry.to_call, given, strict=True)
        }
    with _barrier_statements(step):
        _write_outcomes(table, step.actions[phase].operation, entry, [c for c in calls if c.run_id in answers], answers)
    answers |= entry.recorded
    return [answers[call.run_id] for call in calls]


@contextmanager
def _barrier_statements(step: Step) -> Iterator[None]:
    """Report an error of the barrier's own statements as the database's: no run is its cause."""
    try:
        yield
    except Error as error:
        if classify_error(error, step.database) in {ErrorKind.COLLISION, ErrorKind.CANCELLED, ErrorKind.TROUBLE}:
            raise
        msg = f"{step.database}: {error}".strip()
        raise DatabaseAway(msg) from error


@contextmanager
def _writes_only_there(step: Step) -> Iterator[None]:
    """Let a participant write in its step's database only: another database would not commit with it.

    Otherwise a model without a router could write elsewhere, and a redelivery would not repeat what was lost there.
    """

    def refuse(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if only_reads(_sql_text(sql, context)):
            return execute(sql, params, many, context)
        alias = context["connection"].alias
        msg = (
            f"{step.name} is in the database {step.database!r}, and wrote in {alias!r}: {_sql_text(sql, context)[:100]}"
        )
        raise WrongDatabase(msg)

    with ExitStack() as guards:
        for other in connections.all():
            if other.alias != step.database:
                guards.enter_context(other.execute_wrapper(refuse))
        yield


def _sql_text(sql: Any, context: Any) -> str:
    """The text of a statement: a driver's composed statement is put together first, and bytes are decoded."""
    if hasattr(sql, "as_string"):
        return str(sql.as_string(context["connection"].connection))
    return sql.decode(errors="replace") if isinstance(sql, bytes) else str(sql)


def _rejection_as_fault(answer: Answer, may_reject: bool) -> Answer:
    if isinstance(answer, Rejected) and not may_reject:
        return Fault(answer)
    return answer


# -- At the barrier -------------------------------------------------------------------------------------------


def _enter(table: Table, step: Step, phase: Phase, calls: Sequence[Call[Any]]) -> _Entry:
    operation = step.actions[phase].operation
    entry = _Entry(table.enter([(operation, BarrierOutcome.DONE)], {call.run_id: call.attempt for call in calls}))
    known = [call.run_id for call in calls if (call.run_id, operation) not in entry.inserted]
    rows = table.read([operation], known) if known else {}
    entry.times_accepted.update(_times_accepted(step, operation, rows))
    for call in calls:
        recorded = None
        if (call.run_id, operation) not in entry.inserted:
            recorded = _recorded_answer(call, rows[call.run_id, operation], entry.times_accepted)
        if recorded is None:
            entry.to_call.append(call)
        else:
            entry.recorded[call.run_id] = recorded
    return entry


def _enter_to_undo(table: Table, step: Step, phase: Phase, calls: Sequence[Call[Any]]) -> _Entry:
    operation, forward = step.actions[phase].operation, step.actions[Phase.FORWARD].operation
    # The forward operation's row first: the transaction that inserts it decides whether that operation happens.
    rows_of_each = [(forward, BarrierOutcome.VOID), (operation, BarrierOutcome.DONE)]
    entry = _Entry(table.enter(rows_of_each, {call.run_id: call.attempt for call in calls}))
    known = [call.run_id for call in calls if not {(call.run_id, forward), (call.run_id, operation)} <= entry.inserted]
    rows = table.read([forward, operation], known) if known else {}
    entry.times_accepted.update(_times_accepted(step, operation, rows))
    nothing: list[Call[Any]] = []
    for call in calls:
        recorded = None
        if (call.run_id, operation) not in entry.inserted:
            recorded = _recorded_answer(call, rows[call.run_id, operation], entry.times_accepted)
        if recorded is not None:
            entry.recorded[call.run_id] = recorded
        elif (call.run_id, forward) in entry.inserted:
            nothing.append(call)
        elif rows[call.run_id, forward].outcome in {BarrierOutcome.VOID, BarrierOutcome.REJECTED}:
            entry.nulls[call.run_id] = Done(NULL)
        else:
            entry.to_call.append(call)
    if nothing:
        entry.nulls.update(_nothing_to_undo(step, forward, nothing))
    return entry


def _nothing_to_undo(step: Step, forward: str, calls: Sequence[Call[Any]]) -> dict[UUID, Answer]:
    """Answer undos whose forward operation has left no row: it has not happened, unless the log says that it has."""
    logged = store.log.with_effect([call.run_id for call in calls], step.name, forward)
    lost = Fault(
        BarrierLost(
            f"the log says that {step.name}.{forward} is done, and {step.database!r} has no barrier row of it: "
            "the row was deleted too early, or that database has lost its last commits"
        )
    )
    return {call.run_id: lost if call.run_id in logged else Done(NULL) for call in calls}


def _times_accepted(step: Step, operation: str, rows: Mapping[tuple[UUID, str], Row]) -> dict[UUID, int]:
    ids = [run_id for (run_id, of), row in rows.items() if (of, row.outcome) == (operation, BarrierOutcome.ACCEPTED)]
    return store.log.count_outcome("ACCEPTED", ids, step.name, operation) if ids else {}


def _recorded_answer(call: Call[Any], row: Row, times_accepted: Mapping[UUID, int]) -> Answer | None:
    """The answer that a row has for this call; ``None`` if the participant must be called."""
    match row.outcome:
        case BarrierOutcome.DONE:
            return Done(None if row.data is None else json.loads(row.data))
        case BarrierOutcome.REJECTED:
            said = json.loads(row.data or "{}")
            return Rejected(said["detail"], code=said["code"], note=said.get("note", ""))
        case BarrierOutcome.ACCEPTED:
            said = json.loads(row.data or "{}")
            # The log has as many: no report came in time, and this is the next attempt, or the first after a resume.
            if said.get("times", 0) <= times_accepted.get(call.run_id, 0):
                return None
            return Accepted(timedelta(seconds=said["within"]))
        case BarrierOutcome.VOID:
            return Overtaken()


def _write_outcomes(
    table: Table,
    operation: str,
    entry: _Entry,
    calls: Sequence[Call[Any]],
    answers: Mapping[UUID, Answer],
) -> None:
    """Write the outcomes into the rows. A row that was just inserted says DONE already."""
    rows: dict[UUID, Row] = {}
    faults: set[UUID] = set()
    data: str | None
    for call in calls:
        answer = answers[call.run_id]
        if isinstance(answer, Fault):
            faults.add(call.run_id)
        elif isinstance(answer, Rejected):
            said = {"code": answer.code, "detail": answer.detail, **({"note": answer.note} if answer.note else {})}
            data = dump_json({name: printable(text) for name, text in said.items()})
            rows[call.run_id] = Row(BarrierOutcome.REJECTED, call.attempt, data)
        elif isinstance(answer, Accepted):
            times = entry.times_accepted.get(call.run_id, 0) + 1
            data = dump_json({"within": answer.within.total_seconds(), "times": times})
            rows[call.run_id] = Row(BarrierOutcome.ACCEPTED, call.attempt, data)
        elif answer.result is not None or (call.run_id, operation) not in entry.inserted:
            data = None if answer.result is None else dump_json(answer.result)
            rows[call.run_id] = Row(BarrierOutcome.DONE, call.attempt, data)
    if rows:
        table.write(operation, rows)
    # The row of an operation that was accepted at an earlier attempt stays.
    nothing_happened = [row for row in entry.inserted if row[0] in faults]
    if nothing_happened:
        table.leave(nothing_happened)
