"""The confirm deadlines of runs: when it is too late for each confirmation, and what becomes of who is late.

A deadline may be the application's to compute, from the request. What breaks there is raised as it is: at a start it
is the caller's, at a claim the run's (see ``sagas.engine.poison``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
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


def begin(definition: Definition, rows: Sequence[store.runs.Row]) -> None:
    """Give runs that begin now their first deadline, where it depends on the request.

    The others got theirs with the lease.
    """
    computed = [c for c in definition.confirmations if c.until is not None]
    if rows and computed:
        now = store.runs.clock()
        store.confirmations.bring_deadlines_forward({row.id: first(definition, computed, row, now) for row in rows})


def first(
    definition: Definition, confirmations: Sequence[Confirmation], row: store.runs.Row, started_at: datetime
) -> datetime:
    """When the first of these confirmations is too late for a run that began then."""
    return min(of_run(definition, confirmation, row, started_at) for confirmation in confirmations)


def of_run(definition: Definition, confirmation: Confirmation, row: store.runs.Row, started_at: datetime) -> datetime:
    """When this confirmation is too late for a run that began then, and not before what it is held until."""
    return row.not_before(confirmation.deadline(started_at, partial(definition.load, row.request)))


def judge(
    definition: Definition, confirmation: Confirmation, rows: Sequence[store.runs.Row], *, by: str
) -> list[Message]:
    """Undo those locked, unconfirmed runs whose deadline is over; arm it again for the others."""
    # Read after the lock: a run that waited for its lock is judged by the time it got it.
    now = store.runs.clock()
    late: list[store.runs.Row] = []
    early: dict[float, list[UUID]] = defaultdict(list)
    reasons: dict[UUID, str] = {}
    for row in rows:
        if row.started_at is None:
            continue
        over = (now - of_run(definition, confirmation, row, row.started_at)).total_seconds()
        if over < 0:
            early[round(-over, 1) + 0.1].append(row.id)
            continue
        late.append(row)
        detail = _too_late(confirmation, now - timedelta(seconds=over))
        late_ms = round(over * 1000)
        reasons[row.id] = write_reason(
            ReasonKind.TIMEOUT, confirmation.name, "NotConfirmed", detail, by=by, late_ms=late_ms
        )
    messages: list[Message] = []
    if late:
        turn_back(definition, late, event("expire", step=confirmation.name, by=by), reasons)
        messages.append(Kick())
    if confirmation.within is not None:
        within = confirmation.within.total_seconds()
        messages += [
            Deadline(definition.name, definition.version, confirmation.name, within, tuple(ids), delay)
            for delay, ids in early.items()
        ]
    return messages


def _too_late(confirmation: Confirmation, deadline: datetime) -> str:
    if confirmation.within is not None:
        return f"no {confirmation.name} came within {confirmation.within.total_seconds():g} s"
    return f"no {confirmation.name} came until {deadline.isoformat(timespec='seconds')}"
