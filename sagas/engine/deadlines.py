"""The confirm deadlines of runs: when it is too late for each confirmation, and what becomes of who is late.

A deadline may be the application's to compute, from the request. What breaks there is raised as it is: at a start it
is the caller's, at a claim the run's (see ``sagas.engine.poison``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import Error

from sagas import store
from sagas.decisions.messages import Deadline, Kick, Message
from sagas.decisions.reasons import ReasonKind, write_reason
from sagas.definition.confirmations import Confirmation
from sagas.definition.definition import Definition
from sagas.engine.compensation import event, turn_back
from sagas.errors import DeadlineUnknown, InvalidRequest
from sagas.store.locked_runs import LockedRun


def check(definition: Definition, request: str) -> None:
    """Refuse a request (JSON text) of which a deadline cannot be computed: no run of it could ever begin."""
    for confirmation in definition.confirmations:
        if confirmation.until is None:
            continue
        try:
            confirmation.computed(definition.load(request))
        except Error:
            # Of the caller's transaction, in which the application has looked something up.
            raise
        except Exception as error:
            # Only our own text: the application's may quote what others must not read.
            why = str(error) if isinstance(error, DeadlineUnknown) else type(error).__name__
            msg = f"the request does not fit {definition.name}: when {confirmation.name} is too late: {why}"
            raise InvalidRequest(msg, [{"loc": [], "type": "deadline", "msg": msg}]) from error


def begin(runs: Sequence[LockedRun]) -> None:
    """Give runs that begin now their first deadline, where it depends on the request.

    The others got theirs with the lease.
    """
    computed = [(run, [c for c in run.definition.confirmations if c.until is not None]) for run in runs]
    if any(confirmations for _, confirmations in computed):
        now = store.runs.clock()
        store.confirmations.bring_deadlines_forward(
            {run.id: first(confirmations, run, now) for run, confirmations in computed if confirmations}
        )


def first(confirmations: Sequence[Confirmation], run: LockedRun, started_at: datetime) -> datetime:
    """When the first of these confirmations is too late for a run that began then."""
    return min(of_run(confirmation, run, started_at) for confirmation in confirmations)


def of_run(confirmation: Confirmation, run: LockedRun, started_at: datetime) -> datetime:
    """When this confirmation is too late for a run that began then, and not before what it is held until."""
    return run.row.not_before(confirmation.deadline(started_at, partial(run.definition.load, run.row.request)))


def judge(name: str, runs: Sequence[LockedRun], *, by: str) -> list[Message]:
    """Undo those locked, unconfirmed runs whose deadline is over; arm it again for the others.

    Args:
        name: the confirmation that has not come.
        runs: the runs.
        by: what brought the deadline here, for the log.

    Raises:
        UnknownConfirmation: the saga of a run has none of this name.
    """
    # Read after the lock: a run that waited for its lock is judged by the time it got it.
    now = store.runs.clock()
    late: list[LockedRun] = []
    early: dict[Deadline, list[UUID]] = defaultdict(list)
    reasons: dict[UUID, str] = {}
    for run in runs:
        confirmation = run.definition.confirmation(name)
        if run.row.started_at is None:
            continue
        over = (now - of_run(confirmation, run, run.row.started_at)).total_seconds()
        if over >= 0:
            late.append(run)
            detail = _too_late(confirmation, now - timedelta(seconds=over))
            late_ms = round(over * 1000)
            reasons[run.id] = write_reason(ReasonKind.TIMEOUT, name, "NotConfirmed", detail, by=by, late_ms=late_ms)
        elif confirmation.within is not None:
            within, delay = confirmation.within.total_seconds(), round(-over, 1) + 0.1
            early[Deadline(run.row.saga, run.row.version, name, within, (), delay)].append(run.id)
    messages: list[Message] = []
    if late:
        turn_back(late, event("expire", step=name, by=by), reasons)
        messages.append(Kick())
    return messages + [replace(deadline, ids=tuple(ids)) for deadline, ids in early.items()]


def _too_late(confirmation: Confirmation, deadline: datetime) -> str:
    if confirmation.within is not None:
        return f"no {confirmation.name} came within {confirmation.within.total_seconds():g} s"
    return f"no {confirmation.name} came until {deadline.isoformat(timespec='seconds')}"
