"""SQL that reads the log: what has happened to runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from sagas.db import uuid_array


def arrival_times(ids: Sequence[UUID], steps: Sequence[str]) -> dict[UUID, datetime]:
    """When runs came to where they stand, by run: the time of their last effect, except those of ``steps``."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id, max(at) FROM sagas_log WHERE run_id = ANY(%s::uuid[]) AND outcome = 'DONE' "
            "AND step <> ALL(%s) GROUP BY run_id",
            [uuid_array(ids), list(steps)],
        )
        return dict(cursor.fetchall())


def begun_as(run_id: UUID, step: str, operation: str) -> set[str]:
    """How an operation was begun, if it ever was: "INTENT" if it was called, "ACCEPTED" if it is to be reported."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT outcome FROM sagas_log WHERE run_id = %s AND step = %s AND operation = %s "
            "AND outcome IN ('INTENT', 'ACCEPTED')",
            [run_id, step, operation],
        )
        return {outcome for (outcome,) in cursor.fetchall()}


def count_outcome(outcome: str, ids: Sequence[UUID], step: str, operation: str) -> dict[UUID, int]:
    """How often an operation had this outcome, by run; runs for which it never had it are left out."""
    return _of_each("count(*)", outcome, ids, step, operation)


def first_times(outcome: str, ids: Sequence[UUID], step: str, operation: str) -> dict[UUID, datetime]:
    """When an operation first had this outcome, by run; runs for which it never had it are left out."""
    return _of_each("min(at)", outcome, ids, step, operation)


def _of_each(aggregate: str, outcome: str, ids: Sequence[UUID], step: str, operation: str) -> dict[UUID, Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT run_id, {aggregate} FROM sagas_log WHERE run_id = ANY(%s::uuid[]) AND step = %s "
            "AND operation = %s AND outcome = %s GROUP BY run_id",
            [uuid_array(ids), step, operation, outcome],
        )
        return dict(cursor.fetchall())


def with_effect(ids: Sequence[UUID], step: str, operation: str) -> set[UUID]:
    """Those of the runs of which the log has this effect."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id FROM sagas_log WHERE run_id = ANY(%s::uuid[]) AND step = %s AND operation = %s "
            "AND outcome = 'DONE'",
            [uuid_array(ids), step, operation],
        )
        return {run_id for (run_id,) in cursor.fetchall()}


def events_of(run_id: UUID, names: Sequence[str]) -> list[tuple[str, Any]]:
    """The events of these names in a run's log, oldest first, each with its data."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT operation, data::text FROM sagas_log WHERE run_id = %s AND outcome = 'EVENT' "
            "AND operation = ANY(%s) ORDER BY id",
            [run_id, list(names)],
        )
        return [(name, None if text is None else json.loads(text)) for name, text in cursor.fetchall()]


def effects_of(run_id: UUID) -> set[tuple[str, str]]:
    """All effects of a run, as (step, operation)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT step, operation FROM sagas_log WHERE run_id = %s AND outcome = 'DONE'",
            [run_id],
        )
        return set(cursor.fetchall())
