"""Judges on ticks whose error budget is spent too fast, and finds out why: the stage, its errors, and bad runs.

Who is told, and how, is the matter of ``sagas.escalations.burn_notices``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from sagas import runtime, store
from sagas.decisions import burn_rates
from sagas.decisions.burn_rates import Burn
from sagas.definition import registry
from sagas.definition.objectives import Objective
from sagas.observability.report import GAP
from sagas.store.burn_rates import Cause, Incident, Stage

logger = logging.getLogger(__name__)

#: Seconds between two judgements, by whichever process.
EVERY = 15.0
#: Seconds until this process tries again after one that broke.
PAUSE = 60.0
#: An incident is over when nothing has burned for so long.
CALM = timedelta(minutes=5)
#: An incident is over, too, when nobody has judged its objective for so long: it is declared no more.
FORGOTTEN = timedelta(hours=1)
#: The time before an incident with which its stages are compared.
BEFORE = timedelta(days=1)
#: Errors that an incident names, and runs of each.
NAMED, RUNS = 3, 5
#: A stage burns from the minute on in which a stay took so many times as long as before.
SLOWER = 2.0


def judge_on_tick() -> None:
    """Judge what burns, if it is time and no other process is at it. Never raises."""
    now = time.monotonic()
    if now < runtime.memory.burns_after:
        return
    try:
        runtime.memory.burns_after = now + (EVERY if judge() else 1.0)
    except Exception:
        logger.exception("sagas: burn rates could not be judged; the next try is in %g s", PAUSE)
        runtime.memory.burns_after = now + PAUSE


def judge(*, every: float = EVERY) -> bool:
    """Open, go on with and close incidents, in one transaction; return whether it was the time.

    Args:
        every: seconds since the last judgement, of any process, at least.
    """
    declared = registry.objectives()
    if not declared:
        return True
    with transaction.atomic(durable=True):
        at = store.burn_rates.take(every=every)
        if at is None:
            return False
        seen = store.burn_rates.windows(at, sorted(declared))
        known = store.burn_rates.open_incidents()
        for saga, objectives in sorted(declared.items()):
            for objective in objectives:
                key = saga, objective.name
                burns = burn_rates.burns(objective, seen.get(key, {}))
                _judge_one(saga, objective, burn_rates.fastest(burns), known.pop(key, None), at)
        for forgotten in known.values():
            if at - forgotten.burning_at >= FORGOTTEN:
                store.burn_rates.close_incident(forgotten)
    return True


def _judge_one(saga: str, objective: Objective, burn: Burn | None, incident: Incident | None, at: datetime) -> None:
    if burn is None:
        if incident is not None and at - incident.burning_at >= CALM:
            store.burn_rates.close_incident(incident)
    elif incident is not None:
        store.burn_rates.note_burning(incident, burn, at=at)
    else:
        since = _since(saga, objective, burn, at)
        stage, stage_since, evidence = find_evidence(saga, objective, since, at)
        store.burn_rates.open_incident(
            saga,
            objective.name,
            burn,
            at=at,
            since=since,
            stage=stage,
            stage_since=stage_since,
            evidence=evidence,
        )


def _since(saga: str, objective: Objective, burn: Burn, at: datetime) -> datetime:
    """The first of the bad minutes that follow each other closely until now."""
    minutes = store.burn_rates.bad_minutes(saga, objective.name, at - burn.pair.long, at)
    gap = max(GAP, burn.pair.short)
    found = minutes.pop()
    while minutes and found - minutes[-1] <= gap:
        found = minutes.pop()
    return found


def find_evidence(
    saga: str, objective: Objective, since: datetime, at: datetime
) -> tuple[str, datetime | None, dict[str, Any]]:
    """Find the stage in which bad runs have lost their time, since when it is slow, and what is known of the cause.

    Args:
        saga: whose.
        objective: the one that is missed.
        since: the minute in which the first bad run ended.
        at: the time up to which it is counted.
    """
    # A bad run was in its stages some time before it ended.
    begin = since - min(objective.within, timedelta(minutes=10)) - timedelta(minutes=1)
    begin = begin.replace(second=0, microsecond=0)
    now = store.burn_rates.stages(saga, begin, at)
    usual = store.burn_rates.stages(saga, begin - BEFORE, begin)
    stage = _slowest(now, usual)
    stage_since = _slow_since(saga, stage, usual, begin, at) if stage else None
    faults = store.burn_rates.causes(saga, "fault", begin, at, limit=NAMED, runs=RUNS)
    bad = store.burn_rates.causes(saga, "objective", since, at, limit=100, runs=RUNS)
    mine = [cause for cause in bad if cause.name == objective.name]
    evidence: dict[str, Any] = {
        "stage": None if stage is None else _told(now[stage], usual.get(stage)),
        "errors": [_error(cause) for cause in faults],
        "runs": [str(run_id) for cause in mine for run_id in cause.runs][: 2 * RUNS],
        "bad": {cause.code: cause.number for cause in mine},
    }
    return stage or "", stage_since, evidence


def _slowest(now: Mapping[str, Stage], usual: Mapping[str, Stage]) -> str | None:
    """The stage with the most time beyond what so many stays have taken before; ``None`` if none is slower."""
    lost = {name: stage.seconds - stage.number * _mean(usual.get(name)) for name, stage in now.items()}
    worst = max(lost, key=lambda name: (lost[name], name), default=None)
    return worst if worst is not None and lost[worst] > 0 else None


def _slow_since(saga: str, stage: str, usual: Mapping[str, Stage], begin: datetime, at: datetime) -> datetime:
    before = _mean(usual.get(stage))
    minutes = store.burn_rates.stage_minutes(saga, stage, begin, at)
    slow = (minute for minute, found in minutes if found.faults or _mean(found) > SLOWER * before)
    return next(slow, begin)


def _mean(stage: Stage | None) -> float:
    return stage.seconds / stage.number if stage is not None and stage.number else 0.0


def _told(now: Stage, usual: Stage | None) -> dict[str, Any]:
    return {
        "stays": now.number,
        "faults": now.faults,
        "mean_seconds": _mean(now),
        "usual_seconds": _mean(usual) if usual is not None else None,
    }


def _error(cause: Cause) -> dict[str, Any]:
    step, _, operation = cause.name.rpartition(".")
    lines = store.burn_rates.last_faults(cause.runs, step, operation)
    line = next((lines[run_id] for run_id in cause.runs if run_id in lines), None)
    return {
        "at": cause.name,
        "code": cause.code,
        "text": cause.text,
        "number": cause.number,
        "runs": [str(run_id) for run_id in cause.runs],
        "line": None
        if line is None
        else {"run": str(line.run_id), "at": line.at.isoformat(), "attempt": line.attempt, "detail": line.detail},
    }
