"""SQL of the lifecycle's heat map: how long runs stayed in each stage, by part of a time, and what happened meanwhile.

It reads counted minutes of one saga by their primary key, of a week at most; and to list the runs of a part, a bounded
number of runs by id, which is a time (UUIDv7).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

#: Runs that are looked at to find those of a part, the latest first.
LOOKED_AT = 20_000
#: A run may be in a stage so long after it was accepted, and is still found.
EARLIER = timedelta(days=1)


class Stays(NamedTuple):
    """Stays in a stage in one part of the time: how many had reached so many of the bounds."""

    name: str
    part: int
    bucket: int
    is_fault: bool
    number: int


class Deploy(NamedTuple):
    """A definition of the saga that was put on record: the first run of it began."""

    at: datetime
    version: int


class Opening(NamedTuple):
    """The last time that a step's breaker was open; ``until`` is ``None`` while it is."""

    step: str
    since: datetime
    until: datetime | None


def stays(saga: str, since: datetime, width: timedelta, parts: int) -> list[Stays]:
    """The stays in each stage, by part of the time. What a customer was waited for is left out.

    Args:
        saga: whose.
        since: a whole minute.
        width: of a part, in whole minutes.
        parts: their number.
    """
    params: list[Any] = [width, since, saga, since, since + parts * width]
    with connection.cursor() as cursor:
        cursor.execute(
            # date_bin, and a sum of doubles: arithmetic of numeric takes several times as long.
            "SELECT name, date_bin(%s, minute, %s) AS begin, bucket, outcome = 'FAULT', sum(number::float8)::bigint "
            "FROM sagas_levelminute WHERE saga = %s AND subject = 'stage' AND minute >= %s AND minute < %s "
            "AND outcome <> 'WAITED' GROUP BY 1, 2, 3, 4",
            params,
        )
        return [Stays(name, round((begin - since) / width), *rest) for name, begin, *rest in cursor.fetchall()]


def deploys(saga: str, since: datetime, until: datetime, limit: int) -> list[Deploy]:
    """When the saga's definition changed, the latest ones in order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT at, version FROM (SELECT min(created_at) AS at, version FROM sagas_definition WHERE saga = %s "
            "GROUP BY version) AS found WHERE at >= %s AND at < %s ORDER BY at DESC LIMIT %s",
            [saga, since, until, limit],
        )
        return [Deploy(*row) for row in reversed(cursor.fetchall())]


def openings(saga: str, steps: Sequence[str], since: datetime, until: datetime) -> list[Opening]:
    """The breakers of a saga's steps that were open in a time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT step, opened_at, closed_at FROM sagas_breaker WHERE participant = ANY(%s) AND opened_at < %s "
            "AND COALESCE(closed_at, %s) >= %s ORDER BY opened_at",
            [[f"{saga}.{step}" for step in steps], until, until, since],
        )
        return [Opening(*row) for row in cursor.fetchall()]


def runs_in(saga: str, stage: str, since: datetime, until: datetime, limit: int) -> list[UUID]:
    """Runs of which a stay in a stage ended in a time, the end exclusive; those with the longest stays first.

    ``LOOKED_AT`` runs are looked at, the last ones that were accepted before the end.
    """
    step, dot, operation = stage.rpartition(".")
    if stage == "claim":
        found = "SELECT started_at AS at, created_at AS before WHERE started_at >= %(since)s AND started_at < %(until)s"
    else:
        kind = "l.step = %(step)s AND l.outcome <> 'EVENT'" if dot else "l.outcome = 'EVENT'"
        found = (
            "SELECT l.at, (SELECT max(p.at) FROM sagas_log AS p WHERE p.run_id = latest.id AND p.at < l.at) AS before "
            f"FROM sagas_log AS l WHERE l.run_id = latest.id AND l.operation = %(operation)s AND {kind} "
            "AND l.at >= %(since)s AND l.at < %(until)s"
        )
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH latest AS MATERIALIZED (SELECT id, saga, created_at, started_at FROM sagas_run "
            f"WHERE id >= %(first)s::uuid AND id < %(last)s::uuid ORDER BY id DESC LIMIT {LOOKED_AT}) "
            f"SELECT latest.id FROM latest CROSS JOIN LATERAL ({found}) AS stay WHERE latest.saga = %(saga)s "
            "GROUP BY latest.id ORDER BY max(stay.at - COALESCE(stay.before, latest.created_at)) DESC, latest.id "
            "LIMIT %(limit)s",
            {
                "first": str(_first_id(since - EARLIER)),
                "last": str(_first_id(until + timedelta(milliseconds=1))),
                "saga": saga,
                "step": step,
                "operation": operation,
                "since": since,
                "until": until,
                "limit": limit,
            },
        )
        return [run_id for (run_id,) in cursor.fetchall()]


def _first_id(at: datetime) -> UUID:
    """No UUIDv7 of this time or later is below it."""
    return UUID(int=max(0, int(at.timestamp() * 1000)) << 80)
