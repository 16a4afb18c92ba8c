"""The two transactions around a call of a remote participant: the call begins, and its answer is recorded.

The call itself is made between the two, outside any transaction (``sagas.engine.outside.remote_threads``). If the
process dies there, the run is due when its lease is over. The attempt counts as failed; it is repeated, or undone, with
the same idempotency key.
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
from sagas.decisions.plan import Stand
from sagas.definition.participants import Call, Done, Location, NotYet
from sagas.engine.delivery import Delivery, delivery_of
from sagas.engine.invocation import Answer, Fault
from sagas.engine.reports import record_late_answer
from sagas.engine.results import await_report, postpone, record_answers
from sagas.errors import NotSent, Rejected
from sagas.remote.lanes import Lane, lane_of


class StillNotYet(Exception):
    """A remote participant has said "not yet" for so long that this counts as a failed attempt."""


@dataclass(slots=True)
class Capacity:
    """How many calls may begin now, and how long the others wait.

    Attributes:
        lane: the lane in which the calls are made.
        left: how many calls may still begin.
        wait: seconds that the others wait at least, because the circuit is open; 0 if it is closed.
    """

    lane: Lane
    left: int
    wait: float

    def take(self, messages: Sequence[Message]) -> None:
        """Subtract the calls that have begun, after the commit."""
        self.left -= sum(len(message.calls) for message in messages if isinstance(message, RemoteCalls))


def capacity_for(delivery: Delivery, wanted: int) -> Capacity | None:
    """Ask how many of so many calls may begin; ``None`` if the participant is not remote. Not in a transaction."""
    if delivery.action.location is not Location.REMOTE:
        return None
    participant = delivery.action.remote
    lane = lane_of(participant)
    free = min(lane.free, wanted)
    if not free:
        return Capacity(lane, 0, 0.0)
    return Capacity(lane, *participant.admit(free))


def begin_calls(
    delivery: Delivery, rows: Sequence[store.runs.Row], calls: Sequence[Call[Any]], capacity: Capacity
) -> list[Message]:
    """Record for locked runs that stand here that their call begins; postpone the runs without capacity.

    Args:
        delivery: the operation.
        rows: the runs.
        calls: the calls of the first runs, for which there is capacity.
        capacity: the lane, and how long the other runs wait.

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
    """A call that was made, and its answer.

    Attributes:
        call: the call.
        begun: whether an earlier attempt may have taken effect.
        answer: the answer.
        duration_us: how long the call took.
    """

    call: Call[Any]
    begun: bool
    answer: Done | Rejected | Fault | NotYet
    duration_us: int


def finish_calls(link: Link, answered: Sequence[Answered], *, worker: str) -> list[Message]:
    """Record the answers of remote participants, at most one for each run, in one transaction.

    An answer may come late: after its lease, when the next attempt has begun or the run is being undone. If it says
    done or rejected, it counts all the same.

    Returns:
        What must be published after the commit; the chain of the runs that go on comes first.
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
    """Whether the run waits for the answer to this attempt."""
    wait = row.waits.get(delivery.step.name)
    return wait is not None and (wait.operation, wait.failed) == (one.call.operation, one.call.attempt - 1)


def _answer_in_place(
    delivery: Delivery, row: store.runs.Row, one: Answered
) -> tuple[tuple[store.runs.Row, Answer] | None, list[Message]]:
    """The answer to record for a run that stands where the call was made, if any; and what must be published."""
    step = delivery.step.name
    row = row._replace(attempt=one.call.attempt - 1)
    answer = one.answer
    if not _is_awaited(delivery, row, one):
        # Its lease is over, and the attempt was counted as failed. So a fault is not counted again.
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
    """Whether the operation may have taken effect, although the answer does not say so: unless nothing was ever sent.

    Also after "not yet": the network may deliver a request twice, and the second copy is answered so while the first
    one is executed.
    """
    never_sent = isinstance(one.answer, Fault) and isinstance(one.answer.error, NotSent)
    return one.begun or not never_sent


def _answer_after_move(delivery: Delivery, row: store.runs.Row, one: Answered) -> list[Message]:
    """Record the answer for a run that is being undone by now, is escalated, or has ended."""
    if not _is_awaited(delivery, row, one):
        return []
    answer = one.answer
    if isinstance(answer, NotYet):
        answer = Fault(StillNotYet("not ready when its run was turned back"))
    wait = row.waits[delivery.step.name]
    record_late_answer(delivery, row, wait, answer, begun=_may_have_taken_effect(one), duration_us=one.duration_us)
    return [Kick()]


def _postpone(delivery: Delivery, rows: Sequence[tuple[store.runs.Row, float]], now: float) -> list[Message]:
    """Postpone locked runs that stand here; that counts as no attempt."""
    postpone(delivery, rows, now)
    return [Kick(min(delay for _, delay in rows))]
