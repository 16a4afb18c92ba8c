"""SQL of the pauses: what is paused, and the runs that are held back by it.

A run that is held back has ``due_at`` = ``held_until``: it is looked at again then, and nothing turns it back before.
Where the repair after a restore holds it for longer, only ``due_at`` is that of the pause.
A pause's row is locked after runs, and shared by those that hold runs back by it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from sagas.db import uuid_array
from sagas.store.runs import execute
from sagas.validation import printable


class Open(NamedTuple):
    """A pause that is not ended; see ``models.Pause``. ``age`` is in seconds."""

    id: int
    scope: str
    saga: str
    step: str
    run_id: UUID | None
    since: datetime
    paused_by: str
    reason: str
    age: float


_OPEN = (
    "SELECT id, scope, saga, step, run_id, since, paused_by, reason, "
    "EXTRACT(EPOCH FROM clock_timestamp() - since)::float8 FROM sagas_pause WHERE ended_at IS NULL"
)


def all_open() -> list[Open]:
    """What is paused, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_OPEN} ORDER BY since, id")
        return [Open(*row) for row in cursor.fetchall()]


def keep(ids: Collection[int]) -> set[int]:
    """Those of these pauses that are open still. Until this transaction ends, nobody ends them.

    So whoever ends a pause finds all runs that were held back by it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM sagas_pause WHERE id = ANY(%s) AND ended_at IS NULL ORDER BY id FOR SHARE", [sorted(ids)]
        )
        return {found for (found,) in cursor.fetchall()}


def begin(scope: str, *, saga: str, step: str, run_id: UUID | None, by: str, reason: str) -> int | None:
    """Pause something; return the pause's id, or ``None`` if it is paused already."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sagas_pause (scope, saga, step, run_id, since, paused_by, reason) "
            "VALUES (%s, %s, %s, %s, clock_timestamp(), %s, %s) ON CONFLICT (scope, saga, step, run_id) "
            "WHERE ended_at IS NULL DO NOTHING RETURNING id",
            [scope, saga, step, run_id, printable(by), printable(reason)],
        )
        found = cursor.fetchone()
    return found[0] if found else None


def end(scope: str, *, saga: str, step: str, run_id: UUID | None, by: str, reason: str) -> int | None:
    """End the pause of something; return its id, or ``None`` if it is not paused. Waits for those that hold runs."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_pause SET ended_at = clock_timestamp(), ended_by = %s, end_reason = %s "
            "WHERE scope = %s AND saga = %s AND step = %s AND run_id IS NOT DISTINCT FROM %s AND ended_at IS NULL "
            "RETURNING id",
            [printable(by), printable(reason), scope, saga, step, run_id],
        )
        found = cursor.fetchone()
    return found[0] if found else None


#: From when on a pause has held a run back that is not counted yet: since the last look, if there was one.
_UNCOUNTED = "GREATEST(%s, COALESCE(run.started_at, at.now), COALESCE(run.held_until, '-infinity'))"


def hold(ids: Sequence[UUID], *, since: datetime, look: float, shift: bool) -> None:
    """Hold locked, live runs back until they are looked at again, and count that as time of the pause.

    Args:
        ids: the runs.
        since: when the pause began.
        look: seconds until then.
        shift: whether their confirm deadline is a span of time, which becomes longer.
    """
    execute(
        "UPDATE sagas_run AS run SET claims = 0, due_at = at.until, "
        "held_until = GREATEST(at.until, run.held_until), "
        f"paused_for = COALESCE(run.paused_for, '0') + GREATEST(at.until - {_UNCOUNTED}, '0'), "
        f"deadline = CASE WHEN %s THEN run.deadline + GREATEST(at.until - {_UNCOUNTED}, '0') ELSE run.deadline END "
        "FROM (SELECT now, now + %s AS until FROM (SELECT clock_timestamp() AS now) AS clock) AS at "
        "WHERE run.id = ANY(%s::uuid[]) AND run.due_at IS NOT NULL",
        [since, shift, since, timedelta(seconds=look), uuid_array(ids)],
    )


def release(scope: str, *, saga: str, run_id: UUID | None, longest: float, limit: int) -> int:
    """Make runs due that are held back, and give back what was counted for the time to come.

    Those that something else holds back are held again when they are claimed.

    Args:
        scope: of the pause that has ended.
        saga: of it; "" for all.
        run_id: of it.
        longest: seconds within which each held run is looked at.
        limit: runs at most.

    Returns:
        How many.
    """
    return execute(
        "WITH held AS MATERIALIZED (SELECT id, clock_timestamp() AS now FROM sagas_run "
        # now(), not clock_timestamp(): only a stable function can use the index on due_at.
        "WHERE due_at > now() AND due_at <= now() + %s AND due_at = held_until AND (%s = '' OR saga = %s) "
        "AND (%s::uuid IS NULL OR id = %s::uuid) AND (%s <> 'starts' OR state = 'PENDING') "
        "ORDER BY id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED) "
        "UPDATE sagas_run AS run SET claims = 0, due_at = held.now, held_until = held.now, "
        "paused_for = GREATEST(run.paused_for - (run.held_until - held.now), '0'), "
        "deadline = CASE WHEN run.deadline >= run.held_until THEN run.deadline - (run.held_until - held.now) "
        "ELSE run.deadline END "
        "FROM held WHERE run.id = held.id AND run.due_at = run.held_until AND run.held_until > held.now",
        [timedelta(seconds=longest + 60), saga, saga, run_id, run_id, scope, limit],
    )


def count_live(scope: str, *, saga: str, run_id: UUID | None, most: int) -> int:
    """How many live runs something is about, up to a number."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT 1 FROM sagas_run WHERE due_at IS NOT NULL AND (%s = '' OR saga = %s) "
            "AND (%s::uuid IS NULL OR id = %s::uuid) AND (%s <> 'starts' OR state = 'PENDING') LIMIT %s) AS live",
            [saga, saga, run_id, run_id, scope, most],
        )
        (count,) = cursor.fetchone()
    return int(count)


def count_held() -> int:
    """How many runs are held back now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sagas_run WHERE due_at > now() AND due_at = held_until")
        (count,) = cursor.fetchone()
    return int(count)
