"""The compressed lifecycle: all local steps that follow each other in one phase, in one transaction.

It only saves commits, messages and waits. What it leaves in the database is what the ordinary way leaves: one log row a
step, and each run where its last step has put it. So it is no part of a saga's shape: it begins wherever a run stands,
and the ordinary way goes on wherever it has ended.

A transaction that breaks is rolled back, and blames nobody: the same runs are then performed in the ordinary way, which
finds the cause.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from functools import partial
from itertools import takewhile
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Model

from sagas import store
from sagas.conf import config
from sagas.db import close_session, describe_error, is_lost, is_soft_time_limit
from sagas.decisions import plan
from sagas.decisions.messages import Chain, Kick, Link, Message
from sagas.decisions.plan import Due, Place
from sagas.definition.definition import Definition
from sagas.definition.participants import Call, Done, Location, Phase, is_set_based, lock_keys_of, no_lock_keys
from sagas.definition.steps import missing_participant
from sagas.engine import breakers, invocation, poison
from sagas.engine.cohort import Performed, TimeUp, make_calls, with_requests
from sagas.engine.deadlines import undo_timed_out
from sagas.engine.delivery import Delivery, delivery_of, sort_by_stand, unknown_of
from sagas.engine.invocation import Answer, SetBasedFailure
from sagas.engine.results import Unwritten, done_entry, record_answers
from sagas.errors import UnknownSaga, UnknownStep
from sagas.postgresql.sessions import Patience
from sagas.postgresql.transactions import Transaction
from sagas.serialization import dump_json

logger = logging.getLogger(__name__)


def links_of(delivery: Delivery) -> tuple[Link, ...]:
    """The operations that are performed with that of a delivery in one transaction; none if that is not for its saga.

    They end before the first one that this process cannot perform so: a run may have begun under other code.
    """
    if not delivery.definition.compressed or delivery.choreographed:
        return ()
    links = plan.links_from(delivery.definition, delivery.index, delivery.phase)
    return tuple(takewhile(partial(_may_perform, delivery.definition), links))


def _may_perform(definition: Definition, link: Link) -> bool:
    action = definition.all_steps[definition.index(link.step)].actions[link.phase]
    return (
        action.location is Location.LOCAL
        and action.participant is not missing_participant
        and lock_keys_of(action.participant) is not None
    )


def is_one_transaction(chain: Chain) -> bool:
    """Whether this process can perform all of a chain in one transaction, as far as is known before it begins."""
    first = chain.links[0]
    try:
        links = links_of(delivery_of(first, ""))
    except (UnknownSaga, UnknownStep):
        return False
    return len(links) == len(chain.links) > 1 and not chain.by_message and len(chain.ids) <= part_size(links, "")


def part_size(links: Sequence[Link], worker: str) -> int:
    """Runs in one transaction: each call of a one-call participant is a savepoint, and those must not be many."""
    one_call = sum(not is_set_based(delivery_of(link, worker).action.participant) for link in links)
    return max(1, poison.SAVEPOINTS // one_call) if one_call else config().cohort


def perform_compressed(links: Sequence[Link], ids: Sequence[UUID], *, worker: str = "") -> Performed | None:
    """Perform all of the links for runs that stand at the first one, in one transaction.

    Args:
        links: operations of one phase, in their order.
        ids: the runs, each once; not more than ``part_size``.
        worker: name of the worker, for the log.

    Returns:
        What was committed; runs that go on have a chain of their own among its messages. ``None`` if nothing was, and
        these runs must be performed in the ordinary way.

    Raises:
        TimeUp: the soft time limit is over; nothing was committed.
    """
    try:
        deliveries = [delivery_of(link, worker) for link in links]
        with Transaction():
            Patience(f"{deliveries[0].definition.name}.{deliveries[0].step.name}", careful=False).limit()
            performed = _perform_all(deliveries, ids)
            if performed is None:
                transaction.set_rollback(True)
    except Exception as error:
        cause = error.error if isinstance(error, SetBasedFailure) else error
        if is_soft_time_limit(cause):
            raise TimeUp(Performed()) from error
        if is_lost(cause):
            # If it was committed all the same, the ordinary way finds the runs behind their steps.
            close_session()
        logger.warning(
            "sagas: %d run(s) of %s at %s.%s go the ordinary way: %s",
            *(len(ids), links[0].saga, links[0].step, links[0].operation, describe_error(cause)),
        )
        return None
    return performed


def _perform_all(deliveries: Sequence[Delivery], ids: Sequence[UUID]) -> Performed | None:
    """Perform the operations one after the other for the runs that stand at the first, in the caller's transaction."""
    first = deliveries[0]
    rows = store.runs.lock(ids, asks=store.runs.PAUSED if first.phase is Phase.FORWARD else store.runs.GUARDED)
    here, behind = sort_by_stand(first, rows)
    if behind or any(_has_past(row) for row in here):
        # Some were delivered before, or more than that.
        return None
    if any(row.guarded for row in here) and (store.pauses.all_open() or breakers.all_open()):
        return None
    rest = plan.links_from(first.definition, first.index, first.phase)[len(deliveries) :]
    cohort = _Cohort(here)
    cohort.lock_rows(deliveries, to_the_end=not rest)
    missing: list[UUID] = []
    if len(rows) < len(ids):
        known = {row.id for row in rows}
        missing = [run_id for run_id in ids if run_id not in known]
    performed = Performed(unknown=unknown_of(first.definition.name, missing))
    for delivery in deliveries:
        if not cohort.here:
            break
        done = cohort.perform(delivery, last=delivery is deliveries[-1])
        if delivery is first:
            performed.done += done
    performed.messages += cohort.messages
    here = cohort.here
    if here and rest:
        performed.messages.append(Chain(rest, tuple(row.id for row in here)))
    performed.messages = _once(performed.messages)
    return performed


def _has_past(row: store.runs.Row) -> bool:
    """Whether something has failed at the place where a run stands, or is waited for."""
    return row.attempt > 0 or bool(row.pending)


class _Cohort:
    """The runs of one transaction on their way through its operations.

    What all of them have done is written with the last operation, in one statement. It is written before that where a
    run leaves the others, or where something reads the log or tells of each step.

    Attributes:
        here: the runs that go on, as they were read last, with all results that they have now.
        messages: what must be published after the commit.
    """

    def __init__(self, here: list[store.runs.Row]) -> None:
        self.here = here
        self.messages: list[Message] = []
        #: The calls that were made for ``here`` as it is, by position of the step.
        self._calls: dict[int, list[Call[Any]]] = {}
        self._unwritten: Unwritten | None = None
        #: Where the runs stand, if something is unwritten.
        self._place: Place | None = None
        #: The confirmations that had come when the rows were locked, if that decides what comes next.
        self._came: dict[UUID, set[str]] | None = None

    def lock_rows(self, deliveries: Sequence[Delivery], *, to_the_end: bool) -> None:
        """Lock what all participants will lock, in the one order of all transactions: by table and key.

        Each participant locks in that order, too, but one after the other. Without this, a forward that locks stock and
        then a slot and an undo that locks the slot and then the stock would wait for each other.

        The same statement reads the confirmations if the forward steps are done ``to_the_end``. None can come in
        between, because the runs are locked.
        """
        first = deliveries[0]
        self.here = with_requests(self.here, self._calls_of(first))
        keys: dict[type[Model], set[Hashable]] = defaultdict(set)
        for delivery in deliveries:
            lock_keys = lock_keys_of(delivery.action.participant)
            # ``links_of`` has left out those that do not say.
            assert lock_keys is not None
            if lock_keys is not no_lock_keys:
                for call in self._calls_of(delivery):
                    for model, key in lock_keys(call):
                        keys[model].add(key)
        awaits = first.definition.confirmations or any(row.parent_id for row in self.here)
        asked = [row.id for row in self.here] if first.phase is Phase.FORWARD and to_the_end and awaits else None
        self._came = store.shared_rows.lock(keys, asked)

    def _calls_of(self, delivery: Delivery) -> list[Call[Any]]:
        calls = self._calls.get(delivery.index)
        if calls is None:
            calls = self._calls[delivery.index] = make_calls(delivery, self.here)
        return calls

    def perform(self, delivery: Delivery, *, last: bool) -> list[UUID]:
        """Perform one operation; return the runs of which it is done."""
        timed = delivery.compensatable and delivery.definition.has_timeouts
        if timed:
            in_time, following = undo_timed_out(delivery.locked(self.here))
            self._become([run.row for run in in_time])
            self.messages += following
            if not self.here:
                return []
        calls = self._calls_of(delivery)
        began = time.perf_counter()
        pivot = delivery.step.pivot and delivery.phase is Phase.FORWARD
        answers = invocation.collect(delivery.action.participant, calls, delivery.step.rejects, pivot=pivot)
        duration = int((time.perf_counter() - began) * 1e6)
        done = [(row, answer) for row, answer in zip(self.here, answers, strict=True) if isinstance(answer, Done)]
        together = len(done) == len(self.here) and not timed and not any(row.events is not None for row in self.here)
        if together and not last:
            self._pass(delivery, done, duration)
        else:
            self._write(delivery, answers, duration, together=together, last=last)
        return [row.id for row, _ in done]

    def _become(self, rows: list[store.runs.Row]) -> None:
        """Go on with these rows, for which other calls must be made."""
        self.here = rows
        self._calls.clear()

    def _pass(self, delivery: Delivery, done: Sequence[tuple[store.runs.Row, Done]], duration: int) -> None:
        """Note that all runs have done the operation."""
        before = self._place or self.here[0].place
        if self._unwritten is None:
            self._unwritten = Unwritten(before, self._came)
        self._place, _ = plan.place_after(delivery.definition, before, delivery.index, delivery.phase, confirmed=False)
        results = {row.id: dump_json(answer.result) for row, answer in done if answer.result is not None}
        passed = store.moves.Passed(done_entry(delivery, duration), results, time.monotonic())
        self._unwritten.passed.append(passed)
        if results and delivery.phase is Phase.FORWARD:
            self._become(store.runs.with_results(self.here, delivery.step.name, results))

    def _write(
        self, delivery: Delivery, answers: Sequence[Answer], duration: int, *, together: bool, last: bool
    ) -> None:
        """Write the answers, and what was done before."""
        if self._place is not None:
            self.here = [_moved(row, self._place) for row in self.here]
            self._place = None
        if self._unwritten is not None and not together:
            keep = store.moves.Keep.RESULT if delivery.phase is Phase.FORWARD else store.moves.Keep.NOTHING
            self._unwritten.write(self.here[0].place, Due.LEASE, self.here, keep=keep)
            self._unwritten = None
        going, following = record_answers(delivery, self.here, answers, duration, self._unwritten)
        self._unwritten = None
        self.messages += following
        # Read again: a step sees of the steps before what it would see in a redelivery.
        self._become(going if last or not going else store.runs.lock([row.id for row in going]))


def _moved(row: store.runs.Row, place: Place) -> store.runs.Row:
    """A run as the database would have it at another place."""
    return row._replace(state=place.state, cursor=place.cursor, fork=place.fork, claims=0)


def _once(messages: Sequence[Message]) -> list[Message]:
    """Leave out repeated kicks: each step may ask for one."""
    found: list[Message] = []
    for message in messages:
        if not isinstance(message, Kick) or message not in found:
            found.append(message)
    return found
