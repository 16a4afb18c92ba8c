"""One delivery at work: a cohort performs one operation, part by part, each part in a transaction of its own.

A part that fails is replaced by its halves. So locks are always taken in one order, and the neighbours of a run that
fails are committed without it. When a lost session or a time limit interrupts the delivery, there is no time for that:
the halves are delivered as messages of their own.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, Error, transaction

from sagas import store
from sagas.conf import config
from sagas.db import (
    ConnectionLost,
    ErrorKind,
    classify_error,
    describe_error,
    is_idle_timeout,
    is_lock_timeout,
    is_soft_time_limit,
    is_transient,
)
from sagas.decisions import plan
from sagas.decisions.messages import Kick, Message
from sagas.definition.immutable import is_immutable
from sagas.definition.participants import Call, Done, Location, Phase, is_set_based
from sagas.definition.steps import Refund
from sagas.engine import invocation, pauses, poison
from sagas.engine.deadlines import undo_timed_out
from sagas.engine.delivery import Delivery, continue_chain, redeliver, sort_by_stand, unknown_of
from sagas.engine.invocation import Answer, Fault, SetBasedFailure
from sagas.engine.outside import barrier, remote_calls
from sagas.engine.results import postpone, record_answers
from sagas.errors import NoReport
from sagas.postgresql.sessions import Patience
from sagas.postgresql.transactions import Transaction

logger = logging.getLogger(__name__)

#: Collisions of one delivery after which its parts are made smaller.
COLLISIONS = 3
#: Collisions of one delivery after which a run is postponed: too many transactions want the same locks.
MOST_COLLISIONS = 30
#: Seconds for which a run is postponed that needs a lock which is held for long, or something that the server cannot do
#: now; and by which part of them that time varies.
PAUSE = 5.0
PAUSE_SPREAD = 0.2
#: Runs in a row that were found to need such a lock, after which the rest of the cohort is postponed with them.
LOCKED_IN_A_ROW = 4
#: Seconds for which one delivery searches for such runs; then the rest of its cohort is delivered in halves.
SEARCH = 2.0
#: Seconds after which a cohort is delivered again whose session was lost.
REDELIVER_AFTER = 1.0


@dataclass(slots=True)
class Performed:
    """What became of a delivery.

    Attributes:
        survivors: the runs that go on to the chain's next link, in the order of their ids.
        messages: what must be published now.
        unknown: ids of which there is no run.
        done: the runs of which the operation is done, by this delivery or an earlier one.
        troubled: whether anything went wrong with this cohort or its runs: they go on by messages; see
            ``Chain.by_message``.
        left: survivors as they were left, where this process has written all of them; see ``store.runs.lock``.
    """

    survivors: list[UUID] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    unknown: list[UUID] = field(default_factory=list)
    done: list[UUID] = field(default_factory=list)
    troubled: bool = False
    left: dict[UUID, store.runs.Row] = field(default_factory=dict)

    def add(self, more: Performed) -> None:
        """Add what became of other runs of the same delivery."""
        self.survivors += more.survivors
        self.messages += more.messages
        self.unknown += more.unknown
        self.done += more.done


class Interrupted(ConnectionLost):
    """The session was lost in the middle of a delivery; see ``performing.recover``.

    Attributes:
        performed: what was committed before. Its messages must be published.
        held: the runs that were locked when the session was lost; empty if none was locked yet.
        left: all other runs that are not done.
        lasted: seconds for which ``held`` had been locked.
        idle: whether the server said that the session was idle in its transaction for too long.
        session_only: whether it is known that the server, of another database, is up and has lost this session only.
    """

    def __init__(
        self, performed: Performed, held: Sequence[UUID], left: Sequence[UUID], lasted: float, error: BaseException
    ) -> None:
        super().__init__(str(error))
        self.performed = performed
        self.held = held
        self.left = left
        self.lasted = lasted
        self.idle = is_idle_timeout(error)
        self.session_only = isinstance(error, barrier.SessionLost)


class TimeUp(Exception):
    """Celery's soft time limit was over before all of a cohort was performed.

    Attributes:
        performed: what was committed before. Its messages must be published.
    """

    def __init__(self, performed: Performed) -> None:
        super().__init__("the soft time limit is over")
        self.performed = performed


def perform_cohort(
    delivery: Delivery,
    ids: Sequence[UUID],
    performed: Performed,
    *,
    token: int,
    interruptions: int,
    left: Mapping[UUID, store.runs.Row],
) -> None:
    """Perform the operation for those of the runs that stand at it. What was committed is added to ``performed``.

    Args:
        delivery: the operation.
        ids: the cohort, each run once.
        performed: what became of the delivery so far.
        token: see ``Chain.token``.
        interruptions: see ``Chain.interruptions``.
        left: see ``store.runs.lock``.

    Raises:
        Interrupted: the session was lost.
        TimeUp: the soft time limit is over.
    """
    patience = Patience(f"{delivery.definition.name}.{delivery.step.name}", careful=interruptions > 0)
    try:
        _Cohort(delivery, ids, performed, patience, token=token, interruptions=interruptions, left=left).perform()
    finally:
        patience.close()


@dataclass(slots=True)
class _Locked:
    """Which runs the transaction under way has locked, and since when."""

    ids: Sequence[UUID] = ()
    since: float = 0.0


class _Cohort:
    """The runs of one delivery, and what was found out about them."""

    def __init__(
        self,
        delivery: Delivery,
        ids: Sequence[UUID],
        performed: Performed,
        patience: Patience,
        *,
        token: int,
        interruptions: int,
        left: Mapping[UUID, store.runs.Row],
    ) -> None:
        self.delivery = delivery
        self.size = len(ids)
        self.performed = performed
        self.patience = patience
        self.token = token
        self.interruptions = interruptions
        self.left = left
        self.capacity = remote_calls.capacity_for(delivery, len(ids))
        self.parts = poison.Parts(ids, _part_size(delivery))
        self.collisions = 0
        self.locked_in_a_row = 0
        #: Runs that wait for a lock.
        self.waiting: list[UUID] = []
        #: Runs for which the server could not do what their operation asks, and what it said.
        self.troubled: dict[UUID, Exception] = {}

    def perform(self) -> None:
        """Perform part after part, until nothing is left."""
        while self.parts:
            part = self.parts.take()
            locked = _Locked()
            try:
                _perform_once(
                    self.delivery,
                    part,
                    self.performed,
                    capacity=self.capacity,
                    patience=self.patience,
                    locked=locked,
                    left=self.left,
                )
            except Exception as error:
                # Not only what the participant raised: also a request that does not load any more, or a constraint
                # that is checked at COMMIT. One run is the cause, and its neighbours must not wait for it.
                self._failed(part, locked, error)
            else:
                self.locked_in_a_row = 0
            if self.patience.ran_out and self.parts:
                self._limit_search()
        if self.waiting:
            self._log_waiting()
        if self.troubled:
            self._postpone_troubled()

    def _failed(self, part: Sequence[UUID], locked: _Locked, error: Exception) -> None:
        """Decide what to do about a part whose transaction was rolled back."""
        cause = error.error if isinstance(error, SetBasedFailure) else error
        # What is left of the cohort, and what was done of it, goes on by messages.
        self.delivery = replace(self.delivery, held=False)
        self.performed.troubled = True
        if is_soft_time_limit(cause) and self.size > 1:
            # Which run took the time is not known: each half gets as much time.
            raise TimeUp(self.performed) from error
        kind = classify_error(cause)
        if kind is ErrorKind.UNFIT:
            # None of the runs is the cause, even if they were locked.
            raise self._interrupted(part, _Locked(), cause) from error
        if kind is ErrorKind.CANCELLED and len(part) == 1:
            logger.warning(
                "sagas: run %s at %s waits for its lease: %s", part[0], self._operation, describe_error(cause)
            )
            return
        if isinstance(cause, ConnectionLost) or kind in {ErrorKind.LOST, ErrorKind.CANCELLED}:
            raise self._interrupted(part, locked, cause) from error
        if is_lock_timeout(cause):
            self._lock_timed_out(part, locked)
        elif kind is ErrorKind.COLLISION and self._may_collide_again(len(part)):
            self.parts.put_back(part)
        elif len(part) > 1:
            self.parts.halve(part)
        elif kind is ErrorKind.COLLISION:
            self._postpone(part)
        elif kind is ErrorKind.TROUBLE:
            self.troubled[part[0]] = cause
        else:
            self._record_failure(part, cause)

    def _interrupted(self, part: Sequence[UUID], locked: _Locked, error: Exception) -> Interrupted:
        lasted = time.monotonic() - locked.since if locked.since else 0.0
        rest = self.parts.rest()
        left = rest if locked.ids else [*part, *rest]
        return Interrupted(self.performed, part if locked.ids else (), left, lasted, error)

    def _may_collide_again(self, size: int) -> bool:
        self.collisions += 1
        return self.collisions <= COLLISIONS or (size == 1 and self.collisions <= MOST_COLLISIONS)

    def _lock_timed_out(self, part: Sequence[UUID], locked: _Locked) -> None:
        """Search for the runs that need the lock. The same transaction again would wait as long again."""
        first = not self.patience.ran_out
        if not locked.ids:
            self.patience.run_out(DEFAULT_DB_ALIAS)
            self._redeliver_locked(part)
            return
        self.patience.run_out(self.delivery.step.database or DEFAULT_DB_ALIAS)
        if len(part) > 1:
            halves = poison.halves(part)
            # In random order: otherwise the same runs would come after those that wait, each time.
            random.shuffle(halves)
            for half in halves:
                self.parts.put_back(half)
        elif first:
            # Once more, with a short time-out: meanwhile another session finds out who holds the lock.
            self.parts.put_back(part)
        else:
            self.locked_in_a_row += 1
            self._postpone(part)

    def _redeliver_locked(self, part: Sequence[UUID]) -> None:
        """Some of the runs themselves are locked by others: these are delivered again later, the rest goes on."""
        try:
            with transaction.atomic(durable=True):
                free = store.runs.lock_free(part)
        except Error as error:
            if not is_transient(error):
                raise
            raise self._interrupted(part, _Locked(), error) from error
        if free:
            self.parts.put_back(free)
        held = sorted(set(part) - set(free))
        if held:
            logger.warning(
                "sagas: %d run(s) are locked by another session; %s of them is tried again in %g s",
                len(held),
                self._operation,
                PAUSE,
            )
            self.performed.messages.append(self._redelivery(held, PAUSE))

    def _limit_search(self) -> None:
        """Stop searching for runs that need a lock if that takes long: it must not occupy a worker process."""
        rest = self.parts.rest()
        if self.locked_in_a_row >= LOCKED_IN_A_ROW:
            self.parts.clear()
            self._postpone(rest)
        elif self.patience.spent > SEARCH:
            self.parts.clear()
            self.performed.messages += [self._redelivery(half, 0.0) for half in poison.halves(sorted(rest))]

    def _postpone(self, ids: Sequence[UUID]) -> None:
        """Postpone runs that need what another session holds locked. That counts as no attempt."""
        wait = PAUSE * (1 + random.uniform(-PAUSE_SPREAD, PAUSE_SPREAD))  # noqa: S311 - spreads load, guards no secret
        try:
            with transaction.atomic(durable=True):
                self.patience.limit()
                here, _ = sort_by_stand(self.delivery, store.runs.lock(ids))
                if self.delivery.forked:
                    self._postpone_branch(here, wait)
                elif here:
                    store.runs.be_lapsed_in([row.id for row in here], wait)
        except Error as error:
            if not is_transient(error):
                raise
            if classify_error(error) is not ErrorKind.COLLISION:
                raise self._interrupted(ids, _Locked(), error) from error
            # They are due when their lease is over.
        self.waiting += ids

    def _postpone_troubled(self) -> None:
        """Postpone the runs for which the server could not do what their operation asks. That counts as no attempt."""
        first = next(iter(self.troubled.values()))
        logger.warning(
            "sagas: %d run(s) wait %g s at %s: the database cannot do it: %s",
            *(len(self.troubled), PAUSE, self._operation, describe_error(first)),
        )
        try:
            with transaction.atomic(durable=True):
                here, _ = sort_by_stand(self.delivery, store.runs.lock(self.troubled))
                if self.delivery.forked:
                    self._postpone_branch(here, PAUSE)
                else:
                    store.runs.wait_for([row.id for row in here], PAUSE)
        except Error as error:
            if is_transient(error):
                raise self._interrupted(list(self.troubled), _Locked(), error) from error
            raise
        self.performed.messages.append(Kick(PAUSE))

    def _postpone_branch(self, rows: Sequence[store.runs.Row], wait: float) -> None:
        """Postpone this branch of locked runs. Another one may be on its way, and has nothing to do with it."""
        if rows:
            postpone(self.delivery, [(row, wait) for row in rows], store.runs.clock().timestamp())

    def _record_failure(self, part: Sequence[UUID], cause: Exception) -> None:
        """Write that the operation raised for this run. If that fails too, its neighbours go on all the same."""
        try:
            record_failure(self.delivery, part[0], cause, self.performed)
        except ConnectionLost as error:
            raise self._interrupted(part, _Locked(), error) from error
        except Exception as error:
            if is_soft_time_limit(error):
                raise
            if classify_error(error) is ErrorKind.COLLISION:
                self.performed.messages.append(self._redelivery(part, REDELIVER_AFTER))
            else:
                logger.exception("sagas: run %s is left to its lease: what broke could not be written", part[0])

    def _redelivery(self, ids: Sequence[UUID], delay: float) -> Message:
        link = plan.link(self.delivery.definition, self.delivery.index, self.delivery.phase)
        return redeliver(link, ids, delay, token=self.token, interruptions=self.interruptions + 1)

    def _log_waiting(self) -> None:
        self.patience.close()
        logger.warning(
            "sagas: %d run(s) wait at %s for a lock that is held by %s: tried again in about %g s",
            len(self.waiting),
            self._operation,
            self.patience.holder if self.patience.ran_out else "many at once",
            PAUSE,
        )

    @property
    def _operation(self) -> str:
        return f"{self.delivery.definition.name}.{self.delivery.step.name}.{self.delivery.action.operation}"


def _part_size(delivery: Delivery) -> int:
    """Runs in one transaction. A participant of one call runs in a savepoint a call, and those must not be many."""
    in_sets = is_set_based(delivery.action.participant) or delivery.action.location is Location.REMOTE
    return config().cohort if in_sets else poison.SAVEPOINTS


# -- One transaction --------------------------------------------------------------------------------------------


def _perform_once(
    delivery: Delivery,
    ids: Sequence[UUID],
    performed: Performed,
    *,
    capacity: remote_calls.Capacity | None,
    patience: Patience,
    locked: _Locked,
    left: Mapping[UUID, store.runs.Row],
) -> None:
    """One transaction: lock, call, write. ``performed`` grows only if it commits."""
    survivors: list[UUID] = []
    going_on: list[store.runs.Row] = []
    finished: list[UUID] = []
    messages: list[Message] = []
    away = barrier.connect_database(delivery.step)
    with Transaction():
        patience.limit()
        rows = store.runs.lock(ids, asks=store.runs.PAUSED, left=left)
        locked.ids, locked.since = ids, time.monotonic()
        here, behind = sort_by_stand(delivery, rows)
        here = pauses.hold_rows(here, [delivery.step.name])
        # A repeat of a delivery, or runs with which something went wrong since their message was published.
        troubled = bool(behind) or any(row.attempt or row.claims > 1 for row in here)
        if troubled and delivery.held:
            delivery = replace(delivery, held=False)
        for place, some in behind.items():
            going, following = continue_chain(delivery, place, some)
            finished += some
            survivors += going
            messages += following
        if here and delivery.compensatable and delivery.definition.has_timeouts:
            in_time, following = undo_timed_out(delivery.locked(here))
            here = [run.row for run in in_time]
            messages += following
        here, unanswered = _sort_out_unanswered(delivery, here)
        if unanswered:
            # Nobody has reported. That attempt has failed, and may have taken effect all the same.
            errors = [Fault(_unanswered(delivery))] * len(unanswered)
            messages += record_answers(delivery, unanswered, errors, 0)[1]
        if here and capacity is not None:
            messages += remote_calls.begin_calls(delivery, here, make_calls(delivery, here[: capacity.left]), capacity)
        elif here:
            calls = make_calls(delivery, here)
            began = time.perf_counter()
            answers = _answers(delivery, calls, away, patience)
            duration = int((time.perf_counter() - began) * 1e6)
            if delivery.held:
                here = with_requests(here, calls)
            going_on, following = record_answers(delivery, here, answers, duration)
            survivors += [row.id for row in going_on]
            finished += [row.id for row, answer in zip(here, answers, strict=True) if isinstance(answer, Done)]
            messages += following
    if capacity is not None:
        capacity.take(messages)
    known = {row.id for row in rows}
    performed.unknown += unknown_of(delivery.definition.name, [run_id for run_id in ids if run_id not in known])
    performed.survivors += sorted(survivors)
    performed.left |= {row.id: row for row in going_on if row.left_by}
    performed.done += finished
    performed.troubled = performed.troubled or troubled
    performed.messages += messages


def record_failure(delivery: Delivery, run_id: UUID, error: Exception, performed: Performed) -> None:
    """Write, in a transaction of its own, that the operation raised for this run, and what follows.

    Raises:
        ConnectionLost: the database is away, or cannot do it now.
    """
    answer = invocation.as_rejection(error) if isinstance(error, delivery.step.rejects) else Fault(error)
    messages: list[Message] = []
    survivors: list[UUID] = []
    try:
        with transaction.atomic(durable=True):
            here, behind = sort_by_stand(delivery, store.runs.lock([run_id]))
            if here:
                _, messages = record_answers(delivery, here, [answer], 0)
            for place, some in behind.items():
                # The COMMIT has succeeded, after all.
                survivors, messages = continue_chain(delivery, place, some)
    except Error as second:
        if is_transient(second) and classify_error(second) is not ErrorKind.COLLISION:
            raise ConnectionLost from second
        raise
    performed.survivors += survivors
    performed.messages += messages
    performed.troubled = True


def _sort_out_unanswered(
    delivery: Delivery, rows: list[store.runs.Row]
) -> tuple[list[store.runs.Row], list[store.runs.Row]]:
    """Take out the runs for which this operation was begun, and no report of how it ended came in time."""
    if not any(row.pending for row in rows) or delivery.action.location is Location.CHILD:
        return rows, []
    unanswered = {
        row.id
        for row in rows
        if (wait := row.waits.get(delivery.step.name)) is not None and wait.operation == delivery.action.operation
    }
    return [row for row in rows if row.id not in unanswered], [row for row in rows if row.id in unanswered]


def _unanswered(delivery: Delivery) -> Exception:
    if delivery.action.location is Location.REMOTE:
        return invocation.NoAnswer(f"no answer of {delivery.step.name} came in time")
    return NoReport(f"no report of {delivery.step.name} came in time")


def _answers(
    delivery: Delivery, calls: Sequence[Call[Any]], away: Exception | None, patience: Patience
) -> Sequence[Answer]:
    if away is not None:
        return [Fault(away)] * len(calls)
    if delivery.action.location is Location.OTHER_DATABASE:
        return barrier.call_through_barrier(
            delivery.step, delivery.phase, calls, may_reject=delivery.compensatable, patience=patience
        )
    pivot = delivery.step.pivot and delivery.phase is Phase.FORWARD
    return invocation.collect(delivery.action.participant, calls, delivery.step.rejects, pivot=pivot)


def make_calls(delivery: Delivery, rows: Sequence[store.runs.Row]) -> list[Call[Any]]:
    """The calls of the delivery's participant for these runs, with what is stored of each."""
    came: dict[UUID, str] = {}
    if isinstance(delivery.step, Refund):
        came = store.confirmations.data_of([row.id for row in rows], delivery.step.name)
    return [_call(delivery, row, {delivery.step.name: came[row.id]} if row.id in came else {}) for row in rows]


def with_requests(rows: Sequence[store.runs.Row], calls: Sequence[Call[Any]]) -> list[store.runs.Row]:
    """The runs with their requests as they were loaded, where no participant can have changed them."""
    return [
        row._replace(loaded=call.request) if row.loaded is None and is_immutable(call.request) else row
        for row, call in zip(rows, calls, strict=True)
    ]


def _call(delivery: Delivery, row: store.runs.Row, came: Mapping[str, str]) -> Call[Any]:
    results = json.loads(row.results) if row.results != "{}" else {}
    return Call(
        run_id=row.id,
        step=delivery.step.name,
        operation=delivery.action.operation,
        attempt=row.attempt + 1,
        request=delivery.definition.load(row.request) if row.loaded is None else row.loaded,
        results=results | {name: json.loads(data) for name, data in came.items()},
        trace_id=row.trace_id,
        trace_parent=row.trace_parent,
    )
