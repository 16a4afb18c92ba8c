"""SQL that counts runs that have ended, for service levels: along the log's ids, each run once, by minute.

Ids of the log commit out of order. So a bound is set first; some seconds later, when every row of an id below it has at
least its transaction, the number of a transaction is noted; and the rows are counted when none older than that is open.
One row is the cursor. Whoever locks it counts, in one transaction with the cursor's move. The rows only say which runs
to look at; ``sagas_countedrun`` says which were counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from sagas import limits
from sagas.db import uuid_array
from sagas.store.runs import execute

#: The bounds of times, in seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)

#: In the text of an error, what is another one in each run: words with a digit in them.
NUMBERS = "[[:alnum:]_-]*[0-9][[:alnum:]_.:-]*"
#: The most characters of an example's code, and of its text.
CODE, TEXT = limits.CODE, limits.FINGERPRINT
#: Of each stage and minute, one transaction keeps so many kinds of errors, the most frequent ones.
KINDS = 20

#: Up to which time runs are counted. Where counting is held up, that time stands still.
UNTIL = "CASE WHEN upto IS NULL THEN clock_timestamp() ELSE armed_at END"

#: Minutes are kept for a week, then the hours for four hundred days.
MINUTES_FOR, HOURS_FOR = "8 days", "400 days"

_KEY = "saga, subject, minute, name, outcome, bucket"
_LAST = "COALESCE(pg_sequence_last_value(pg_get_serial_sequence('sagas_log', 'id')), 0)"


@dataclass(frozen=True, slots=True)
class Shape:
    """The runs of a shape await their confirmations when so many steps are done; never, if it is -1."""

    saga: str
    version: int
    shape: int
    steps: int


@dataclass(frozen=True, slots=True)
class Level:
    """An objective: within how many seconds a run is good."""

    saga: str
    name: str
    within: float


@dataclass(frozen=True, slots=True)
class Count:
    """A number of runs or stays of one minute, and how many of ``BOUNDS`` their time had reached."""

    saga: str
    subject: str
    minute: datetime
    name: str
    outcome: str
    bucket: int
    number: int
    seconds: float


def take(*, lag: float, chunk: int) -> tuple[int, int] | None:
    """Lock the cursor, and return the ids of the log that can be counted, the first one exclusive.

    ``None`` if another process is counting, or if it is too early. What has to be noted for later is written.

    Args:
        lag: seconds for which a row may be without its transaction's number: between two instructions of an INSERT.
        chunk: ids at most.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT upto IS NULL AND after >= {_LAST} FROM sagas_levelcursor WHERE id = 1")
        if (found := cursor.fetchone()) is not None and found[0]:
            return None  # An idle system writes nothing.
        if found is None:
            cursor.execute(
                f"INSERT INTO sagas_levelcursor (id, since, after) VALUES (1, clock_timestamp(), {_LAST}) "
                "ON CONFLICT DO NOTHING"
            )
        cursor.execute(
            "SELECT after, upto, horizon, armed_at <= clock_timestamp() - %s * interval '1 second' "
            "FROM sagas_levelcursor WHERE id = 1 FOR UPDATE SKIP LOCKED",
            [lag],
        )
        if (row := cursor.fetchone()) is None:
            return None
        after, upto, horizon, ripe = row
        if upto is None:
            cursor.execute(
                f"UPDATE sagas_levelcursor SET upto = {_LAST}, armed_at = clock_timestamp(), horizon = NULL "
                f"WHERE id = 1 AND after < {_LAST}"
            )
            return None
        if horizon is None:
            if ripe:
                # Of this transaction: each one that has inserted a row below the bound has an older number, or ended.
                cursor.execute("UPDATE sagas_levelcursor SET horizon = pg_current_xact_id()::text::bigint WHERE id = 1")
            return None
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= %s", [horizon])
        if not cursor.fetchone()[0]:
            return None
        return after, min(upto, after + chunk)


def leave(upto: int) -> None:
    """Rows up to this id are counted. If that was the bound, the next one is set."""
    bound = f"CASE WHEN upto > %s THEN upto WHEN {_LAST} > %s THEN {_LAST} END"
    execute(
        f"UPDATE sagas_levelcursor SET after = %s, upto = {bound}, horizon = CASE WHEN upto > %s THEN horizon END, "
        "armed_at = CASE WHEN upto > %s THEN armed_at ELSE clock_timestamp() END WHERE id = 1",
        [upto] * 5,
    )


def take_ended(after: int, upto: int) -> list[UUID]:
    """Note that the runs are counted that have ended, and of which the log has rows in this range; return their ids."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH touched AS MATERIALIZED (SELECT DISTINCT run_id FROM sagas_log WHERE id > %s AND id <= %s) "
            "INSERT INTO sagas_countedrun (run_id) SELECT run.id FROM touched JOIN sagas_run AS run "
            "ON run.id = touched.run_id WHERE run.state IN ('SUCCEEDED', 'FAILED') "
            "AND run.finished_at >= (SELECT since FROM sagas_levelcursor WHERE id = 1) "
            "ORDER BY run.id ON CONFLICT DO NOTHING RETURNING run_id",
            [after, upto],
        )
        return [run_id for (run_id,) in cursor.fetchall()]


def shapes(ids: Sequence[UUID]) -> list[tuple[str, int, int]]:
    """The saga, version and shape of runs, each once."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT saga, version, shape FROM sagas_run WHERE id = ANY(%s::uuid[])", [uuid_array(ids)]
        )
        return list(cursor.fetchall())


#: What ends a wait for confirmations, and what is never within one.
_ENDS = "'confirmation', 'expire', 'cancel', 'refuse'"
_TURNS = "'expire', 'refuse', 'timeout', 'cancel', 'confirm', 'compensate'"

_COUNT = f"""
WITH chosen AS (
    SELECT run.id, run.saga, run.state, run.created_at, run.started_at, run.finished_at, shape.steps,
        EXISTS (SELECT FROM sagas_escalation AS e WHERE e.run_id = run.id) AS person
    FROM sagas_run AS run
    LEFT JOIN unnest(%(sagas)s::text[], %(versions)s::int[], %(shapes)s::int[], %(steps)s::int[])
        AS shape(saga, version, shape, steps)
        ON (shape.saga, shape.version, shape.shape) = (run.saga, run.version, run.shape)
    WHERE run.id = ANY(%(ids)s::uuid[])
), entries AS (
    SELECT c.id AS run_id, c.saga, c.steps, c.created_at, l.id, l.step, l.operation, l.outcome, l.at,
        CASE WHEN l.outcome = 'FAULT' THEN l.data END AS error
    FROM chosen AS c JOIN sagas_log AS l ON l.run_id = c.id
    WHERE l.at <= c.finished_at + interval '1 second' AND NOT (l.outcome = 'EVENT' AND l.operation = 'erase')
    UNION ALL
    SELECT id, saga, steps, created_at, 0, '', 'claim', 'EVENT', started_at, NULL FROM chosen
    WHERE started_at IS NOT NULL
), timeline AS (
    SELECT *, GREATEST(0, EXTRACT(EPOCH FROM at - COALESCE(lag(at) OVER w, created_at)))::float8 AS stay,
        outcome = 'EVENT' AND operation IN ({_ENDS}) AND steps >= 0
        AND count(*) FILTER (WHERE outcome = 'DONE' AND operation IN ('forward', 'try')) OVER before >= steps
        AND NOT COALESCE(bool_or(operation IN ({_TURNS})) OVER before, false) AS waited
    FROM entries
    WINDOW w AS (PARTITION BY run_id ORDER BY at, id),
        before AS (PARTITION BY run_id ORDER BY at, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), whole AS (
    SELECT c.*, GREATEST(0, EXTRACT(EPOCH FROM c.finished_at - c.created_at) - t.waiting)::float8 AS took,
        GREATEST(0, EXTRACT(EPOCH FROM c.finished_at - COALESCE(t.turned, t.broke)))::float8 AS undoing
    FROM chosen AS c JOIN (
        SELECT run_id, COALESCE(sum(stay) FILTER (WHERE waited), 0) AS waiting,
            min(at) FILTER (WHERE outcome = 'REJECTED' OR outcome = 'EVENT'
                AND operation IN ('expire', 'refuse', 'timeout', 'cancel')) AS turned,
            max(at) FILTER (WHERE outcome = 'FAULT' AND operation IN ('forward', 'try')) AS broke
        FROM timeline GROUP BY run_id
    ) AS t ON t.run_id = c.id
), judged AS (
    SELECT whole.id AS run_id, whole.saga, finished_at AS at, level.name, took AS seconds,
        CASE WHEN person THEN 'person' WHEN took > level.within THEN 'late' ELSE 'good' END AS outcome
    FROM whole JOIN unnest(%(level_sagas)s::text[], %(level_names)s::text[], %(withins)s::float8[])
        AS level(saga, name, within) ON level.saga = whole.saga
), facts AS (
    SELECT saga, 'stage' AS subject, at,
        CASE WHEN outcome = 'EVENT' THEN operation ELSE step || '.' || operation END AS name,
        CASE WHEN waited THEN 'WAITED' ELSE outcome END AS outcome, stay AS seconds FROM timeline
    UNION ALL SELECT saga, 'run', finished_at, '', state, took FROM whole
    UNION ALL SELECT saga, 'undo', finished_at, '', state, undoing FROM whole WHERE state = 'FAILED'
        AND undoing IS NOT NULL
    UNION ALL SELECT saga, 'objective', at, name, outcome, seconds FROM judged
), examples AS (
    SELECT saga, 'fault' AS subject, at, step || '.' || operation AS name,
        left(COALESCE(error ->> 'code', ''), {CODE}) AS code,
        left(regexp_replace(COALESCE(error ->> 'detail', ''), %(numbers)s, '#', 'g'), {TEXT}) AS text, run_id
    FROM timeline WHERE outcome = 'FAULT'
    UNION ALL SELECT saga, 'objective', at, name, outcome, '', run_id FROM judged WHERE outcome <> 'good'
), kinds AS (
    SELECT saga, subject, date_trunc('minute', at) AS minute, name, code, text, count(*) AS number,
        (array_agg(run_id ORDER BY at DESC))[1] AS run_id,
        row_number() OVER (PARTITION BY saga, subject, date_trunc('minute', at), name ORDER BY count(*) DESC) AS place
    FROM examples GROUP BY saga, subject, date_trunc('minute', at), name, code, text
), kept AS (
    INSERT INTO sagas_levelexample AS mine (saga, subject, minute, fingerprint, name, code, text, number, run_id)
    SELECT saga, subject, minute, md5(concat_ws(chr(31), name, code, text))::uuid AS fingerprint, name, code, text,
        number, run_id
    FROM kinds WHERE place <= {KINDS} ORDER BY saga, subject, minute, fingerprint
    ON CONFLICT (saga, subject, minute, fingerprint) DO UPDATE SET number = mine.number + EXCLUDED.number,
        run_id = EXCLUDED.run_id
)
INSERT INTO sagas_levelminute AS mine ({_KEY}, number, seconds)
SELECT saga, subject, date_trunc('minute', at) AS minute, name, outcome,
    width_bucket(seconds, %(bounds)s::float8[]) AS bucket, count(*), sum(seconds)
FROM facts GROUP BY {_KEY} ORDER BY {_KEY}
ON CONFLICT ({_KEY}) DO UPDATE SET number = mine.number + EXCLUDED.number, seconds = mine.seconds + EXCLUDED.seconds
"""


def count(ids: Sequence[UUID], known: Iterable[Shape], levels: Iterable[Level]) -> None:
    """Add runs that have ended to the minutes in which they did, and their log rows to theirs."""
    known, levels = list(known), list(levels)
    params: dict[str, Any] = {
        "ids": uuid_array(ids),
        "sagas": [one.saga for one in known],
        "versions": [one.version for one in known],
        "shapes": [one.shape for one in known],
        "steps": [one.steps for one in known],
        "level_sagas": [one.saga for one in levels],
        "level_names": [one.name for one in levels],
        "withins": [one.within for one in levels],
        "bounds": list(BOUNDS),
        "numbers": NUMBERS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, params)


def fold() -> None:
    """Add old minutes up to hours, and delete old hours, once an hour. The cursor is locked."""
    if not execute(
        "UPDATE sagas_levelcursor SET folded_at = clock_timestamp() "
        "WHERE id = 1 AND folded_at < clock_timestamp() - interval '1 hour'",
        [],
    ):
        return
    execute(f"DELETE FROM sagas_levelminute WHERE minute < now() - interval '{HOURS_FOR}'", [])
    execute(f"DELETE FROM sagas_levelexample WHERE minute < now() - interval '{MINUTES_FOR}'", [])
    execute(f"DELETE FROM sagas_burnincident WHERE closed_at < now() - interval '{HOURS_FOR}'", [])
    # Only whole hours: a minute that is folded never becomes a row that is folded again.
    execute(
        "WITH gone AS (DELETE FROM sagas_levelminute "
        f"WHERE minute < date_trunc('hour', now() - interval '{MINUTES_FOR}') "
        "AND minute <> date_trunc('hour', minute) RETURNING *) "
        f"INSERT INTO sagas_levelminute AS mine ({_KEY}, number, seconds) "
        "SELECT saga, subject, date_trunc('hour', minute) AS minute, name, outcome, bucket, sum(number), sum(seconds) "
        f"FROM gone GROUP BY saga, subject, date_trunc('hour', minute), name, outcome, bucket ORDER BY {_KEY} "
        f"ON CONFLICT ({_KEY}) DO UPDATE SET number = mine.number + EXCLUDED.number, "
        "seconds = mine.seconds + EXCLUDED.seconds",
        [],
    )


def counts(since: datetime, until: datetime, *, subjects: Sequence[str]) -> list[Count]:
    """What was counted of these subjects in a time, the end exclusive, in the order of the key."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_KEY}, number, seconds FROM sagas_levelminute WHERE minute >= %s AND minute < %s "
            f"AND subject = ANY(%s) ORDER BY {_KEY}",
            [since, until, list(subjects)],
        )
        return [Count(*row) for row in cursor.fetchall()]


def counted_until() -> datetime | None:
    """Up to which time runs are counted; ``None`` before the first count."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {UNTIL} FROM sagas_levelcursor WHERE id = 1")
        row = cursor.fetchone()
    return None if row is None else row[0]


def summed(saga: str, since: datetime, until: datetime, *, subjects: Sequence[str]) -> list[Count]:
    """What was counted of a saga in a time, both ends within, without its minutes: ``minute`` is the last of them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT saga, subject, max(minute), name, outcome, bucket, sum(number)::bigint, sum(seconds)::float8 "
            "FROM sagas_levelminute WHERE saga = %s AND subject = ANY(%s) AND minute >= %s AND minute <= %s "
            "GROUP BY saga, subject, name, outcome, bucket",
            [saga, list(subjects), since, until],
        )
        return [Count(*row) for row in cursor.fetchall()]
