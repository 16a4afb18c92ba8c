"""SQL of burn rates: what the windows have counted, why a budget burns, and the incidents of which people are told.

All of it reads counted rows by their primary key, within a time: no table's size matters. Whoever judges has locked the
row of the cursor, so that nobody counts meanwhile, and an objective has one open incident (a unique index). Notices are
claimed as those of escalations are: a lease is moved, and a notice that is lost is due again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from sagas.conf import config
from sagas.db import uuid_array
from sagas.decisions.burn_rates import WINDOWS, Burn, Runs
from sagas.store.runs import execute
from sagas.store.service_levels import UNTIL


class Stage(NamedTuple):
    """The stays in a stage within a time."""

    name: str
    number: int
    seconds: float
    faults: int


class Cause(NamedTuple):
    """Faults or bad runs of one kind: how many, and runs that have them, the latest first."""

    name: str
    code: str
    text: str
    number: int
    runs: Sequence[UUID]


class LogLine(NamedTuple):
    """A fault in a run's log. ``detail`` has nothing in it that is marked as personal."""

    run_id: UUID
    at: datetime
    attempt: int
    detail: str


class Incident(NamedTuple):
    """A row of ``sagas_burnincident``."""

    id: int
    saga: str
    objective: str
    pair: int
    since: datetime
    opened_at: datetime
    burning_at: datetime
    closed_at: datetime | None
    burn_long: float
    burn_short: float
    bad: int
    runs: int
    stage: str
    stage_since: datetime | None
    evidence: Any
    revision: int
    told: int


_INCIDENT = ", ".join(f"i.{name}" for name in Incident._fields)


def _incidents(sql: str, params: Sequence[Any]) -> list[Incident]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [
            # A driver may give JSON as text.
            found._replace(evidence=json.loads(found.evidence)) if isinstance(found.evidence, str) else found
            for found in (Incident(*row) for row in cursor.fetchall())
        ]


# What is counted -----------------------------------------------------------------------------------------------------


#: Good and bad runs. Sums of doubles are exact up to 2^53, and several times as fast as those of ``bigint``.
_SUMS = (
    "COALESCE(sum(number::float8) FILTER (WHERE outcome = 'good'), 0)::bigint, "
    "COALESCE(sum(number::float8) FILTER (WHERE outcome <> 'good'), 0)::bigint"
)


def take(*, every: float) -> datetime | None:
    """Lock the cursor, and return up to when runs are counted; ``None`` if there is nothing new, or it is too early.

    Where counting is held up, this time stands still, and nothing begins or ends.

    Args:
        every: seconds between two judgements.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {UNTIL} FROM sagas_levelcursor "
            "WHERE id = 1 AND (judged_at IS NULL OR judged_at <= clock_timestamp() - %s * interval '1 second') "
            "AND (judged_after IS DISTINCT FROM after "
            "OR EXISTS (SELECT FROM sagas_burnincident WHERE closed_at IS NULL)) "
            "FOR UPDATE SKIP LOCKED",
            [every],
        )
        if (row := cursor.fetchone()) is None:
            return None
        cursor.execute("UPDATE sagas_levelcursor SET judged_at = clock_timestamp(), judged_after = after WHERE id = 1")
    found: datetime = row[0]
    return found


def windows(at: datetime, sagas: Sequence[str]) -> dict[tuple[str, str], dict[timedelta, Runs]]:
    """The runs of each window that ends at this time, by saga and objective."""
    # Each row is added once, to the shortest window that has it; each window has the shorter ones.
    shortest = " ".join(f"WHEN minute > %s THEN {place}" for place, _ in enumerate(WINDOWS))
    begins = [at - length for length in WINDOWS]
    found: dict[tuple[str, str], dict[timedelta, Runs]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT saga, name, CASE {shortest} END AS place, {_SUMS} FROM sagas_levelminute "
            "WHERE saga = ANY(%s) AND subject = 'objective' AND minute > %s AND minute <= %s GROUP BY 1, 2, 3",
            [*begins, list(sagas), begins[-1], at],
        )
        for saga, name, place, good, bad in cursor.fetchall():
            of = found.setdefault((saga, name), dict.fromkeys(WINDOWS, Runs()))
            for length in WINDOWS[place:]:
                of[length] = Runs(of[length].good + good, of[length].bad + bad)
    return found


def totals(sagas: Sequence[str], since: datetime, until: datetime) -> dict[tuple[str, str], Runs]:
    """The runs of a time, both ends within, by saga and objective."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT saga, name, {_SUMS} FROM sagas_levelminute "
            "WHERE saga = ANY(%s) AND subject = 'objective' AND minute >= %s AND minute <= %s GROUP BY saga, name",
            [list(sagas), since, until],
        )
        return {(saga, name): Runs(good, bad) for saga, name, good, bad in cursor.fetchall()}


def bad_minutes(saga: str, objective: str, since: datetime, until: datetime) -> list[datetime]:
    """The minutes in which a bad run ended, in order; both ends are within."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT minute FROM sagas_levelminute WHERE saga = %s AND subject = 'objective' "
            "AND minute >= %s AND minute <= %s AND name = %s AND outcome <> 'good' ORDER BY minute",
            [saga, since, until, objective],
        )
        return [minute for (minute,) in cursor.fetchall()]


_STAGE = (
    "sum(number)::bigint, sum(seconds)::float8, COALESCE(sum(number) FILTER (WHERE outcome = 'FAULT'), 0)::bigint "
    "FROM sagas_levelminute WHERE saga = %s AND subject = 'stage' AND outcome <> 'WAITED' "
    "AND minute >= %s AND minute < %s"
)


def stages(saga: str, since: datetime, until: datetime) -> dict[str, Stage]:
    """The stays in each stage, by its name, the end exclusive. What a customer was waited for is left out."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT name, {_STAGE} GROUP BY name", [saga, since, until])
        return {row[0]: Stage(*row) for row in cursor.fetchall()}


def stage_minutes(saga: str, stage: str, since: datetime, until: datetime) -> list[tuple[datetime, Stage]]:
    """The stays in one stage, by minute."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT minute, {_STAGE} AND name = %s GROUP BY minute ORDER BY minute", [saga, since, until, stage]
        )
        return [(minute, Stage(stage, *rest)) for minute, *rest in cursor.fetchall()]


def causes(saga: str, subject: str, since: datetime, until: datetime, *, limit: int, runs: int) -> list[Cause]:
    """The most frequent faults, or ways to be bad, of a time, both ends within.

    Args:
        saga: whose.
        subject: "fault" or "objective".
        since: the first minute.
        until: the last one.
        limit: of them at most.
        runs: runs of each at most.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(name), min(code), min(text), sum(number)::bigint AS all_of_it, "
            "(array_agg(run_id::text ORDER BY minute DESC))[1:%s] FROM sagas_levelexample "
            "WHERE saga = %s AND subject = %s AND minute >= %s AND minute <= %s GROUP BY fingerprint "
            "ORDER BY all_of_it DESC, fingerprint LIMIT %s",
            [runs, saga, subject, since, until, limit],
        )
        return [
            Cause(name, code, text, number, tuple(dict.fromkeys(map(UUID, ids))))
            for name, code, text, number, ids in cursor.fetchall()
        ]


def last_faults(ids: Sequence[UUID], step: str, operation: str) -> dict[UUID, LogLine]:
    """The last fault of an operation in the log of each of a few runs; nothing of runs that were pruned."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT ON (run_id) run_id, at, attempt, COALESCE(data ->> 'detail', '') FROM sagas_log "
            "WHERE run_id = ANY(%s::uuid[]) AND step = %s AND operation = %s AND outcome = 'FAULT' "
            "ORDER BY run_id, at DESC",
            [uuid_array(ids), step, operation],
        )
        return {row[0]: LogLine(*row) for row in cursor.fetchall()}


# Incidents -----------------------------------------------------------------------------------------------------------


def open_incidents() -> dict[tuple[str, str], Incident]:
    """Those that are not over, by saga and objective. There is one of an objective at most."""
    found = _incidents(f"SELECT {_INCIDENT} FROM sagas_burnincident AS i WHERE closed_at IS NULL ORDER BY i.id", [])
    return {(one.saga, one.objective): one for one in found}


def latest_incidents(saga: str, limit: int) -> list[Incident]:
    """The last incidents of a saga, the latest first."""
    return _incidents(
        f"SELECT {_INCIDENT} FROM sagas_burnincident AS i WHERE saga = %s ORDER BY i.opened_at DESC LIMIT %s",
        [saga, limit],
    )


def open_incident(
    saga: str,
    objective: str,
    burn: Burn,
    *,
    at: datetime,
    since: datetime,
    stage: str,
    stage_since: datetime | None,
    evidence: Mapping[str, Any],
) -> None:
    """Open the incident of an objective that has none, of which people are told now."""
    execute(
        "INSERT INTO sagas_burnincident (saga, objective, pair, since, burning_at, burn_long, burn_short, bad, runs, "
        "stage, stage_since, evidence, revision, told, notices, notify_at) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, 1, 0, 0, clock_timestamp()) "
        "ON CONFLICT DO NOTHING",
        [saga, objective, burn.place, since, at, *_numbers(burn), stage, stage_since, json.dumps(evidence)],
    )


def note_burning(incident: Incident, burn: Burn, *, at: datetime) -> None:
    """Note that an incident goes on. If it burns faster than ever in it, people are told."""
    execute(
        "UPDATE sagas_burnincident SET burning_at = %s, burn_long = %s, burn_short = %s, bad = %s, runs = %s, "
        "revision = revision + CASE WHEN %s < pair THEN 1 ELSE 0 END, "
        "notify_at = CASE WHEN %s < pair THEN clock_timestamp() ELSE notify_at END, pair = LEAST(pair, %s) "
        "WHERE id = %s AND closed_at IS NULL",
        [at, *_numbers(burn), burn.place, burn.place, burn.place, incident.id],
    )


def _numbers(burn: Burn) -> list[float]:
    return [burn.long, burn.short, burn.runs.bad, burn.runs.good + burn.runs.bad]


def close_incident(incident: Incident) -> None:
    """An incident is over, and people are told."""
    execute(
        "UPDATE sagas_burnincident SET closed_at = clock_timestamp(), revision = revision + 1, "
        "notify_at = clock_timestamp() WHERE id = %s AND closed_at IS NULL",
        [incident.id],
    )


# Notices -------------------------------------------------------------------------------------------------------------


def claim_notices(limit: int) -> list[Incident]:
    """Claim incidents of which people are to be told, and give each a lease: the time in which it is to be sent.

    The lease doubles with every notice that was published in vain.
    """
    return _incidents(
        # now(), not clock_timestamp(): only a stable function can use the index on notify_at.
        "WITH due AS (SELECT id FROM sagas_burnincident WHERE notify_at <= now() "
        "ORDER BY notify_at, id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED) "
        "UPDATE sagas_burnincident AS i SET notices = i.notices + 1, notify_at = clock_timestamp() "
        "+ LEAST(%s * power(2, LEAST(i.notices, 16)), %s) FROM due WHERE i.id = due.id "
        f"RETURNING {_INCIDENT}",
        [limit, timedelta(seconds=config().notice_lease), timedelta(seconds=config().acknowledge_within)],
    )


def give_back(ids: Sequence[int]) -> None:
    """Make notices that could not be published due again after a tick, without counting them."""
    execute(
        "UPDATE sagas_burnincident AS i SET notices = GREATEST(i.notices - 1, 0), notify_at = clock_timestamp() + %s "
        "FROM (SELECT id FROM sagas_burnincident WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE) AS mine "
        "WHERE i.id = mine.id AND i.notify_at IS NOT NULL AND i.revision > i.told",
        [timedelta(seconds=config().tick), list(ids)],
    )


def take_unsent(incident: int, revision: int, *, lease: float) -> Incident | None:
    """Take the notice of a message to send it; ``None`` if it was sent, or another process is sending it now.

    If the process that takes it dies, another one takes it after so many seconds of ``lease``.
    """
    found = _incidents(
        "UPDATE sagas_burnincident AS i SET sending_until = clock_timestamp() + %s WHERE i.id = %s "
        "AND i.told < %s AND (i.sending_until IS NULL OR i.sending_until <= clock_timestamp()) "
        f"RETURNING {_INCIDENT}",
        [timedelta(seconds=lease), incident, revision],
    )
    return found[0] if found else None


def note_sent(incident: Incident) -> None:
    """Record that people were told what the incident was when it was taken. What came since is still due."""
    execute(
        "UPDATE sagas_burnincident SET told = GREATEST(told, %s), notices = 0, sending_until = NULL, "
        "notify_at = CASE WHEN revision > %s THEN clock_timestamp() END WHERE id = %s",
        [incident.revision, incident.revision, incident.id],
    )


def note_unsent(incident: Incident) -> None:
    """No channel has taken the notice: it is due again when its lease is over."""
    execute("UPDATE sagas_burnincident SET sending_until = NULL WHERE id = %s", [incident.id])
