"""Time-outs of the forward steps: of one step, and of all of them. Both turn a run back.

Judged when a step is about to be performed, when an attempt of it has failed, and when a claim finds the run: not
in the middle of a participant, which holds the run's lock. Sagas without time-outs pay nothing for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sagas import store
from sagas.decisions import plan
from sagas.decisions.messages import Kick, Message
from sagas.decisions.reasons import LAST_ATTEMPT, ReasonKind, write_reason
from sagas.definition.events import TIMEOUT
from sagas.definition.participants import Phase
from sagas.engine.compensation import event, turn_back
from sagas.states import State
from sagas.store.locked_runs import LockedRun, by_place


def give_up_late(runs: Sequence[LockedRun]) -> tuple[list[LockedRun], list[Message]]:
    """Turn back those locked runs whose time is over.

    Returns:
        The others, and what must be published after the commit.
    """
    limits = limits_of(runs)
    if not limits:
        return list(runs), []
    now = store.runs.clock()
    late = [run for run in runs if run.id in limits and limits[run.id][0] <= now]
    if not late:
        return list(runs), []
    reasons = {run.id: reason(*limits[run.id], now) for run in late}
    for step in {limits[run.id][1] for run in late}:
        turn_back([run for run in late if limits[run.id][1] == step], event(TIMEOUT, step=step), reasons)
    return [run for run in runs if run.id not in reasons], [Kick()]


def limits_of(runs: Sequence[LockedRun]) -> dict[UUID, tuple[datetime, str]]:
    """Until when each of these runs may take over its forward steps, and whose time-out that is.

    Runs that have no limit, have not begun, or are past turning back, are left out.
    """
    found: dict[UUID, tuple[datetime, str]] = {}
    for definition, place, rows in by_place([run for run in runs if run.definition.has_timeouts]):
        if place.state is not State.EXECUTING:
            continue
        steps = [definition.steps[index] for index, phase in plan.current(definition, place) if phase is Phase.FORWARD]
        timed = [(step.timeout, step.name) for step in steps if step.timeout is not None]
        since = store.log.arrived([row.id for row in rows], [step.name for step in steps]) if timed else {}
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


def reason(limit: datetime, step: str, now: datetime, cause: str = "") -> str:
    """Write why a run is undone whose time is over. ``cause``, what had broken before, is for operators."""
    detail = f"{step or 'the steps'} took too long"
    told = f"{detail}{LAST_ATTEMPT}{cause}" if cause else detail
    late_ms = max(0, round((now - limit).total_seconds() * 1000))
    return write_reason(ReasonKind.TIMEOUT, step, "TimedOut", told, message=detail if cause else "", late_ms=late_ms)
