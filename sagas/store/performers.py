"""SQL of performers: a worker, and the participant that undoes what it has done. Log rows name both by a number.

The names would be a fifth of the log. A row has the names themselves where they are not on record yet, or where this
process has not looked for ``TRUSTED`` seconds whether they still are.

A performer is deleted when no row of the log can have its number any more. Nobody asks the log, which has no index of
these numbers: a process uses a number for ``TRUSTED`` seconds after it was on record, and for runs that were there
then. So a performer that was last on record before the oldest run began is nobody's. A process that was stopped for so
long looks anew, and gets a new number.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from django.db import connection

from sagas import runtime
from sagas.db import after_commit
from sagas.store.retention.pruning import floor_of
from sagas.store.runs import execute

#: Seconds for which a process uses a number without looking.
TRUSTED = 3600.0
#: How much later than it was last on record a performer may be named: in ``TRUSTED`` seconds, by clocks that differ.
MARGIN = timedelta(days=1)


def number_of(worker: str, compensate: str) -> int | None:
    """Return the number of a performer; ``None`` if it must be looked up. Then it is recorded after the commit.

    Not before: whoever else records it would wait for this transaction, which may wait for a lock of theirs.
    """
    number, until = runtime.memory.performers.get((worker, compensate), (None, 0.0))
    if number is not None and time.monotonic() < until:
        return number
    after_commit(_record, worker, compensate)
    return None


def _record(worker: str, compensate: str) -> None:
    """Record that a performer is there, in a transaction of its own, and remember its number."""
    now = time.monotonic()
    if runtime.memory.performers.get((worker, compensate), (0, 0.0))[1] > now or connection.in_atomic_block:
        return
    with connection.cursor() as cursor:
        # One that is there is not inserted again: that would use up a number each time.
        cursor.execute(
            "WITH seen AS (UPDATE sagas_performer SET seen_at = clock_timestamp() "
            "WHERE worker = %s AND compensate = %s RETURNING id), "
            "made AS (INSERT INTO sagas_performer (worker, compensate, seen_at) "
            "SELECT %s, %s, clock_timestamp() WHERE NOT EXISTS (SELECT FROM seen) ON CONFLICT DO NOTHING RETURNING id) "
            "SELECT id FROM seen UNION ALL SELECT id FROM made",
            [worker, compensate] * 2,
        )
        found = cursor.fetchone()
    # None if another process has recorded it during the statement: the next commit finds it.
    if found is not None:
        runtime.memory.performers[worker, compensate] = found[0], now + TRUSTED


def prune(now: datetime) -> int:
    """Delete performers that no row of the log can name; return how many.

    None of them where there are runs whose ids do not tell when they began.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT id FROM sagas_run ORDER BY id LIMIT 1), EXISTS (SELECT FROM sagas_run WHERE id >= %s)",
            [floor_of(now + MARGIN)],
        )
        first, others = cursor.fetchone()
    if others:
        return 0
    # An id that is no UUIDv7 and is lower than theirs seems to be older than any run: then none is deleted.
    oldest = now.timestamp() if first is None else min(now.timestamp(), (first.int >> 80) / 1000)
    return execute("DELETE FROM sagas_performer WHERE seen_at < to_timestamp(%s) - %s", [oldest, MARGIN])
