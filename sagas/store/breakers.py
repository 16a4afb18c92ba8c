"""SQL of the breakers: samples, which are only inserted, and one row for each participant whose breaker ever opened.

A breaker's row is locked after runs and pools. A claim does not wait for it. Few transactions want it: only opening,
probing and closing write it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from sagas.conf import config
from sagas.db import uuid_array
from sagas.decisions.breaker_policy import Rule, Sample, Window


class Open(NamedTuple):
    """A breaker that is open. ``recovered`` says that its probe has succeeded since."""

    participant: str
    failed: int
    retried: int
    recovered: bool


#: A probe has succeeded when the log says so, whatever message carried it; an effect is logged once.
_OPEN = (
    "SELECT participant, failed, retried, EXISTS (SELECT 1 FROM sagas_log AS log WHERE log.run_id = probe_run "
    "AND log.step = breaker.step AND log.operation = probe_operation AND log.outcome = 'DONE') "
    "FROM sagas_breaker AS breaker WHERE closed_at IS NULL"
)


def _execute(sql: str, params: Sequence[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def _open(sql: str, params: Sequence[Any]) -> list[Open]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [Open(*row) for row in cursor.fetchall()]


def insert_sample(participant: str, *, succeeded: int, failed: int) -> None:
    """Record what became of retried operations."""
    _execute(
        "INSERT INTO sagas_breakersample (participant, at, succeeded, failed) VALUES (%s, clock_timestamp(), %s, %s)",
        [participant, succeeded, failed],
    )


def samples(participant: str, rule: Rule) -> list[Sample]:
    """Read what the rule counts: the last samples of each window, since the breaker was closed."""
    window = timedelta(seconds=rule.window)
    params: list[Any] = [rule.windows, participant, window, window, rule.operations, participant]
    with connection.cursor() as cursor:
        cursor.execute(
            # The clock comes as a column: clock_timestamp() in the condition itself could not use the index.
            "SELECT EXTRACT(EPOCH FROM clock.now - s.at)::float8, s.succeeded, s.failed "
            "FROM (SELECT clock_timestamp() AS now) AS clock CROSS JOIN generate_series(0, %s - 1) AS n "
            "CROSS JOIN LATERAL (SELECT at, succeeded, failed FROM sagas_breakersample "
            "WHERE participant = %s AND at <= clock.now - n * %s AND at > clock.now - (n + 1) * %s "
            "ORDER BY at DESC LIMIT %s) AS s "
            "WHERE s.at > COALESCE((SELECT closed_at FROM sagas_breaker WHERE participant = %s), '-infinity')",
            params,
        )
        return [Sample(*row) for row in cursor.fetchall()]


def find_open(participant: str) -> Open | None:
    """Return the breaker of a participant if it is open."""
    found = _open(f"{_OPEN} AND participant = %s", [participant])
    return found[0] if found else None


def all_open() -> list[Open]:
    return _open(f"{_OPEN} ORDER BY participant", [])


def open_breaker(participant: str, *, step: str, seen: Window) -> bool:
    """Open a breaker. Return whether it was closed until now."""
    pause = timedelta(seconds=config().breaker_probe)
    return bool(
        _execute(
            "INSERT INTO sagas_breaker (participant, step, opened_at, closed_at, probe_at, probe_run, probe_operation, "
            "failed, retried) VALUES (%s, %s, clock_timestamp(), NULL, clock_timestamp() + %s, NULL, '', %s, %s) "
            "ON CONFLICT (participant) DO UPDATE SET opened_at = EXCLUDED.opened_at, closed_at = NULL, "
            "probe_at = EXCLUDED.probe_at, probe_run = NULL, probe_operation = '', failed = EXCLUDED.failed, "
            "retried = EXCLUDED.retried WHERE sagas_breaker.closed_at IS NOT NULL",
            [participant, step, pause, seen.failed, seen.retried],
        )
    )


_MINE = (
    "(SELECT participant FROM sagas_breaker WHERE participant = %s AND closed_at IS NULL {} "
    "FOR NO KEY UPDATE SKIP LOCKED)"
)


def close_breaker(participant: str) -> bool:
    """Close a breaker. Return whether it was open, and no other transaction has locked it."""
    return bool(
        _execute(
            f"UPDATE sagas_breaker SET closed_at = clock_timestamp() WHERE participant = {_MINE.format('')}",
            [participant],
        )
    )


def take_probe(participant: str, run_id: UUID, operation: str) -> bool:
    """Let this run through as a probe, if one is due. The next probe is due after another pause."""
    return bool(
        _execute(
            "UPDATE sagas_breaker SET probe_at = clock_timestamp() + %s, probe_run = %s, probe_operation = %s "
            f"WHERE participant = {_MINE.format('AND probe_at <= clock_timestamp()')}",
            [timedelta(seconds=config().breaker_probe), run_id, operation, participant],
        )
    )


def wait_for_probe(participant: str, ids: Sequence[UUID]) -> None:
    """Postpone claimed runs until a tick after the next probe is due. That counts as no claim."""
    _execute(
        "UPDATE sagas_run SET due_at = GREATEST(clock_timestamp(), "
        "(SELECT probe_at FROM sagas_breaker WHERE participant = %s)) + %s WHERE id = ANY(%s::uuid[])",
        [participant, timedelta(seconds=config().tick), uuid_array(ids)],
    )


def prune_samples(keep: float) -> None:
    """Delete at most 10,000 samples older than ``keep`` seconds, without waiting for other processes that do it."""
    _execute(
        "DELETE FROM sagas_breakersample WHERE id IN (SELECT id FROM sagas_breakersample "
        "WHERE at < clock_timestamp() - %s ORDER BY id LIMIT 10000 FOR UPDATE SKIP LOCKED)",
        [timedelta(seconds=keep)],
    )
