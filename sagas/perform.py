"""Perform one operation of a cohort: one transaction for effect, log and state of all its runs.

A cohort that breaks is bisected, each half in a transaction of its own, so that locks are always taken
in one order and neighbours of a poisonous run commit without it.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import Error, transaction

from sagas import confirmation_store, elsewhere, guard, intents, log_store, outcomes, plan, store, versions, wait_store
from sagas.conf import config
from sagas.definition import Definition
from sagas.errors import NoReport
from sagas.faults import ConnectionLost, Kind, is_nobodys, kind_of, said
from sagas.messages import Chain, Kick, Link, Message
from sagas.outcomes import Answer, Broken, Fault
from sagas.participant import Call, Done, Phase, is_patient, is_remote, is_set_based
from sagas.plan import Place, Stand
from sagas.record import Delivery, delivery_of, pass_on, record
from sagas.steps import Action, Refund
from sagas.timeouts import give_up_late

logger = logging.getLogger(__name__)

#: One-call participants run in savepoints; past 64 in a transaction PostgreSQL slows down.
SAVEPOINTS = 50
#: How often two transactions may collide before their cohorts are made smaller.
COLLISIONS = 3
#: Seconds for which a run is left alone when the server could not do what its operation asked.
PUT_OFF = 5.0
#: How often in all, before the delivery is put off: the same locks are wanted by many.
PATIENCE = 30


@dataclass(slots=True)
class Performed:
    """What became of a delivery.

    Attributes:
        survivors: the runs that go on to the chain's next link, in the order of their ids.
        messages: what must be published now.
        unknown: ids of which there is no run.
        behind: the runs of which the operation is done, now or before.
    """

    survivors: list[UUID] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    unknown: list[UUID] = field(default_factory=list)
    behind: list[UUID] = field(default_factory=list)


def perform(link: Link, ids: Sequence[UUID], *, worker: str = "", issue: int = 0) -> Performed:
    """Perform ``link`` for those of the runs that stand at it.

    Args:
        link: the operation.
        ids: the cohort; repeats are ignored.
        worker: name of the worker, for the log.
        issue: which issue of the operation this is; see ``Chain.issue``.

    Returns:
        Who goes on, and what to publish.

    Raises:
        ConnectionLost: the database went away; what was committed is not known. Deliver the same again.
        UnknownSaga: this process does not know the saga.
        UnknownStep: the saga has no such step, or the step no such operation, or this process has it not.
    """
    delivery = delivery_of(link, worker)
    performed = Performed()
    ids = sorted(set(ids))
    participant = delivery.action.participant
    # A remote one is only begun here. One that is patient is asked for the same again and again, at once where
    # its child is quick. Neither is a double.
    if link.phase is not Phase.UNDO or is_patient(participant) or is_remote(participant):
        _perform(delivery, ids, performed)
        return performed
    guarded = guard.take(link.step, issue, ids)
    try:
        _perform(delivery, [*guarded.going, *_not_done(delivery, guarded.done, performed)], performed)
    finally:
        guarded.give_back(set(performed.behind))
    performed.survivors.sort()
    return performed


def _perform(delivery: Delivery, ids: Sequence[UUID], performed: Performed) -> None:
    room = intents.room_for(delivery, len(ids))
    collisions = 0
    troubled: dict[UUID, Exception] = {}
    work = deque(_chunks(ids, _size(delivery.action)))
    while work:
        cohort = work.popleft()
        try:
            _perform_once(delivery, cohort, performed, room)
        except Exception as error:
            # Not only what the participant raised: a request that no longer loads, a constraint that is
            # checked at COMMIT. One run is to blame, and its neighbours must not wait for it.
            cause = error.error if isinstance(error, Broken) else error
            if isinstance(cause, ConnectionLost):
                raise
            kind = kind_of(cause)
            if kind in {Kind.LOST, Kind.CANCELLED}:
                raise ConnectionLost from error
            if kind is Kind.COLLISION:
                collisions += 1
                if collisions > PATIENCE:
                    raise ConnectionLost from error
                if collisions <= COLLISIONS or len(cohort) == 1:
                    work.appendleft(cohort)
                    continue
            if len(cohort) > 1:
                work.extendleft(reversed(_halves(cohort)))
            elif kind is Kind.TROUBLE:
                troubled[cohort[0]] = cause
            else:
                _blame(delivery, cohort[0], cause, performed)
    if troubled:
        _put_off(delivery, troubled, performed)


def _not_done(delivery: Delivery, ids: Sequence[UUID], performed: Performed) -> list[UUID]:
    """Ask the database about runs that have the undo behind them, as Redis remembers. Those that have not are left.

    Without their locks: to pass on a run that has moved on since does nothing.
    """
    if not ids:
        return []
    try:
        rows = store.look(ids)
        here, behind = _sort_by_stand(delivery, rows)
    except Error as error:
        if is_nobodys(error):
            raise ConnectionLost from error
        raise
    for place, some in behind.items():
        going, following = pass_on(delivery, place, some)
        performed.survivors += going
        performed.messages += following
    known = {row.id for row in rows}
    performed.unknown += [run_id for run_id in ids if run_id not in known]
    return [row.id for row in here]


def is_wanted(link: Link, ids: Sequence[UUID]) -> bool:
    """Whether one of these runs stands at this operation now, be it known to this process or not."""
    definition = versions.find(link.saga, link.version, link.shape)
    index = definition.index(link.step)
    return any(plan.stand(definition, row.place, index, link.phase) is Stand.HERE for row in store.look(ids))


def bisect(link: Link, ids: Sequence[UUID], *, issue: int = 0) -> list[Message]:
    """Split a redelivered cohort: one of its runs may have killed the worker."""
    definition = versions.find(link.saga, link.version, link.shape)
    following = _links_from(definition, link)
    return [Chain(following, tuple(half), issue=issue + 1) for half in _halves(sorted(set(ids)))]


def again(link: Link, ids: Sequence[UUID], delay: float, *, issue: int = 0) -> Message:
    """Deliver a cohort again after ``delay`` seconds, with the rest of its chain."""
    return Chain(
        _links_from(versions.find(link.saga, link.version, link.shape), link), tuple(ids), delay, issue=issue + 1
    )


def give_up(link: Link, run_id: UUID, error: Exception, *, worker: str = "") -> Performed:
    """Count a run that keeps killing its worker as a fault, without calling the participant again."""
    performed = Performed()
    _blame(delivery_of(link, worker), run_id, error, performed)
    return performed


def _perform_once(delivery: Delivery, ids: Sequence[UUID], performed: Performed, room: intents.Room | None) -> None:
    """One transaction: lock, call, write. ``performed`` grows only if it commits."""
    survivors: list[UUID] = []
    finished: list[UUID] = []
    messages: list[Message] = []
    away = elsewhere.reach(delivery.step)
    with transaction.atomic(durable=True):
        rows = store.lock(ids)
        here, behind = _sort_by_stand(delivery, rows)
        for place, some in behind.items():
            going, following = pass_on(delivery, place, some)
            finished += some
            survivors += going
            messages += following
        if here and delivery.may_turn_back:
            here, following = give_up_late(delivery.definition, here)
            messages += following
        here, unanswered = _sort_out_unanswered(delivery, here)
        if unanswered:
            # Nobody reported: that attempt has failed, and may have taken effect all the same.
            errors = [Fault(_unanswered(delivery))] * len(unanswered)
            messages += record(delivery, unanswered, errors, 0)[1]
        if here and room is not None:
            messages += intents.begin(delivery, here, _calls(delivery, here[: room.left]), room)
        elif here:
            calls = _calls(delivery, here)
            began = time.perf_counter()
            answers = _answers(delivery, calls, away)
            duration = int((time.perf_counter() - began) * 1e6)
            done, following = record(delivery, here, answers, duration)
            survivors += [row.id for row in done]
            finished += [row.id for row, answer in zip(here, answers, strict=True) if isinstance(answer, Done)]
            messages += following
    if room is not None:
        room.take(messages)
    known = {row.id for row in rows}
    performed.unknown += [run_id for run_id in ids if run_id not in known]
    performed.survivors += sorted(survivors)
    performed.behind += finished
    performed.messages += messages


def _blame(delivery: Delivery, run_id: UUID, error: Exception, performed: Performed) -> None:
    """Write, in a transaction of its own, that the operation raised for this run, and what follows."""
    answer = outcomes.as_rejection(error) if isinstance(error, delivery.step.rejects) else Fault(error)
    messages: list[Message] = []
    try:
        with transaction.atomic(durable=True):
            here, _ = _sort_by_stand(delivery, store.lock([run_id]))
            if here:
                _, messages = record(delivery, here, [answer], 0)
    except Error as second:
        if is_nobodys(second):
            raise ConnectionLost from second
        raise
    performed.messages += messages


def _put_off(delivery: Delivery, troubled: Mapping[UUID, Exception], performed: Performed) -> None:
    """Leave alone for a while the runs for which the server could not do it. That is no attempt."""
    first = next(iter(troubled.values()))
    where = f"{delivery.definition.name}.{delivery.step.name}.{delivery.action.operation}"
    logger.warning(
        "sagas: %d run(s) wait %g s at %s: the database cannot do it: %s", len(troubled), PUT_OFF, where, said(first)
    )
    try:
        with transaction.atomic(durable=True):
            here, _ = _sort_by_stand(delivery, store.lock(troubled))
            wait_store.leave_alone([row.id for row in here], PUT_OFF)
    except Error as second:
        if is_nobodys(second):
            raise ConnectionLost from second
        raise
    performed.messages.append(Kick(PUT_OFF))


def _sort_by_stand(delivery: Delivery, rows: Sequence[store.Row]) -> tuple[list[store.Row], dict[Place, list[UUID]]]:
    """Those that stand at the delivery's step, and those right behind it. The others are dropped."""
    here: list[store.Row] = []
    behind: dict[Place, list[UUID]] = {}
    definition = delivery.definition
    mine = [
        row
        for row in rows
        if row.saga == definition.name
        and row.version == definition.version
        # A run counts its steps by the definition it began with; 0 is from before that was on record.
        and row.shape in {0, definition.shape.number}
        and not row.waits_for_retry
    ]
    for place, group in store.by_place(mine).items():
        match plan.stand(definition, place, delivery.index, delivery.phase):
            case Stand.HERE:
                here += group
            case Stand.BEHIND:
                if passed := _passed(delivery, [row.id for row in group]):
                    behind[place] = passed
            case Stand.ELSEWHERE:
                pass
    if any(row.pending for row in here):
        here = _not_waiting(delivery, here)
    return here, behind


def _passed(delivery: Delivery, ids: list[UUID]) -> list[UUID]:
    """Which of the runs right behind an operation have been through it.

    All, but for an undo to which an event led: a rejection comes to the undo of its own step too, which has nothing to
    undo unless it was begun elsewhere. What was not undone must not be told as undone.
    """
    if not delivery.choreographed or delivery.phase is not Phase.UNDO:
        return ids
    undone = log_store.effects(ids, delivery.step.name, delivery.action.operation)
    return [run_id for run_id in ids if run_id in undone]


def _not_waiting(delivery: Delivery, rows: Sequence[store.Row]) -> list[store.Row]:
    """Those that do not wait at the delivery's step, for an answer or for their next attempt."""
    now = store.clock().timestamp()
    here: list[store.Row] = []
    for row in rows:
        if row.waits_at(delivery.step.name, delivery.phase, now):
            continue
        wait = row.waits.get(delivery.step.name)
        # In a fork each branch counts its own attempts.
        here.append(row._replace(attempt=wait.failed) if delivery.forked and wait else row)
    return here


def _sort_out_unanswered(delivery: Delivery, rows: list[store.Row]) -> tuple[list[store.Row], list[store.Row]]:
    """Take out those for which this very operation was begun, and nobody has said in time how it ended."""
    if not any(row.pending for row in rows) or is_patient(delivery.action.participant):
        return rows, []
    unanswered = {
        row.id
        for row in rows
        if (wait := row.waits.get(delivery.step.name)) is not None and wait.operation == delivery.action.operation
    }
    return [row for row in rows if row.id not in unanswered], [row for row in rows if row.id in unanswered]


def _unanswered(delivery: Delivery) -> Exception:
    if is_remote(delivery.action.participant):
        return outcomes.NoAnswer(f"no answer of {delivery.step.name} came in time")
    return NoReport(f"no report of {delivery.step.name} came in time")


def _answers(delivery: Delivery, calls: Sequence[Call[Any]], away: Exception | None) -> Sequence[Answer]:
    if away is not None:
        return [Fault(away)] * len(calls)
    if delivery.step.database:
        return elsewhere.collect(delivery.step, delivery.phase, calls, may_reject=delivery.may_turn_back)
    pivot = delivery.step.pivot and delivery.phase is Phase.FORWARD
    return outcomes.collect(delivery.action.participant, calls, delivery.step.rejects, pivot=pivot)


def _calls(delivery: Delivery, rows: Sequence[store.Row]) -> list[Call[Any]]:
    came: dict[UUID, str] = {}
    if isinstance(delivery.step, Refund):
        came = confirmation_store.confirmed_with([row.id for row in rows], delivery.step.name)
    return [_call(delivery, row, {delivery.step.name: came[row.id]} if row.id in came else {}) for row in rows]


def _call(delivery: Delivery, row: store.Row, came: Mapping[str, str]) -> Call[Any]:
    results = json.loads(row.results) if row.results != "{}" else {}
    return Call(
        run_id=row.id,
        step=delivery.step.name,
        operation=delivery.action.operation,
        attempt=row.attempt + 1,
        request=delivery.definition.load(row.request),
        results=results | {name: json.loads(data) for name, data in came.items()},
        trace_id=row.trace_id,
    )


def _size(action: Action) -> int:
    in_sets = is_set_based(action.participant) or is_remote(action.participant)
    return config().cohort if in_sets else SAVEPOINTS


def _chunks(ids: Sequence[UUID], size: int) -> list[Sequence[UUID]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _halves(ids: Sequence[UUID]) -> list[Sequence[UUID]]:
    middle = (len(ids) + 1) // 2
    return [half for half in (ids[:middle], ids[middle:]) if half]


def _links_from(definition: Definition, link: Link) -> tuple[Link, ...]:
    return plan.links_from(definition, definition.index(link.step), link.phase)
