"""Passes over what changed, and over everything once in a while: each tick of a worker checks a few parts.

A part is claimed by moving the time at which its pass goes on, checked, and written with how far the pass has come, in
one transaction. A worker that dies in it leaves the pass where it was, and another one goes on when the lease is over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection, transaction

from orders.reconciliation import checking, findings, incidents
from orders.reconciliation.checking import Part
from orders.reconciliation.invariants import INVARIANTS, by_walk
from sagas import on_tick
from sagas.db import array
from sagas.invariants import RUNS, Invariant, Walk

logger = logging.getLogger(__name__)

#: What a tick may take, in seconds, and how long a process does not ask again when nothing was due.
BUDGET, QUIET = 0.5, 5.0
#: So long a part is left to the worker that has claimed it.
LEASE = timedelta(minutes=2)
#: Milliseconds for a statement of a tick. The sums of a pool with more holds are left to the command.
PATIENCE = 10_000
#: Ids are made before they are committed: so much further back a pass looks.
LATE = timedelta(minutes=2)
#: The newest rows that a pass over what changed looks at, where the key is a number and not a time.
NEWEST = 2000
#: Between two parts of the pass over everything, which begins again after a day.
PAUSE, AGAIN = timedelta(seconds=20), timedelta(days=1)

_CHANGED, _WHOLE = "changed", "whole"


@dataclass(frozen=True, slots=True)
class _Claim:
    """A pass that this worker goes on with."""

    name: str
    after: str
    since: datetime
    began_at: datetime | None


@on_tick
def sweep() -> int:
    """Check the parts that are due, for half a second at most; return how many. One small statement where none is."""
    return _sweeper().sweep()


class Sweeper:
    """A process's memory of when it last found nothing due, and that the passes are on record."""

    def __init__(self) -> None:
        self.quiet_until = 0.0
        self.known = False

    def sweep(self) -> int:
        """Check what is due; return how many parts were."""
        every = float(settings.RECONCILE_SECONDS)
        if not every or time.monotonic() < self.quiet_until:
            return 0
        if not self.known:
            begin()
            self.known = True
        done, until = 0, time.monotonic() + BUDGET
        while time.monotonic() < until:
            claim = _claim()
            if claim is None:
                self.quiet_until = time.monotonic() + QUIET
                break
            go_on(claim, timedelta(seconds=every))
            done += 1
        if done:
            incidents.close_resolved()
        return done


@cache
def _sweeper() -> Sweeper:
    return Sweeper()


def over_everything(invariants: Sequence[Invariant] = INVARIANTS) -> Iterator[Part]:
    """Check everything now, part by part; what is found of a part is written before it is given out."""
    at = findings.clock()
    for part in checking.check_all(invariants):
        with transaction.atomic():
            names = [invariant.name for invariant in part.invariants]
            incidents.open_for(findings.record(part.keys, names, part.violations, at))
        yield part
        at = findings.clock()


def begin() -> None:
    """Put the passes on record that are not. The first looks at what changes from now on."""
    names = [f"{kind} {walk.name}" for kind in (_CHANGED, _WHOLE) for walk in by_walk()]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orders_reconciliationpass (name, after, since, next_at) SELECT name, '', clock_timestamp(), "
            "clock_timestamp() FROM unnest(%s::text[]) AS name ORDER BY 1 ON CONFLICT DO NOTHING",
            [array(names)],
        )


def _claim() -> _Claim | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orders_reconciliationpass SET next_at = clock_timestamp() + %s * interval '1 second', "
            "began_at = COALESCE(began_at, clock_timestamp()) WHERE name = ("
            "SELECT name FROM orders_reconciliationpass WHERE next_at <= clock_timestamp() ORDER BY next_at LIMIT 1 "
            "FOR UPDATE SKIP LOCKED) RETURNING name, after, since, began_at",
            [LEASE.total_seconds()],
        )
        found = cursor.fetchone()
    return None if found is None else _Claim(*found)


def go_on(claim: _Claim, every: timedelta) -> Part | None:
    """Check the next part of a pass, and write what was found and how far it has come.

    Returns:
        The part; ``None`` if its statements took too long, or its invariants are gone.
    """
    kind, _, name = claim.name.partition(" ")
    walk, invariants = next(((w, of_it) for w, of_it in by_walk().items() if w.name == name), (None, []))
    if walk is None:
        return None
    try:
        with transaction.atomic():
            part, last = _check_next(kind, walk, invariants, claim)
            _advance(kind, claim, last, every)
    except OperationalError as error:
        if not connection.is_usable():
            raise
        logger.warning("reconciliation: %s was given up, and is tried again: %s", claim.name, str(error).strip())
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE orders_reconciliationpass SET next_at = clock_timestamp() + %s * interval '1 second' "
                "WHERE name = %s",
                [max(every, LEASE).total_seconds(), claim.name],
            )
        return None
    for violation in part.violations:
        logger.error("reconciliation: %s: %s (run %s)", violation.invariant, violation.row, violation.run_id)
    return part


def _check_next(kind: str, walk: Walk, invariants: Sequence[Invariant], claim: _Claim) -> tuple[Part, str]:
    at = findings.clock()
    size = checking.size_of(walk)
    found = _changed(walk, claim, size) if kind == _CHANGED else checking.keys_after(walk, claim.after, size)
    last = found[-1] if len(found) == size else ""
    names = [invariant.name for invariant in invariants]
    # What was found before is looked at again, wherever the pass is.
    keys = [*found, *(_open(names, set(found)) if kind == _CHANGED and not last else ())]
    violations = checking.check(keys, invariants, patience=PATIENCE)
    incidents.open_for(findings.record(keys, names, violations, at))
    if walk == RUNS and kind == _CHANGED:
        _forget_ended(keys)
    return Part(walk, keys, invariants, violations), last


def _changed(walk: Walk, claim: _Claim, most: int) -> list[str]:
    """The next keys of a walk of which rows may have changed since the last pass.

    Of runs: those that began since, that have not ended, and that had not ended when they were last checked. Of other
    keys that grow with time the new ones, and of others all: there are few.
    """
    if walk == RUNS:
        _watch()
    since = claim.since - LATE
    if not walk.grows:
        return checking.keys_after(walk, claim.after, most)
    params: dict[str, Any] = {"after": claim.after, "most": most, "since": int(since.timestamp() * 1000)}
    beyond = f"AND {walk.column} > %(after)s::{walk.type}" if claim.after else ""
    if walk.type == "uuid":
        new = (
            f"SELECT {walk.column} AS key FROM {walk.table} WHERE {walk.column} >= "
            f"(lpad(to_hex(%(since)s), 12, '0') || repeat('0', 20))::uuid {beyond}"
        )
    else:
        new = (
            f"SELECT {walk.column} AS key FROM (SELECT {walk.column} FROM {walk.table} ORDER BY {walk.column} DESC "
            f"LIMIT {NEWEST}) AS newest WHERE true {beyond}"
        )
    if walk == RUNS:
        new += f" UNION SELECT run_id FROM orders_watchedrun WHERE true {beyond.replace('AND id', 'AND run_id')}"
    return checking.texts(f"SELECT key::text FROM ({new}) AS new GROUP BY key ORDER BY new.key LIMIT %(most)s", params)


def _watch() -> None:
    """Note the runs that have not ended: when they have, they have changed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orders_watchedrun (run_id) SELECT id FROM sagas_run WHERE due_at IS NOT NULL UNION "
            "SELECT run_id FROM sagas_escalation WHERE resolved_at IS NULL ORDER BY 1 ON CONFLICT DO NOTHING"
        )


def _forget_ended(keys: Sequence[str]) -> None:
    """Watch those of the runs no more that had ended when they were checked.

    One that has ended a moment ago is watched on: it may have been committed after it was checked.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM orders_watchedrun AS watched WHERE run_id = ANY(%s::text[]::uuid[]) AND NOT EXISTS ("
            "SELECT FROM sagas_run WHERE id = watched.run_id AND (state NOT IN ('SUCCEEDED', 'FAILED') "
            "OR finished_at > transaction_timestamp() - interval '2 minutes'))",
            [array(keys)],
        )


def _open(names: Sequence[str], but: set[str]) -> list[str]:
    """Keys at which something was found that is open."""
    found = checking.texts(
        "SELECT DISTINCT key FROM orders_finding WHERE resolved_at IS NULL AND invariant = ANY(%(names)s::text[]) "
        "ORDER BY key LIMIT 1000",
        {"names": array(names)},
    )
    return [key for key in found if key not in but]


def _advance(kind: str, claim: _Claim, last: str, every: timedelta) -> None:
    """Write how far the pass has come. One that is through begins again later, with what changed since it began."""
    within, between = (PAUSE, AGAIN) if kind == _WHOLE else (timedelta(0), every)
    pause = within if last else between
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orders_reconciliationpass SET after = %s, next_at = clock_timestamp() + %s * interval '1 second', "
            "since = CASE WHEN %s THEN since ELSE began_at END, began_at = CASE WHEN %s THEN began_at END "
            "WHERE name = %s",
            [last, pause.total_seconds(), bool(last), bool(last), claim.name],
        )
