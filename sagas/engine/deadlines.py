"""When a run has taken too long: the deadlines of its confirmations, and the time-outs of its forward steps.

A run that is late is undone. The deadline of a confirmation is judged when RabbitMQ's message comes, and when a claim
finds the run. The application may compute it from the request. An error in that code is raised as it is: it
belongs to the caller at a start, and to the run at a claim (see ``sagas.engine.poison``).

A time-out, of one step or of all of them, is judged when a step is about to be performed, when an attempt of it has
failed, and when a claim finds the run: not while a participant works, which holds the run's lock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from django.db import Error

from sagas import store
from sagas.conf import config
from sagas.decisions import plan
from sagas.decisions.messages import Deadline, Kick, Message
from sagas.decisions.reasons import LAST_ATTEMPT, ReasonKind, write_reason
from sagas.definition.confirmations import Confirmation
from sagas.definition.definition import Definition
from sagas.definition.events import TIMEOUT_ENTRY
from sagas.definition.participants import Phase
from sagas.engine import pauses
from sagas.engine.compensation import begin_compensation
from sagas.errors import DeadlineUnknown, InvalidRequest
from sagas.metrics import catalogue
from sagas.metrics.instruments import count_after_commit
from sagas.states import State
from sagas.store.locked_runs import LockedRun, by_place

Run = TypeVar("Run", bound=LockedRun)


def check_deadlines(definition: Definition, request: str) -> None:
    """Refuse a request (JSON text) for which a deadline cannot be computed: its run could never begin."""
    for confirmation in definition.confirmations:
        if confirmation.until is None:
            continue
        try:
            confirmation.compute_deadline(definition.load(request))
        except Error:
            # An error of the caller's transaction, in which the application has made a query.
            raise
        except Exception as error:
            # Only the engine's own text: the application's may quote personal data.
            why = str(error) if isinstance(error, DeadlineUnknown) else type(error).__name__
            msg = f"the request does not fit {definition.name}: when {confirmation.name} is too late: {why}"
            raise InvalidRequest(msg, [{"loc": [], "type": "deadline", "msg": msg}]) from error


def set_first_deadlines(runs: Sequence[LockedRun]) -> None:
    """Give runs that begin now their first deadline, if it depends on the request.

    Other deadlines are set with the lease.
    """
    computed = [(run, [c for c in run.definition.confirmations if c.until is not None]) for run in runs]
    if any(confirmations for _, confirmations in computed):
        now = store.runs.clock()
        store.confirmations.bring_deadlines_forward(
            {
                run.id: min(deadline_of(confirmation, run, now) for confirmation in confirmations)
                for run, confirmations in computed
                if confirmations
            }
        )


def first_deadline(confirmations: Sequence[Confirmation], run: LockedRun, started_at: datetime) -> datetime | None:
    """When the first of these confirmations is too late for a run that began then; ``None`` if none ever is."""
    timed = [confirmation for confirmation in confirmations if not confirmation.is_shared]
    return min((deadline_of(confirmation, run, started_at) for confirmation in timed), default=None)


def deadline_of(confirmation: Confirmation, run: LockedRun, started_at: datetime) -> datetime:
    """When this confirmation is too late for a run that began then; not before the time until which the run is held."""
    deadline = confirmation.deadline(started_at, partial(run.definition.load, run.row.request))
    return run.row.not_before(deadline, shifted=confirmation.within is not None)


def expire_overdue(name: str, runs: Sequence[LockedRun], *, by: str) -> list[Message]:
    """Undo the locked, unconfirmed runs whose deadline is over; the others get a new deadline message.

    Args:
        name: the confirmation that has not come.
        runs: the runs.
        by: what brought the deadline here, for the log.

    Raises:
        UnknownConfirmation: the saga of a run has none of this name.
    """
    # Read after the lock: what counts is the time at which the lock was got.
    now = store.runs.clock()
    late: list[LockedRun] = []
    early: dict[Deadline, list[UUID]] = defaultdict(list)
    reasons: dict[UUID, str] = {}
    drifts: dict[UUID, float] = {}
    for run in runs:
        confirmation = run.definition.confirmation(name)
        if run.row.started_at is None or confirmation.is_shared:
            continue
        over = (now - deadline_of(confirmation, run, run.row.started_at)).total_seconds()
        if over >= 0:
            late.append(run)
            drifts[run.id] = over
            detail = _describe_missed(confirmation, now - timedelta(seconds=over))
            late_ms = round(over * 1000)
            reasons[run.id] = write_reason(ReasonKind.TIMEOUT, name, "NotConfirmed", detail, by=by, late_ms=late_ms)
        elif confirmation.within is not None:
            within, delay = confirmation.within.total_seconds(), round(-over, 1) + 0.1
            early[Deadline(run.row.saga, run.row.version, name, within, (), delay)].append(run.id)
    messages: list[Message] = []
    if late:
        # Nothing turns back what is paused.
        late = pauses.hold_runs(late)
    if late:
        if config().metrics:
            _count_drift(late, [drifts[run.id] for run in late], by)
        begin_compensation(late, store.moves.event_entry("expire", step=name, by=by), reasons)
        messages.append(Kick())
    return messages + [replace(deadline, ids=tuple(ids)) for deadline, ids in early.items()]


def _count_drift(late: Sequence[LockedRun], drifts: Sequence[float], by: str) -> None:
    """Measure, after the commit, how late deadlines were judged."""
    outcome = "tick" if by == "tick" else "broker"
    found: dict[str, list[float]] = defaultdict(list)
    for run, drift in zip(late, drifts, strict=True):
        found[run.row.saga].append(drift)
    count_after_commit(
        [(catalogue.DEADLINE_DRIFT, values, {"saga": saga, "outcome": outcome}) for saga, values in found.items()]
    )


def _describe_missed(confirmation: Confirmation, deadline: datetime) -> str:
    if confirmation.within is not None:
        return f"no {confirmation.name} came within {confirmation.within.total_seconds():g} s"
    return f"no {confirmation.name} came until {deadline.isoformat(timespec='seconds')}"


# Time-outs of the forward steps ---------------------------------------------------------------------------------


def undo_timed_out(runs: Sequence[Run]) -> tuple[list[Run], list[Message]]:
    """Undo the locked runs whose time-out is over.

    Returns:
        The others, and what must be published after the commit.
    """
    limits = time_limits(runs)
    if not limits:
        return list(runs), []
    now = store.runs.clock()
    late = [run for run in runs if run.id in limits and limits[run.id][0] <= now]
    if not late:
        return list(runs), []
    reasons = {run.id: timeout_reason(*limits[run.id], now) for run in late}
    for step in {limits[run.id][1] for run in late}:
        begin_compensation(
            [run for run in late if limits[run.id][1] == step],
            store.moves.event_entry(TIMEOUT_ENTRY, step=step),
            reasons,
        )
    return [run for run in runs if run.id not in reasons], [Kick()]


def time_limits(runs: Sequence[LockedRun]) -> dict[UUID, tuple[datetime, str]]:
    """When each of these runs is timed out, and by the time-out of which step; "" is that of all steps together.

    Runs without a time-out, runs that have not begun, and runs that cannot be undone any more are left out.
    """
    found: dict[UUID, tuple[datetime, str]] = {}
    for definition, place, rows in by_place([run for run in runs if run.definition.has_timeouts]):
        if place.state is not State.EXECUTING:
            continue
        steps = [
            definition.steps[index] for index, phase in plan.operations_at(definition, place) if phase is Phase.FORWARD
        ]
        timed = [(step.timeout, step.name) for step in steps if step.timeout is not None]
        since = store.log.arrival_times([row.id for row in rows], [step.name for step in steps]) if timed else {}
        for row in rows:
            if row.started_at is None:
                continue
            limits = [(since.get(row.id, row.started_at) + timeout, name) for timeout, name in timed]
            if definition.timeout is not None:
                limits.append((row.started_at + definition.timeout, ""))
            if limits:
                limit, name = min(limits)
                found[row.id] = row.not_before(limit), name
    return found


def timeout_reason(limit: datetime, step: str, now: datetime, cause: str = "") -> str:
    """Write the reason of a run that is undone by a time-out. ``cause``, an earlier fault, is for operators."""
    detail = f"{step or 'the steps'} took too long"
    told = f"{detail}{LAST_ATTEMPT}{cause}" if cause else detail
    late_ms = max(0, round((now - limit).total_seconds() * 1000))
    return write_reason(ReasonKind.TIMEOUT, step, "TimedOut", told, message=detail if cause else "", late_ms=late_ms)
