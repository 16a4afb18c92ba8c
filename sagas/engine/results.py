"""Write the participants' answers: for each group of runs one statement that writes their log and moves them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sagas import store
from sagas.conf import config
from sagas.db import after_commit
from sagas.decisions import choreography, plan
from sagas.decisions.messages import Chain, Kick, Message, Wake
from sagas.decisions.plan import Branches, Due, Move, Place
from sagas.decisions.reasons import ReasonKind, error_text, write_reason, write_rejection
from sagas.definition.participants import Accepted, Done, Location, Phase, participant_name
from sagas.definition.retry import Again
from sagas.engine import breakers, deadlines, locks
from sagas.engine.compensation import begin_compensation, escalate
from sagas.engine.delivery import Delivery, continue_chain
from sagas.engine.invocation import Answer, Fault
from sagas.errors import Rejected
from sagas.failure_log import Failure, log_failure
from sagas.serialization import dump_json
from sagas.states import FINAL, State


def record_answers(
    delivery: Delivery,
    rows: Sequence[store.runs.Row],
    answers: Sequence[Answer],
    duration_us: int,
    unwritten: Unwritten | None = None,
) -> tuple[list[store.runs.Row], list[Message]]:
    """Write the answers for locked runs that stand at the delivery's step.

    Args:
        delivery: the operation.
        rows: the runs.
        answers: one for each.
        duration_us: how long the participant took, in microseconds.
        unwritten: what these runs have done before, of which nothing is written. Then all answers must be ``Done``.

    Returns:
        The runs that go on to the next link, as ``store.moves.advance`` returns them; and what must be published after
        the commit.
    """
    done: list[tuple[store.runs.Row, Done]] = []
    rejected: list[tuple[store.runs.Row, Rejected]] = []
    accepted: list[tuple[store.runs.Row, Accepted]] = []
    faults: list[tuple[store.runs.Row, Fault]] = []
    for row, answer in zip(rows, answers, strict=True):
        if isinstance(answer, Done):
            done.append((row, answer))
        elif isinstance(answer, Accepted):
            accepted.append((row, answer))
        elif isinstance(answer, Rejected) and delivery.compensatable:
            rejected.append((row, answer))
        else:
            # A confirm, an undo, or a step behind the pivot cannot be rejected. A rejection there is a fault too.
            faults.append((row, answer if isinstance(answer, Fault) else Fault(answer)))
    survivors: list[store.runs.Row] = []
    messages: list[Message] = []
    if done:
        survivors, messages = _record_done(delivery, done, duration_us, unwritten)
    if rejected:
        messages += _record_rejected(delivery, rejected, duration_us)
    if accepted:
        _record_accepted(delivery, accepted)
    open_breaker = _observe(delivery, done, faults)
    if faults:
        messages += _record_faults(delivery, faults, open_breaker=open_breaker)
    if any(row.events is not None for row in rows):
        # Events were inserted that must be published.
        messages.append(Kick())
    return survivors, messages


@dataclass(slots=True)
class Unwritten:
    """Operations that all runs of a cohort have done in this transaction, and that are to be written with the next.

    Attributes:
        place: where the runs stand as far as is written.
        came: the confirmations that have come, if that is known.
        passed: the operations, in their order.
    """

    place: Place
    came: Mapping[UUID, Set[str]] | None = None
    passed: list[store.moves.Passed] = field(default_factory=list)

    def write(
        self,
        after: Place,
        due: Due | Branches | float,
        rows: Sequence[store.runs.Row],
        *last: store.moves.Passed,
        keep: store.moves.Keep,
    ) -> None:
        """Write them, and ``last``, for these runs, which stand at ``after`` then."""
        came = None if self.came is None else sum(len(self.came[row.id]) for row in rows)
        store.moves.advance_through(Move(self.place, after, due), rows, [*self.passed, *last], keep=keep, came=came)


def done_entry(delivery: Delivery, duration_us: int) -> store.moves.Entry:
    """What the log rows of an operation share that is done."""
    undo = delivery.step.actions.get(Phase.UNDO) if delivery.phase is Phase.FORWARD else None
    return delivery.entry(
        "DONE", duration_us=duration_us, compensate=participant_name(undo.participant)[:200] if undo else ""
    )


def _observe(
    delivery: Delivery, done: Sequence[tuple[store.runs.Row, Done]], faults: Sequence[tuple[store.runs.Row, Fault]]
) -> bool:
    """Record the outcomes of a confirm or an undo; return whether the participant's breaker is open."""
    if delivery.phase is Phase.FORWARD:
        return False
    return breakers.record_outcomes(
        delivery.definition.name,
        delivery.step.name,
        succeeded=sum(row.attempt > 0 for row, _ in done),
        failed=sum(row.attempt > 0 for row, _ in faults),
        faults=bool(faults),
    )


def _record_done(
    delivery: Delivery,
    done: Sequence[tuple[store.runs.Row, Done]],
    duration_us: int,
    unwritten: Unwritten | None,
) -> tuple[list[store.runs.Row], list[Message]]:
    results = {row.id: dump_json(answer.result) for row, answer in done if answer.result is not None}
    forward = delivery.phase is Phase.FORWARD
    entry = done_entry(delivery, duration_us)
    keep = store.moves.Keep.RESULT if forward else store.moves.Keep.NOTHING
    survivors: list[store.runs.Row] = []
    messages: list[Message] = []
    for before, group in store.runs.by_place([row for row, _ in done]).items():
        confirmed = _confirmed(delivery, before, group, unwritten.came if unwritten else None)
        made = _with_decision(delivery, before, group, confirmed)
        for is_confirmed, is_made in ((True, False), (False, True), (False, False)):
            rows = [row for row in group if (row.id in confirmed, row.id in made) == (is_confirmed, is_made)]
            if not rows:
                continue
            after, due = plan.place_after(
                delivery.definition, before, delivery.index, delivery.phase, confirmed=is_confirmed
            )
            if is_made:
                # The claim gives them the decision.
                due = plan.NOW
                messages.append(Kick())
            put = store.runs.Put(delivery.step.name) if any(row.pending for row in rows) else None
            if due is Due.LEASE and (delivery.forked or put is not None):
                # The run may have been due much later, at the end of its wait for this answer.
                due = config().lease
            messages += locks.release(rows) if after.state in FINAL else []
            held = delivery.held and after.state is before.state
            if unwritten is None:
                change = Move(before, after, due)
                rows = store.moves.advance(change, rows, entry, data=results, keep=keep, put=put, held=held)
            else:
                unwritten.write(after, due, rows, store.moves.Passed(entry, results, time.monotonic()), keep=keep)
            if forward and after.state is State.CONFIRMING is not before.state:
                messages.append(Kick())
            elif after.state is before.state and not isinstance(due, Branches):
                going, following = continue_chain(delivery, after, [row.id for row in rows])
                survivors += rows if going else []
                messages += following
            messages += wake_parents(rows) if after.state is not before.state else []
    return survivors, messages


def wake_parents(rows: Sequence[store.runs.Row]) -> list[Message]:
    """Messages to the runs of which these are a step: the state of their child has changed."""
    return [Wake(row.parent_id, row.parent_step) for row in rows if row.parent_id and row.parent_step]


def _confirmed(
    delivery: Delivery, before: Place, rows: Sequence[store.runs.Row], came: Mapping[UUID, Set[str]] | None
) -> set[UUID]:
    """Runs that have all their confirmations. The database is only asked where that decides what comes next.

    ``came`` are those that have come, if they were read before.
    """
    after, _ = plan.place_after(delivery.definition, before, delivery.index, delivery.phase, confirmed=False)
    if after.state is not State.AWAITING_CONFIRM:
        return set()
    if not delivery.definition.confirmations and not any(row.parent_id for row in rows):
        return {row.id for row in rows}
    if came is None:
        came = store.confirmations.received([row.id for row in rows])
    return {run.id for run in delivery.locked(rows) if run.awaited <= came[run.id]}


def _with_decision(
    delivery: Delivery, before: Place, rows: Sequence[store.runs.Row], confirmed: Set[UUID]
) -> Set[UUID]:
    """Those of the runs which come to wait for confirmations now and whose decision for many is made already."""
    if delivery.definition.shared is None:
        return set()
    after, _ = plan.place_after(delivery.definition, before, delivery.index, delivery.phase, confirmed=False)
    waiting = [row.id for row in rows if row.id not in confirmed] if after.state is State.AWAITING_CONFIRM else []
    return store.shared_decisions.of_runs(waiting).keys() if waiting else set()


def _record_rejected(
    delivery: Delivery, rejected: Sequence[tuple[store.runs.Row, Rejected]], duration_us: int
) -> list[Message]:
    reasons = {
        row.id: write_rejection(answer, delivery.step.name, partial(delivery.hide, row)) for row, answer in rejected
    }
    entry = delivery.entry("REJECTED", duration_us=duration_us)
    due = config().lease if delivery.choreographed else None
    places = begin_compensation(delivery.locked([row for row, _ in rejected]), entry, reasons, due=due)
    if not delivery.choreographed:
        return [Kick()]
    event = choreography.rejected(delivery.definition, delivery.index)
    chains: list[Message] = [
        Chain(links, tuple(row.id for row in rows), event=event)
        for place, rows in places
        for links in plan.next_chains(delivery.definition, place)
    ]
    return chains


def _record_accepted(delivery: Delivery, accepted: Sequence[tuple[store.runs.Row, Accepted]]) -> None:
    now = store.runs.clock()
    # A child is asked again and again, also to undo. Its answer is of no use to any other operation.
    is_child = delivery.action.location is Location.CHILD
    operation = "" if is_child else delivery.action.operation
    since: Mapping[UUID, datetime] = {}
    if is_child:
        # Only the first time is logged.
        ids = [row.id for row, _ in accepted]
        since = store.log.first_times("ACCEPTED", ids, delivery.step.name, delivery.action.operation)
    waits: dict[tuple[store.runs.Wait, bool], list[store.runs.Row]] = defaultdict(list)
    for row, answer in accepted:
        within = answer.within
        if row.id in since and delivery.phase is not Phase.FORWARD:
            within = _lengthened(within, now - since[row.id])
        until = (now + within).timestamp()
        waits[store.runs.Wait(until, row.attempt, operation, begun=True), row.id in since].append(row)
    for (wait, again), rows in waits.items():
        for place, group in store.runs.by_place(rows).items():
            await_report(delivery, place, group, wait, now.timestamp(), outcome=None if again else "ACCEPTED")


def _lengthened(within: timedelta, waited: timedelta) -> timedelta:
    """Lengthen a wait to about the time that was waited already: a child wakes its parent, or waits for a person.

    Not for a forward operation: the deadlines of a run that is not decided must be judged in time. In powers of two,
    so that few statements serve many runs.
    """
    while within * 2 <= min(waited, store.runs.UNBOUNDED):
        within *= 2
    return within


def await_report(
    delivery: Delivery,
    place: Place,
    rows: Sequence[store.runs.Row],
    wait: store.runs.Wait,
    now: float,
    *,
    outcome: str | None = "ACCEPTED",
) -> None:
    """Leave locked runs where they stand until a report of how the operation ended, or until it is overdue.

    ``outcome`` is logged; ``None`` if it was logged before.
    """
    due = plan.branches_at(delivery.definition, place) if delivery.forked else max(0.0, wait.until - now)
    put = store.runs.Put(delivery.step.name, wait)
    attempt = 0 if delivery.forked else wait.failed
    if outcome is None:
        store.moves.move(Move(place, place, due, attempt), rows, put=put)
    else:
        store.moves.advance(Move(place, place, due, attempt), rows, delivery.entry(outcome), put=put)


def _record_faults(
    delivery: Delivery, faults: Sequence[tuple[store.runs.Row, Fault]], *, open_breaker: bool
) -> list[Message]:
    messages: list[Message] = []
    entry = delivery.entry("FAULT")
    for row, fault in faults:
        kind = ReasonKind.BREAKER if open_breaker else ReasonKind.FAULT
        detail = delivery.hide(row, error_text(fault.error))
        reason = write_reason(kind, delivery.step.name, type(fault.error).__name__, detail)
        decision = delivery.action.retry.decide(row.attempt + 1, fault.error)
        late = _too_late(delivery, row, fault, decision) if isinstance(decision, Again) else None
        if late is not None:
            begin_compensation(delivery.locked([row]), entry, {row.id: late})
            messages.append(Kick())
            follows, final = "its time is over: the run is undone", True
        elif isinstance(decision, Again) and not open_breaker:
            messages.append(_try_again(delivery, row, entry, reason, decision.after.total_seconds()))
            follows, final = f"is tried again in {decision.after.total_seconds():.1f} s", False
        elif delivery.compensatable:
            begin_compensation(delivery.locked([row]), entry, {row.id: reason})
            messages.append(Kick())
            follows, final = "is given up: the run is undone", True
        else:
            escalate(row, entry, reason)
            follows, final = "is given up: a person is called", True
        log_failure_after_commit(delivery, row, fault.error, follows, final=final)
    return messages


def log_failure_after_commit(
    delivery: Delivery, row: store.runs.Row, error: Exception, follows: str, *, final: bool
) -> None:
    """Write a failure to the process's log after the commit. After a rollback it is tried, and logged, again."""
    failure = Failure(
        saga=delivery.definition.name,
        step=delivery.step.name,
        operation=delivery.action.operation,
        run_id=row.id,
        attempt=row.attempt + 1,
        error=error,
        follows=follows,
        final=final,
        hide=partial(delivery.hide, row) if delivery.definition.marks else None,
        trace_id=row.trace_id.replace("-", ""),
    )
    after_commit(log_failure, failure)


def _too_late(delivery: Delivery, row: store.runs.Row, fault: Fault, decision: Again) -> str | None:
    """Why a run must be undone whose time is over before its next attempt; ``None`` if its time is not over then."""
    limit = deadlines.time_limits(delivery.locked([row])).get(row.id) if delivery.compensatable else None
    now = store.runs.clock() if limit is not None else None
    if limit is None or now is None or now + decision.after < limit[0]:
        return None
    cause = delivery.hide(row, f"{type(fault.error).__name__}: {error_text(fault.error)}")
    return deadlines.timeout_reason(*limit, now, cause)


def _try_again(delivery: Delivery, row: store.runs.Row, entry: store.moves.Entry, reason: str, wait: float) -> Message:
    """Leave a run where it stands until its next attempt is due."""
    failed = row.attempt + 1
    waited = row.waits.get(delivery.step.name)
    begun = waited is not None and waited.begun
    put: store.runs.Put | None = None
    if delivery.forked or begun:
        until = store.runs.clock().timestamp() + wait
        put = store.runs.Put(delivery.step.name, store.runs.Wait(until, failed, begun=begun))
    if delivery.forked:
        # The other branches have their own attempts, and may be on their way.
        due = plan.branches_at(delivery.definition, row.place)
        store.moves.advance(Move(row.place, row.place, due), [row], entry, data={row.id: reason}, put=put)
    else:
        change = Move(row.place, row.place, wait, attempt=failed)
        store.moves.advance(change, [row], entry, data={row.id: reason}, put=put)
    return Kick(wait)


def postpone(delivery: Delivery, rows: Sequence[tuple[store.runs.Row, float]], now: float) -> None:
    """Postpone locked runs that stand here, each by so many seconds; that counts as no attempt."""
    if not delivery.forked:
        store.runs.wait_until({row.id: now + delay for row, delay in rows})
        return
    # The other branches have their own waits, and may be on their way.
    for row, delay in rows:
        waited = row.waits.get(delivery.step.name)
        wait = store.runs.Wait(now + delay, row.attempt, begun=waited is not None and waited.begun)
        due = plan.branches_at(delivery.definition, row.place)
        store.moves.move(Move(row.place, row.place, due), [row], put=store.runs.Put(delivery.step.name, wait))
