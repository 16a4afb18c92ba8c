"""SQL of claims: which runs are due, their leases, and how old the backlog is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from sagas import hooks
from sagas.conf import config
from sagas.db import uuid_array
from sagas.states import State
from sagas.store.runs import COLUMNS, SEEN, Row, execute, notify_hooks, rows_of

#: Asked with the claim, so that breakers cost no statement while none is open.
_GUARDED = "EXISTS (SELECT 1 FROM sagas_breaker WHERE closed_at IS NULL)"

_NOT_NEW = "AND state <> 'PENDING'"

#: Saga, version, shape, state, cursor and fork of runs that are left to other processes; see ``sagas.engine.claiming``.
Foreign = tuple[str, int, int, str, int, int]

#: Only for the time of a lease. If no other process has taken them by then, they are claimed and counted.
_NOT_FOREIGN = (
    "AND (due_at <= now() - %s OR (saga, version, shape, state, cursor, fork) NOT IN "
    "(SELECT * FROM unnest(%s::text[], %s::int[], %s::int[], %s::text[], %s::int[], %s::bigint[])))"
)


def lock_due(limit: int, *, lapsed: bool, begin: bool, foreign: Collection[Foreign] = ()) -> list[Row]:
    """Lock up to ``limit`` due runs that no other transaction is claiming, the longest due first.

    Args:
        limit: runs at most.
        lapsed: take runs whose lease ran out, instead of those that were never claimed since their last move.
        begin: take runs too that have not begun.
        foreign: kinds of runs to leave to others for the time of a lease.
    """
    others: list[Any] = []
    if foreign:
        others = [timedelta(seconds=config().lease), *(list(column) for column in zip(*foreign, strict=True))]
    claims = ">" if lapsed else "="
    # now(), not clock_timestamp(): only a stable function can use the index on due_at.
    return rows_of(
        f"SELECT {COLUMNS}, {_GUARDED} FROM sagas_run WHERE due_at <= now() "
        f"AND claims {claims} 0 {'' if begin else _NOT_NEW} "
        f"{_NOT_FOREIGN if foreign else ''} ORDER BY due_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED",
        [*others, limit],
    )


def lease(ids: Sequence[UUID], *, begin: bool, within: float | None = None) -> None:
    """Give claimed runs a lease, doubled with every claim without progress.

    Args:
        ids: runs that the caller has locked.
        begin: whether PENDING runs begin now. They do not in a process that does not know their saga.
        within: seconds from the beginning to the first confirm deadline; ``None`` for no deadline.
    """
    start = (
        ", state = CASE run.state WHEN 'PENDING' THEN 'EXECUTING' ELSE run.state END, "
        "started_at = COALESCE(run.started_at, clock_timestamp()), "
        "deadline = COALESCE(run.deadline, clock_timestamp() + %s)"
    )
    params = [
        timedelta(seconds=config().lease),
        *([None if within is None else timedelta(seconds=within)] if begin else []),
        uuid_array(ids),
    ]
    if begin and hooks.is_watched(State.PENDING, State.EXECUTING):
        _begin_watched(start, params)
        return
    execute(f"{_LEASE}{start if begin else ''} WHERE run.id = ANY(%s::uuid[])", params)


_LEASE = (
    "UPDATE sagas_run AS run SET claims = run.claims + 1, "
    "due_at = clock_timestamp() + %s * power(2, LEAST(run.claims, 16))"
)


def _begin_watched(start: str, params: Sequence[Any]) -> None:
    """Give a lease, and call the hooks for the runs that begin with it: those that were PENDING under our lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_LEASE}{start} FROM sagas_run AS was WHERE was.id = run.id AND run.id = ANY(%s::uuid[]) "
            f"RETURNING {SEEN}, was.state",
            params,
        )
        begun = [seen for *seen, was in cursor.fetchall() if was == State.PENDING]
    notify_hooks(State.PENDING, State.EXECUTING, begun)


def release_leases(ids: Sequence[UUID]) -> None:
    """Give back leases whose messages could not be published: the runs are due again after a tick.

    A run of which nothing is done has not begun: its confirm deadline must not pass while the broker is away. But a
    broker that was only slow to confirm may have the message, and then the steps are done all the same. Such a run
    begins when it waits for its confirmations.
    """
    untouched = "run.state = 'EXECUTING' AND run.cursor = 0 AND run.attempt = 0 AND run.claims = 1"
    execute(
        "UPDATE sagas_run AS run SET claims = run.claims - 1, due_at = clock_timestamp() + %s, "
        f"started_at = CASE WHEN {untouched} THEN NULL ELSE run.started_at END, "
        f"deadline = CASE WHEN {untouched} THEN NULL ELSE run.deadline END "
        "FROM (SELECT id FROM sagas_run WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE) AS mine "
        "WHERE run.id = mine.id AND run.due_at IS NOT NULL AND run.claims > 0",
        [timedelta(seconds=config().tick), uuid_array(ids)],
    )


#: Runs that could have begun. Not those in line at a business key: they wait for another run, not for a worker.
_BACKLOG = (
    "FROM sagas_run AS run WHERE due_at <= now() AND state = 'PENDING' "
    "AND (NOT locked OR NOT EXISTS (SELECT FROM sagas_lock AS mine JOIN sagas_lock AS other "
    "ON other.key = mine.key AND other.ticket < mine.ticket WHERE mine.run_id = run.id))"
)


def backlog_age() -> float:
    """Seconds that the oldest run has waited that could have begun; 0 if none waits."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(due_at)), 0)::float8 FROM ("
            f"SELECT due_at {_BACKLOG} ORDER BY due_at LIMIT 1) AS oldest"
        )
        (age,) = cursor.fetchone()
    return max(float(age), 0.0)


def backlog() -> tuple[int, float]:
    """How many runs could have begun, and how many seconds the oldest has waited. Slow: it counts every row."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {_BACKLOG}")
        (count,) = cursor.fetchone()
    return int(count), backlog_age()
