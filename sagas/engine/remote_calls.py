"""The two transactions around a call of a remote participant: it is begun, and it has answered.

Between them the call is made, outside any transaction (``sagas.engine.remote_threads``). A process that dies there
leaves a run that is due when its lease is over: the attempt counts as failed, and is repeated with the same key, or
undone by it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction

from sagas import store
from sagas.decisions import plan
from sagas.decisions.messages import Chain, Kick, Link, Message, RemoteCalls
from sagas.decisions.plan import Move, Sooner, Stand
from sagas.definition.participants import Call, Done, Location, NotYet
from sagas.engine.delivery import Delivery, delivery_of
from sagas.engine.invocation import Answer, Fault
from sagas.engine.reports import record_late_answer
from sagas.engine.results import await_report, record_answers
from sagas.errors import NotSent, Rejected
from sagas.remote.lanes import Lane, lane_of


class StillNotYet(Exception):
    """A remote participant has said "not yet" for so long that this counts as a failed attempt."""


@dataclass(slots=True)
class Capacity:
    """How many calls may be begun now; and how long those wait that may not.

    Attributes:
        lane: whose capacity.
        left: calls that may still be begun.
        wait: seconds that the others wait at least, because the circuit is open; 0 if it is closed.
    """

    lane: Lane
    left: int
    wait: float

    def take(self, messages: Sequence[Message]) -> None:
        """Count the calls that were begun, once that is committed."""
        self.left -= sum(len(message.calls) for message in messages if isinstance(message, RemoteCalls))


def capacity_for(delivery: Delivery, wanted: int) -> Capacity | None:
    """Ask how many calls may begin, of so many; ``None`` if the participant is not remote. Not in a transaction."""
    if delivery.action.location is not Location.REMOTE:
        return None
    participant = delivery.action.remote
    lane = lane_of(participant.lane, participant.concurrency)
    free = min(lane.free, wanted)
    if not free:
        return Capacity(lane, 0, 0.0)
    return Capacity(lane, *participant.admit(free))


def begin_calls(
    delivery: Delivery, rows: Sequence[store.runs.Row], calls: Sequence[Call[Any]], capacity: Capacity
) -> list[Message]:
    """Write for locked runs that stand here that their call is about to be made; put off those without capacity.

    Args:
        delivery: the operation.
        rows: the runs.
        calls: the calls of the first of them, for which there is capacity.
        capacity: where there is capacity, and how long the others wait.

    Returns:
        The calls to make after the commit.
    """
    participant = delivery.action.remote
    going, waiting = rows[: len(calls)], rows[len(calls) :]
    now = store.runs.clock().timestamp()
    begun = frozenset(row.id for row in going if _was_begun(delivery, row))
    waits: dict[store.runs.Wait, list[store.runs.Row]] = defaultdict(list)
    for row in going:
        wait = store.runs.Wait(now + participant.lease, row.attempt, delivery.action.operation, begun=True)
        waits[wait].append(row)
    for wait, some in waits.items():
        for place, group in store.runs.by_place(some).items():
            await_report(delivery, place, group, wait, now, outcome="INTENT")
    messages: list[Message] = []
    if going:
        link = plan.link(delivery.definition, delivery.index, delivery.phase)
        messages.append(RemoteCalls(link, tuple(calls), begun, delivery.worker))
    if waiting:
        delays = capacity.lane.book(len(waiting))
        messages += _postpone(delivery, [(r, max(d, capacity.wait)) for r, d in zip(waiting, delays, strict=True)], now)
    return messages


@dataclass(frozen=True, slots=True)
class Answered:
    """A call that was made.

    Attributes:
        call: what was asked.
        begun: whether an earlier attempt may have taken effect.
        answer: what came of it.
        duration_us: how long it took.
    """

    call: Call[Any]
    begun: bool
    answer: Done | Rejected | Fault | NotYet
    duration_us: int


def finish_calls(link: Link, answered: Sequence[Answered], *, worker: str) -> list[Message]:
    """Write what remote participants answered, each once a run: one transaction for all of them.

    An answer may come late: after its lease, when the next attempt is under way or the run has been turned back.
    That it was done or rejected is the truth all the same.

    Returns:
        What follows, the runs that go on first.
    """
    delivery = delivery_of(link, worker)
    by_run = {one.call.run_id: one for one in answered}
    messages: list[Message] = []
    rows: list[store.runs.Row] = []
    answers: list[Answer] = []
    longest = 0
    with transaction.atomic(durable=True):
        for row in store.runs.lock(by_run):
            one = by_run[row.id]
            if _stands_here(delivery, row):
                found, following = _answer_in_place(delivery, row, one)
                messages += following
                if found is not None:
                    rows.append(found[0])
                    answers.append(found[1])
                    longest = max(longest, one.duration_us)
            else:
                messages += _answer_after_move(delivery, row, one)
        if rows:
            survivors, following = record_answers(delivery, rows, answers, longest)
            rest = plan.links_from(delivery.definition, delivery.index, delivery.phase)[1:]
            if survivors and rest:
                messages.insert(0, Chain(rest, tuple(row.id for row in survivors)))
            messages += following
    return messages


def _stands_here(delivery: Delivery, row: store.runs.Row) -> bool:
    definition = delivery.definition
    same = (row.saga, row.version) == (definition.name, definition.version)
    if not same or row.shape not in {0, definition.shape.number}:
        return False
    return plan.stand(definition, row.place, delivery.index, delivery.phase) is Stand.HERE


def _was_begun(delivery: Delivery, row: store.runs.Row) -> bool:
    wait = row.waits.get(delivery.step.name)
    return wait is not None and wait.begun


def _is_awaited(delivery: Delivery, row: store.runs.Row, one: Answered) -> bool:
    """Whether the run waits for the answer of this very attempt."""
    wait = row.waits.get(delivery.step.name)
    return wait is not None and (wait.operation, wait.failed) == (one.call.operation, one.call.attempt - 1)


def _answer_in_place(
    delivery: Delivery, row: store.runs.Row, one: Answered
) -> tuple[tuple[store.runs.Row, Answer] | None, list[Message]]:
    """What is to be recorded for a run that stands where the call was made; and what follows if nothing is."""
    step = delivery.step.name
    row = row._replace(attempt=one.call.attempt - 1)
    answer = one.answer
    if not _is_awaited(delivery, row, one):
        # Its lease was over, and the attempt has been counted as failed. What broke then is no news.
        told = isinstance(answer, Done) or (isinstance(answer, Rejected) and delivery.compensatable)
        return ((row, answer) if told and not isinstance(answer, NotYet) else None), []
    if isinstance(answer, Done):
        return (row, answer), []
    row = store.runs.note_answer(row, step, begun=_may_have_taken_effect(one))
    if not isinstance(answer, NotYet):
        return (row, answer), []
    now = store.runs.clock()
    first = store.log.first_times("INTENT", [row.id], step, one.call.operation).get(row.id)
    participant = delivery.action.remote
    if first is not None and now - first > timedelta(seconds=participant.patience):
        return (row, Fault(StillNotYet(f"{step} has not been ready for {participant.patience:g} s"))), []
    store.moves.log(store.moves.event_entry("not_yet", step=step, by=delivery.worker), [row])
    return None, _postpone(delivery, [(row, answer.after)], now.timestamp())


def _may_have_taken_effect(one: Answered) -> bool:
    """Whether the effect may be there, although nobody says so: unless nothing was ever sent.

    After "not yet" too: a request that the network doubled meets itself, and is answered so while its first copy is
    executed.
    """
    never_sent = isinstance(one.answer, Fault) and isinstance(one.answer.error, NotSent)
    return one.begun or not never_sent


def _answer_after_move(delivery: Delivery, row: store.runs.Row, one: Answered) -> list[Message]:
    """A run that was turned back meanwhile, or that a person has: put on record what came of it."""
    if not _is_awaited(delivery, row, one):
        return []
    answer = one.answer
    if isinstance(answer, NotYet):
        answer = Fault(StillNotYet("not ready when its run was turned back"))
    wait = row.waits[delivery.step.name]
    record_late_answer(delivery, row, wait, answer, begun=_may_have_taken_effect(one), duration_us=one.duration_us)
    return [Kick()]


def _postpone(delivery: Delivery, rows: Sequence[tuple[store.runs.Row, float]], now: float) -> list[Message]:
    """Let locked runs stand here for a while, without counting an attempt."""
    if delivery.forked:
        # The other branches may be due sooner.
        for row, delay in rows:
            wait = store.runs.Wait(now + delay, row.attempt, begun=_was_begun(delivery, row))
            store.moves.move(
                Move(row.place, row.place, Sooner(delay)), [row], put=store.runs.Put(delivery.step.name, wait)
            )
    else:
        store.runs.wait_until({row.id: now + delay for row, delay in rows})
    return [Kick(min(delay for _, delay in rows))]
