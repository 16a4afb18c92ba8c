"""Write the participants' answers: for each group of runs one statement that writes their log and moves them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sagas import store
from sagas.conf import config
from sagas.db import after_commit
from sagas.decisions import choreography, plan
from sagas.decisions.messages import Chain, Kick, Message, Wake
from sagas.decisions.plan import Due, Move, Place, Sooner
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
    delivery: Delivery, rows: Sequence[store.runs.Row], answers: Sequence[Answer], duration_us: int
) -> tuple[list[store.runs.Row], list[Message]]:
    """Write the answers for locked runs that stand at the delivery's step.

    Returns:
        The runs that go on to the next link, and what must be published after the commit.
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
        survivors, messages = _record_done(delivery, done, duration_us)
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
    delivery: Delivery, done: Sequence[tuple[store.runs.Row, Done]], duration_us: int
) -> tuple[list[store.runs.Row], list[Message]]:
    results = {row.id: dump_json(answer.result) for row, answer in done if answer.result is not None}
    forward = delivery.phase is Phase.FORWARD
    undo = delivery.step.actions.get(Phase.UNDO) if forward else None
    entry = delivery.entry(
        "DONE", duration_us=duration_us, compensate=participant_name(undo.participant)[:200] if undo else ""
    )
    keep = store.moves.Keep.RESULT if forward else store.moves.Keep.NOTHING
    survivors: list[store.runs.Row] = []
    messages: list[Message] = []
    for before, group in store.runs.by_place([row for row, _ in done]).items():
        confirmed = _confirmed(delivery, before, group)
        for is_confirmed in (True, False):
            rows = [row for row in group if (row.id in confirmed) is is_confirmed]
            if not rows:
                continue
            after, due = plan.place_after(
                delivery.definition, before, delivery.index, delivery.phase, confirmed=is_confirmed
            )
            put = store.runs.Put(delivery.step.name) if any(row.pending for row in rows) else None
            if due is Due.LEASE and (delivery.forked or put is not None):
                # The run may have been due much later, at the end of its wait for this answer.
                due = config().lease
            messages += locks.release(rows) if after.state in FINAL else []
            store.moves.advance(Move(before, after, due), rows, entry, data=results, keep=keep, put=put)
            if forward and after.state is State.CONFIRMING is not before.state:
                messages.append(Kick())
            elif after.state is before.state and due is not Due.KEEP:
                going, following = continue_chain(delivery, after, [row.id for row in rows])
                survivors += rows if going else []
                messages += following
            messages += wake_parents(rows) if after.state is not before.state else []
    return survivors, messages


def wake_parents(rows: Sequence[store.runs.Row]) -> list[Message]:
    """Messages to the runs of which these are a step: the state of their child has changed."""
    return [Wake(row.parent_id, row.parent_step) for row in rows if row.parent_id and row.parent_step]


def _confirmed(delivery: Delivery, before: Place, rows: Sequence[store.runs.Row]) -> set[UUID]:
    """Runs that have all their confirmations. The database is only asked where that decides what comes next."""
    after, _ = plan.place_after(delivery.definition, before, delivery.index, delivery.phase, confirmed=False)
    if after.state is not State.AWAITING_CONFIRM:
        return set()
    if not delivery.definition.confirmations and not any(row.parent_id for row in rows):
        return {row.id for row in rows}
    came = store.confirmations.received([row.id for row in rows])
    return {run.id for run in delivery.locked(rows) if run.awaited <= came[run.id]}


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
    seconds = max(0.0, wait.until - now)
    # The other branches of a fork may be due sooner.
    due = Sooner(seconds) if delivery.forked else seconds
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
        store.moves.advance(Move(row.place, row.place, Sooner(wait)), [row], entry, data={row.id: reason}, put=put)
    else:
        change = Move(row.place, row.place, wait, attempt=failed)
        store.moves.advance(change, [row], entry, data={row.id: reason}, put=put)
    return Kick(wait)
