"""Perform one operation of a cohort: one transaction for effect, log and state of all its runs.

A cohort that breaks is bisected, each half in a transaction of its own, so that locks are always taken
in one order and neighbours of a poisonous run commit without it. One that is cut off in the middle, by a lost session
or a time limit, has no time for that: its halves travel on as messages of their own.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, Error, transaction

from sagas import store
from sagas.conf import config
from sagas.db import (
    ConnectionLost,
    Kind,
    is_idle_too_long,
    is_locked,
    is_nobodys,
    is_time_up,
    kind_of,
    said,
)
from sagas.decisions import plan
from sagas.decisions.messages import Chain, Kick, Link, Message
from sagas.decisions.plan import Place, Stand
from sagas.definition.definition import Definition
from sagas.definition.participants import Call, Done, Phase, is_patient, is_remote, is_set_based
from sagas.definition.steps import Action, Refund
from sagas.engine import (
    barrier,
    invocation,
    remote_calls,
)
from sagas.engine.invocation import Answer, Broken, Fault
from sagas.engine.results import Delivery, delivery_of, pass_on, record
from sagas.engine.timeouts import give_up_late
from sagas.errors import NoReport
from sagas.postgresql import sessions
from sagas.postgresql.sessions import Patience
from sagas.redis import compensation_guard

logger = logging.getLogger(__name__)

#: One-call participants run in savepoints; past 64 in a transaction PostgreSQL slows down.
SAVEPOINTS = 50
#: How often two transactions may collide before their cohorts are made smaller.
COLLISIONS = 3
#: How often in all, before the run is put off: the same locks are wanted by many.
PATIENCE = 30
#: Seconds for which a run is left alone that wants a lock which somebody holds for long, or for which the server cannot
#: do what its operation asks; and how much they vary.
PUT_OFF = 5.0
SPREAD = 0.2
#: Runs found one after the other to want such a lock, after which the rest of their cohort is put off with them.
IN_A_ROW = 4
#: Seconds for which one delivery looks for them; then what is left of its cohort goes on in halves.
LOOKING = 2.0
#: Seconds after which a cohort is delivered again whose session was lost.
REDELIVER_AFTER = 1.0
#: How often in a row a run may lose its session where it was the whole server that went: then it may be what kills it.
CRASHES = 10


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


class Interrupted(ConnectionLost):
    """The session was lost in the middle of a delivery; see ``recover``.

    Attributes:
        performed: what was committed before. Its messages must be published.
        held: the runs that were locked when it was lost; none where it was lost before.
        left: all others that are not done.
        lasted: seconds for which they had been locked.
        idle: whether the server has said that it was idle for too long.
        told: whether somebody has found out already that only this session was lost: of another database.
    """

    def __init__(
        self, performed: Performed, held: Sequence[UUID], left: Sequence[UUID], lasted: float, error: BaseException
    ) -> None:
        super().__init__(str(error))
        self.performed = performed
        self.held = held
        self.left = left
        self.lasted = lasted
        self.idle = is_idle_too_long(error)
        self.told = isinstance(error, barrier.SessionLost)


class TimeUp(Exception):
    """Celery's soft time limit was over before all of a cohort was performed.

    Attributes:
        performed: what was committed before. Its messages must be published.
    """

    def __init__(self, performed: Performed) -> None:
        super().__init__("the soft time limit is over")
        self.performed = performed


class CutOff(Exception):
    """This operation was cut off in the middle, again and again: its session was lost."""


def perform(link: Link, ids: Sequence[UUID], *, worker: str = "", issue: int = 0, interruptions: int = 0) -> Performed:
    """Perform ``link`` for those of the runs that stand at it.

    Args:
        link: the operation.
        ids: the cohort; repeats are ignored.
        worker: name of the worker, for the log.
        issue: which issue of the operation this is; see ``Chain.issue``.
        interruptions: how often the cohort was cut off before; see ``Chain.interruptions``.

    Returns:
        Who goes on, and what to publish.

    Raises:
        ConnectionLost: the database went away; what was committed is not known. ``recover`` says how to go on.
        TimeUp: there was not enough time for so many. Deliver the same again, in halves.
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
        _perform(delivery, ids, performed, issue, interruptions)
        return performed
    guarded = compensation_guard.take(link.step, issue, ids)
    try:
        ids = [*guarded.going, *_not_done(delivery, guarded.done, performed)]
        _perform(delivery, ids, performed, issue, interruptions)
    finally:
        guarded.give_back(set(performed.behind))
    performed.survivors.sort()
    return performed


@dataclass(slots=True)
class _Locked:
    """Which runs the transaction under way has locked, and since when."""

    ids: Sequence[UUID] = ()
    since: float = 0.0


def _perform(delivery: Delivery, ids: Sequence[UUID], performed: Performed, issue: int, interruptions: int) -> None:
    patience = Patience(f"{delivery.definition.name}.{delivery.step.name}", careful=interruptions > 0)
    try:
        _Cohort(delivery, ids, performed, patience, issue, interruptions).perform()
    finally:
        patience.close()


@dataclass(slots=True)
class _Cohort:
    """One delivery at work: its runs, in parts that become smaller where something is wrong."""

    delivery: Delivery
    ids: Sequence[UUID]
    performed: Performed
    patience: Patience
    issue: int
    interruptions: int
    room: remote_calls.Room | None = None
    work: deque[Sequence[UUID]] = field(default_factory=deque)
    collisions: int = 0
    in_a_row: int = 0
    waiting: list[UUID] = field(default_factory=list)
    troubled: dict[UUID, Exception] = field(default_factory=dict)

    def perform(self) -> None:
        """Perform part after part, until nothing is left."""
        self.room = remote_calls.room_for(self.delivery, len(self.ids))
        self.work = deque(_chunks(self.ids, _size(self.delivery.action)))
        while self.work:
            part = self.work.popleft()
            locked = _Locked()
            try:
                _perform_once(
                    self.delivery, part, self.performed, room=self.room, patience=self.patience, locked=locked
                )
            except Exception as error:
                # Not only what the participant raised: a request that no longer loads, a constraint that is
                # checked at COMMIT. One run is to blame, and its neighbours must not wait for it.
                self._break(part, locked, error)
            else:
                self.in_a_row = 0
            if self.patience.ran_out and self.work:
                self._hurry()
        if self.waiting:
            self._tell()
        if self.troubled:
            self._leave_alone()

    def _break(self, part: Sequence[UUID], locked: _Locked, error: Exception) -> None:
        cause = error.error if isinstance(error, Broken) else error
        if is_time_up(cause) and len(self.ids) > 1:
            # Whose time it was is not known: each half gets as much.
            raise TimeUp(self.performed) from error
        kind = kind_of(cause)
        if kind is Kind.UNFIT:
            # None of its runs is the cause, whatever they had locked there.
            raise self._interrupted(part, _Locked(), cause) from error
        if kind is Kind.CANCELLED and len(part) == 1:
            logger.warning("sagas: run %s at %s waits for its lease: %s", part[0], self._operation, said(cause))
            return
        if isinstance(cause, ConnectionLost) or kind in {Kind.LOST, Kind.CANCELLED}:
            raise self._interrupted(part, locked, cause) from error
        if is_locked(cause):
            self._wait(part, locked)
        elif kind is Kind.COLLISION and self._may_collide_again(len(part)):
            self.work.appendleft(part)
        elif len(part) > 1:
            self.work.extendleft(reversed(_halves(part)))
        elif kind is Kind.COLLISION:
            self._put_off(part)
        elif kind is Kind.TROUBLE:
            self.troubled[part[0]] = cause
        else:
            self._blame(part, cause)

    def _interrupted(self, part: Sequence[UUID], locked: _Locked, error: Exception) -> Interrupted:
        lasted = time.monotonic() - locked.since if locked.since else 0.0
        rest = [run_id for other in self.work for run_id in other]
        left = rest if locked.ids else [*part, *rest]
        return Interrupted(self.performed, part if locked.ids else (), left, lasted, error)

    def _may_collide_again(self, size: int) -> bool:
        self.collisions += 1
        return self.collisions <= COLLISIONS or (size == 1 and self.collisions <= PATIENCE)

    def _wait(self, part: Sequence[UUID], locked: _Locked) -> None:
        """A lock was not got: find out who wants it. The same again would only wait as long again."""
        first = not self.patience.ran_out
        if not locked.ids:
            self.patience.run_out(DEFAULT_DB_ALIAS)
            self._leave_held(part)
            return
        self.patience.run_out(self.delivery.step.database or DEFAULT_DB_ALIAS)
        if len(part) > 1:
            halves = _halves(part)
            # In any order: whoever stands behind those that wait must not do so each time.
            random.shuffle(halves)
            self.work.extendleft(halves)
        elif first:
            # Once more, and briefly: now somebody looks who holds it.
            self.work.appendleft(part)
        else:
            self.in_a_row += 1
            self._put_off(part)

    def _leave_held(self, part: Sequence[UUID]) -> None:
        """Some runs are locked themselves: the others go on, and those are delivered again after a while."""
        try:
            with transaction.atomic(durable=True):
                free = store.runs.unlocked(part)
        except Error as error:
            if not is_nobodys(error):
                raise
            raise self._interrupted(part, _Locked(), error) from error
        if free:
            self.work.appendleft(free)
        held = sorted(set(part) - set(free))
        if held:
            logger.warning(
                "sagas: %d run(s) are locked by another session; %s of them is tried again in %g s",
                len(held),
                self._operation,
                PUT_OFF,
            )
            self.performed.messages.append(self._again(held, PUT_OFF))

    def _hurry(self) -> None:
        """Stop looking for those that want a lock, if that takes long: a child must not be kept by it."""
        rest = [run_id for part in self.work for run_id in part]
        if self.in_a_row >= IN_A_ROW:
            self.work.clear()
            self._put_off(rest)
        elif self.patience.spent > LOOKING:
            self.work.clear()
            self.performed.messages += [self._again(half, 0.0) for half in _halves(sorted(rest))]

    def _put_off(self, ids: Sequence[UUID]) -> None:
        """Leave runs that want what somebody else holds locked until later. That is no attempt of theirs."""
        wait = PUT_OFF * (1 + random.uniform(-SPREAD, SPREAD))  # noqa: S311 - spreads load, guards no secret
        try:
            with transaction.atomic(durable=True):
                self.patience.limit()
                here, _ = _sort_by_stand(self.delivery, store.runs.lock(ids))
                if here:
                    store.waits.put_off([row.id for row in here], wait, sooner=self.delivery.forked)
        except Error as error:
            if not is_nobodys(error):
                raise
            if kind_of(error) is not Kind.COLLISION:
                raise self._interrupted(ids, _Locked(), error) from error
            # They are due when their lease is over.
        self.waiting += ids

    def _leave_alone(self) -> None:
        """Leave alone for a while the runs for which the server could not do it. That is no attempt."""
        first = next(iter(self.troubled.values()))
        logger.warning(
            "sagas: %d run(s) wait %g s at %s: the database cannot do it: %s",
            *(len(self.troubled), PUT_OFF, self._operation, said(first)),
        )
        try:
            with transaction.atomic(durable=True):
                here, _ = _sort_by_stand(self.delivery, store.runs.lock(self.troubled))
                store.waits.leave_alone([row.id for row in here], PUT_OFF)
        except Error as error:
            if is_nobodys(error):
                raise self._interrupted(list(self.troubled), _Locked(), error) from error
            raise
        self.performed.messages.append(Kick(PUT_OFF))

    def _blame(self, part: Sequence[UUID], cause: Exception) -> None:
        """Write that the operation raised for this run. Where that breaks too, its neighbours go on all the same."""
        try:
            _blame(self.delivery, part[0], cause, self.performed)
        except ConnectionLost as error:
            raise self._interrupted(part, _Locked(), error) from error
        except Exception as error:
            if is_time_up(error):
                raise
            if kind_of(error) is Kind.COLLISION:
                self.performed.messages.append(self._again(part, REDELIVER_AFTER))
            else:
                logger.exception("sagas: run %s is left to its lease: what broke could not be written", part[0])

    def _again(self, ids: Sequence[UUID], delay: float) -> Message:
        link = plan.link(self.delivery.definition, self.delivery.index, self.delivery.phase)
        return again(link, ids, delay, issue=self.issue, interruptions=self.interruptions + 1)

    def _tell(self) -> None:
        self.patience.close()
        logger.warning(
            "sagas: %d run(s) wait at %s for a lock that is held by %s: tried again in about %g s",
            len(self.waiting),
            self._operation,
            self.patience.holder if self.patience.ran_out else "many at once",
            PUT_OFF,
        )

    @property
    def _operation(self) -> str:
        return f"{self.delivery.definition.name}.{self.delivery.step.name}.{self.delivery.action.operation}"


def _not_done(delivery: Delivery, ids: Sequence[UUID], performed: Performed) -> list[UUID]:
    """Ask the database about runs that have the undo behind them, as Redis remembers. Those that have not are left.

    Without their locks: to pass on a run that has moved on since does nothing.
    """
    if not ids:
        return []
    try:
        rows = store.runs.look(ids)
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
    definition = store.definitions.find(link.saga, link.version, link.shape)
    index = definition.index(link.step)
    return any(plan.stand(definition, row.place, index, link.phase) is Stand.HERE for row in store.runs.look(ids))


def bisect(link: Link, ids: Sequence[UUID], *, issue: int = 0, interruptions: int = 0) -> list[Message]:
    """Split a redelivered cohort: one of its runs may have killed the worker."""
    halves = _halves(sorted(set(ids)))
    return [again(link, half, 0.0, issue=issue, interruptions=interruptions + 1) for half in halves]


def again(link: Link, ids: Sequence[UUID], delay: float, *, issue: int = 0, interruptions: int = 0) -> Message:
    """Deliver a cohort again after ``delay`` seconds, with the rest of its chain."""
    links = _links_from(store.definitions.find(link.saga, link.version, link.shape), link)
    return Chain(links, tuple(ids), delay, issue=issue + 1, interruptions=interruptions)


def recover(
    link: Link, ids: Sequence[UUID], error: ConnectionLost, *, worker: str = "", issue: int = 0, interruptions: int = 0
) -> Performed:
    """Say how a delivery goes on whose session was lost: what was committed is not known, and the next one finds out.

    Whose session it was is not known either. If its runs were locked, one of them may be the cause: its participant
    computes for longer than the server lets a transaction idle, or breaks the session. So their halves travel, until
    that one is alone; alone, it has as many tries as a message has that kills its workers. Where the database itself
    went away, that is nobody's attempt; only who is there at every crash is blamed in the end.

    Args:
        link: the operation.
        ids: the cohort.
        error: what ``perform`` raised.
        worker: name of the worker, for the log.
        issue: as for ``perform``.
        interruptions: as for ``perform``.
    """
    if not isinstance(error, Interrupted):
        return Performed(messages=[again(link, ids, REDELIVER_AFTER, issue=issue, interruptions=interruptions)])
    performed = error.performed
    if error.left:
        waiting = again(link, error.left, REDELIVER_AFTER, issue=issue, interruptions=interruptions)
        performed.messages.append(waiting)
    if not error.held:
        return performed
    # On a new session, also where the old one only thinks that it lives.
    loss = sessions.Loss(outlived=True, idle=True) if error.told else sessions.examine_loss(error.lasted)
    count = interruptions + 1
    if len(error.held) == 1:
        tries = config().deliveries if loss.outlived else max(CRASHES, config().deliveries)
        if (loss.outlived and (error.idle or loss.idle)) or count >= tries:
            return _give_up_lost(link, error, performed, worker=worker, issue=issue, count=count)
    if loss.outlived:
        logger.warning(
            "sagas: a database session was lost in %s.%s.%s of %d run(s), for the %d. time in a row: %s",
            *(link.saga, link.step, link.operation, len(error.held), count),
            "they are delivered again in halves" if len(error.held) > 1 else "it is delivered again",
        )
    for half in _halves(sorted(error.held)):
        performed.messages.append(again(link, half, REDELIVER_AFTER, issue=issue, interruptions=count))
    return performed


def _give_up_lost(
    link: Link, error: Interrupted, performed: Performed, *, worker: str, issue: int, count: int
) -> Performed:
    """Count what cut a run off that was alone as a fault of it."""
    (run_id,) = error.held
    why = CutOff(
        f"cut off {count} time(s) in a row in the middle, the last after {error.lasted:.1f} s: the participant closes "
        "the connection, leaves it idle for longer than idle_in_transaction_session_timeout, or does what ends the "
        f"session ({error})"
    )
    logger.error("sagas: run %s is taken for what cuts off %s.%s.%s", run_id, link.saga, link.step, link.operation)
    try:
        given_up = give_up(link, run_id, why, worker=worker)
    except ConnectionLost:
        given_up = Performed(messages=[again(link, [run_id], REDELIVER_AFTER, issue=issue, interruptions=count)])
    performed.messages += given_up.messages
    performed.survivors = sorted([*performed.survivors, *given_up.survivors])
    return performed


def give_up(link: Link, run_id: UUID, error: Exception, *, worker: str = "") -> Performed:
    """Count a run that keeps killing its worker as a fault, without calling the participant again.

    Raises:
        ConnectionLost: the database went away, or somebody else has the run.
    """
    performed = Performed()
    try:
        _blame(delivery_of(link, worker), run_id, error, performed)
    except Error as second:
        if is_nobodys(second):
            raise ConnectionLost from second
        raise
    return performed


def _perform_once(
    delivery: Delivery,
    ids: Sequence[UUID],
    performed: Performed,
    *,
    room: remote_calls.Room | None,
    patience: Patience,
    locked: _Locked,
) -> None:
    """One transaction: lock, call, write. ``performed`` grows only if it commits."""
    survivors: list[UUID] = []
    finished: list[UUID] = []
    messages: list[Message] = []
    away = barrier.reach(delivery.step)
    with transaction.atomic(durable=True):
        patience.limit()
        rows = store.runs.lock(ids)
        locked.ids, locked.since = ids, time.monotonic()
        here, behind = _sort_by_stand(delivery, rows)
        for place, some in behind.items():
            going, following = pass_on(delivery, place, some)
            finished += some
            survivors += going
            messages += following
        if here and delivery.may_turn_back and delivery.definition.has_timeouts:
            in_time, following = give_up_late(delivery.locked(here))
            here = [run.row for run in in_time]
            messages += following
        here, unanswered = _sort_out_unanswered(delivery, here)
        if unanswered:
            # Nobody reported: that attempt has failed, and may have taken effect all the same.
            errors = [Fault(_unanswered(delivery))] * len(unanswered)
            messages += record(delivery, unanswered, errors, 0)[1]
        if here and room is not None:
            messages += remote_calls.begin(delivery, here, _calls(delivery, here[: room.left]), room)
        elif here:
            calls = _calls(delivery, here)
            began = time.perf_counter()
            answers = _answers(delivery, calls, away, patience)
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
    answer = invocation.as_rejection(error) if isinstance(error, delivery.step.rejects) else Fault(error)
    messages: list[Message] = []
    survivors: list[UUID] = []
    try:
        with transaction.atomic(durable=True):
            here, behind = _sort_by_stand(delivery, store.runs.lock([run_id]))
            if here:
                _, messages = record(delivery, here, [answer], 0)
            for place, some in behind.items():
                # Its COMMIT was done, after all.
                survivors, messages = pass_on(delivery, place, some)
    except Error as second:
        if is_nobodys(second) and kind_of(second) is not Kind.COLLISION:
            raise ConnectionLost from second
        raise
    performed.survivors += survivors
    performed.messages += messages


def _sort_by_stand(
    delivery: Delivery, rows: Sequence[store.runs.Row]
) -> tuple[list[store.runs.Row], dict[Place, list[UUID]]]:
    """Those that stand at the delivery's step, and those right behind it. The others are dropped."""
    here: list[store.runs.Row] = []
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
    for place, group in store.runs.by_place(mine).items():
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
    undone = store.log.effects(ids, delivery.step.name, delivery.action.operation)
    return [run_id for run_id in ids if run_id in undone]


def _not_waiting(delivery: Delivery, rows: Sequence[store.runs.Row]) -> list[store.runs.Row]:
    """Those that do not wait at the delivery's step, for an answer or for their next attempt."""
    now = store.runs.clock().timestamp()
    here: list[store.runs.Row] = []
    for row in rows:
        if row.waits_at(delivery.step.name, delivery.phase, now):
            continue
        wait = row.waits.get(delivery.step.name)
        # In a fork each branch counts its own attempts.
        here.append(row._replace(attempt=wait.failed) if delivery.forked and wait else row)
    return here


def _sort_out_unanswered(
    delivery: Delivery, rows: list[store.runs.Row]
) -> tuple[list[store.runs.Row], list[store.runs.Row]]:
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
        return invocation.NoAnswer(f"no answer of {delivery.step.name} came in time")
    return NoReport(f"no report of {delivery.step.name} came in time")


def _answers(
    delivery: Delivery, calls: Sequence[Call[Any]], away: Exception | None, patience: Patience
) -> Sequence[Answer]:
    if away is not None:
        return [Fault(away)] * len(calls)
    if delivery.step.database:
        return barrier.collect(
            delivery.step, delivery.phase, calls, may_reject=delivery.may_turn_back, patience=patience
        )
    pivot = delivery.step.pivot and delivery.phase is Phase.FORWARD
    return invocation.collect(delivery.action.participant, calls, delivery.step.rejects, pivot=pivot)


def _calls(delivery: Delivery, rows: Sequence[store.runs.Row]) -> list[Call[Any]]:
    came: dict[UUID, str] = {}
    if isinstance(delivery.step, Refund):
        came = store.confirmations.confirmed_with([row.id for row in rows], delivery.step.name)
    return [_call(delivery, row, {delivery.step.name: came[row.id]} if row.id in came else {}) for row in rows]


def _call(delivery: Delivery, row: store.runs.Row, came: Mapping[str, str]) -> Call[Any]:
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
