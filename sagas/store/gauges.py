"""SQL of the gauges: how things are now, in one query that reads a bounded number of rows by indexes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django.db import connection

from sagas.store.workers import SILENT

#: Rows of one kind that are read at most.
MOST = 20_000


class Found(NamedTuple):
    """One number. What ``first``, ``second`` and ``third`` are depends on ``kind``."""

    kind: str
    first: str
    second: str
    third: str
    number: float


#: Not below zero where a clock was set back.
_AGE = "GREATEST(EXTRACT(EPOCH FROM statement_timestamp() - {}), 0)::float8"

#: Escalated runs are not due, and are read by their open escalations.
LOOK = f"""
WITH live AS MATERIALIZED (
    SELECT saga, state, created_at, due_at, claims FROM sagas_run WHERE due_at IS NOT NULL ORDER BY due_at LIMIT {MOST}
), called AS MATERIALIZED (
    SELECT run.saga, e.step, COALESCE(e.error ->> 'kind', '') AS kind, e.created_at, e.acknowledged_at, run.created_at
        AS began FROM (SELECT * FROM sagas_escalation WHERE resolved_at IS NULL LIMIT {MOST}) AS e
    JOIN sagas_run AS run ON run.id = e.run_id
)
SELECT 'runs', saga, state, '', count(*)::float8 FROM live GROUP BY saga, state
UNION ALL SELECT 'oldest', saga, state, '', max({_AGE.format("created_at")}) FROM live GROUP BY saga, state
UNION ALL SELECT 'overdue', saga, state, '',
    COALESCE(max({_AGE.format("due_at")}) FILTER (WHERE claims = 0), 0) FROM live GROUP BY saga, state
UNION ALL SELECT 'capped', '', '', '', (count(*) = {MOST})::int FROM live
UNION ALL SELECT 'runs', saga, 'ESCALATED', '', count(*) FROM called GROUP BY saga
UNION ALL SELECT 'oldest', saga, 'ESCALATED', '', max({_AGE.format("began")}) FROM called GROUP BY saga
UNION ALL SELECT 'escalations', saga, step, kind, count(*) FROM called GROUP BY saga, step, kind
UNION ALL SELECT 'unseen', '', '', '', max({_AGE.format("created_at")}) FROM called WHERE acknowledged_at IS NULL
UNION ALL SELECT 'breaker', participant, step, '', 1 FROM sagas_breaker WHERE closed_at IS NULL
UNION ALL (SELECT 'outbox', '', '', '', {_AGE.format("occurred_at")} FROM sagas_outbox ORDER BY due_at LIMIT 1)
UNION ALL SELECT 'dead', '', '', '', count(*) FROM (
    SELECT 1 FROM sagas_queuedevent WHERE dead_at IS NOT NULL LIMIT {MOST}) AS dead
UNION ALL SELECT 'worker', name, queues, CASE WHEN beat_at < statement_timestamp() - interval '{SILENT} seconds'
    THEN 'silent' ELSE 'alive' END, 1 FROM sagas_worker
UNION ALL SELECT 'ticked', name, queues, '', {_AGE.format("ticked_at")} FROM sagas_worker WHERE ticked_at IS NOT NULL
UNION ALL SELECT 'delivered', name, queues, '', {_AGE.format("delivered_at")} FROM sagas_worker
    WHERE delivered_at IS NOT NULL
"""


def look() -> Sequence[Found]:
    """All numbers, as of one moment."""
    with connection.cursor() as cursor:
        cursor.execute(LOOK)
        return [Found(*row) for row in cursor.fetchall() if row[4] is not None]
