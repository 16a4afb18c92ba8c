"""SQL of the overview: what is under way now, in statements that read a bounded number of rows by indexes.

Times, not ages: what has not changed is the same text at every look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from sagas.store.gauges import MOST


class Standing(NamedTuple):
    """Runs that stand at one place: how many, and since when.

    Attributes:
        oldest: when the first of them was started.
        overdue: since when the one is due that nobody has claimed for longest; ``None`` if none is.
        retried: how many have failed at this place, and are tried again.
        lapsed: how many were claimed, and were not moved within their lease.
    """

    saga: str
    version: int
    shape: int
    state: str
    cursor: int
    fork: int
    number: int
    oldest: datetime
    overdue: datetime | None
    retried: int
    lapsed: int


class Called(NamedTuple):
    """Open escalations of one place: how many, for whom, and since when."""

    saga: str
    step: str
    kind: str
    assignee: str
    number: int
    oldest: datetime


class OpenBreaker(NamedTuple):
    """A participant that is not called."""

    participant: str
    opened_at: datetime
    probe_at: datetime


class Ended(NamedTuple):
    """Runs of a saga that ended in the last hour."""

    saga: str
    state: str
    number: int


class WorkerSeen(NamedTuple):
    """What a worker last said of itself."""

    name: str
    beat_at: datetime
    silent: bool
    ticked_at: datetime | None
    delivered_at: datetime | None
    busy: int
    stalled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Seen:
    """All of it, and the database's time of the first statement.

    Attributes:
        capped: whether more runs are under way than were read: then only the longest due are counted.
        outbox: since when the oldest event waits that is not published.
        dead_events: events that a listener could not take, where there is no broker.
    """

    at: datetime
    standings: Sequence[Standing]
    capped: bool
    called: Sequence[Called]
    breakers: Sequence[OpenBreaker]
    ended: Sequence[Ended]
    workers: Sequence[WorkerSeen]
    outbox: datetime | None
    dead_events: int


#: Before this nobody is late: a tick comes every second.
_LATE = "statement_timestamp() - interval '5 seconds'"
_STANDINGS = f"""
WITH live AS MATERIALIZED (
    SELECT saga, version, shape, state, cursor, fork, attempt, claims, created_at, due_at
    FROM sagas_run WHERE due_at IS NOT NULL ORDER BY due_at LIMIT {MOST}
)
SELECT saga, version, shape, state, cursor, fork, count(*), min(created_at),
    min(due_at) FILTER (WHERE claims = 0 AND due_at < {_LATE} AND state <> 'AWAITING_CONFIRM'),
    count(*) FILTER (WHERE attempt > 0), count(*) FILTER (WHERE claims > 0 AND due_at < {_LATE})
FROM live GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
"""
_CALLED = f"""
SELECT run.saga, e.step, COALESCE(e.error ->> 'kind', ''), e.assignee, count(*), min(e.created_at)
FROM (SELECT * FROM sagas_escalation WHERE resolved_at IS NULL LIMIT {MOST}) AS e
JOIN sagas_run AS run ON run.id = e.run_id GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
_ENDED = """
SELECT saga, outcome, sum(number)::bigint FROM sagas_levelminute
WHERE saga = ANY(%s) AND subject = 'run' AND minute >= date_trunc('minute', statement_timestamp() - interval '1 hour')
GROUP BY 1, 2 ORDER BY 1, 2
"""
_WORKERS = """
SELECT name, beat_at, beat_at < statement_timestamp() - %s * interval '1 second', ticked_at, delivered_at, busy,
    stalled_at
FROM sagas_worker ORDER BY name LIMIT 500
"""
_REST = f"""
SELECT statement_timestamp(), (SELECT occurred_at FROM sagas_outbox ORDER BY due_at LIMIT 1),
    (SELECT count(*) FROM (SELECT FROM sagas_queuedevent WHERE dead_at IS NOT NULL LIMIT {MOST}) AS dead)
"""


def standings() -> list[Standing]:
    """Where the runs under way stand: no more of them than ``MOST`` are counted, those that are due first."""
    with connection.cursor() as cursor:
        cursor.execute(_STANDINGS)
        return [Standing(*row) for row in cursor.fetchall()]


def look(sagas: Sequence[str], *, silent: float) -> Seen:
    """Look at what is under way.

    Args:
        sagas: of which it is counted what has ended.
        silent: seconds without a heartbeat after which a worker counts as silent.
    """
    with connection.cursor() as cursor:
        cursor.execute(_REST)
        at, outbox, dead_events = cursor.fetchone()
        cursor.execute(_STANDINGS)
        standings = [Standing(*row) for row in cursor.fetchall()]
        cursor.execute(_CALLED)
        called = [Called(*row) for row in cursor.fetchall()]
        cursor.execute(
            "SELECT participant, opened_at, probe_at FROM sagas_breaker WHERE closed_at IS NULL ORDER BY participant"
        )
        breakers = [OpenBreaker(*row) for row in cursor.fetchall()]
        cursor.execute(_ENDED, [list(sagas)])
        ended = [Ended(*row) for row in cursor.fetchall()]
        cursor.execute(_WORKERS, [silent])
        workers = [WorkerSeen(*row) for row in cursor.fetchall()]
    capped = sum(standing.number for standing in standings) >= MOST
    return Seen(at, standings, capped, called, breakers, ended, workers, outbox, dead_events)
