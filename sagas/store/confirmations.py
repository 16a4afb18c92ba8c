"""SQL of the confirmations: which have come, with what data, and until when the next must come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from sagas.conf import config
from sagas.db import uuid_array
from sagas.postgresql import prepared
from sagas.store.runs import UNBOUNDED, execute


def received(ids: Sequence[UUID]) -> dict[UUID, set[str]]:
    """Names of the confirmations that have come, by run. To be read under the runs' locks."""
    found: dict[UUID, set[str]] = {run_id: set() for run_id in ids}
    with connection.cursor() as cursor:
        sql = "SELECT run_id, name FROM sagas_confirmation WHERE run_id = ANY(%s::uuid[])"
        prepared.execute(cursor, sql, [uuid_array(ids)], rows=prepared.ANY)
        for run_id, name in cursor.fetchall():
            found[run_id].add(name)
    return found


def received_by(run_id: UUID) -> set[str]:
    """Which confirmations of this run have come. Read it under the run's lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT run_id, name FROM sagas_confirmation WHERE run_id = %s", [run_id])
        return {name for _, name in cursor.fetchall()}


def find(run_id: UUID, name: str) -> tuple[str, datetime] | None:
    """What came with a confirmation (JSON text), and when; ``None`` if it has not come."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT data::text, received_at FROM sagas_confirmation WHERE run_id = %s AND name = %s",
            [run_id, name],
        )
        return cursor.fetchone()  # type: ignore[no-any-return]  # the two columns named above


def data_of(ids: Sequence[UUID], name: str) -> dict[UUID, str]:
    """What came with a confirmation, as JSON text, by run; runs for which it has not come are left out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id, data::text FROM sagas_confirmation WHERE run_id = ANY(%s::uuid[]) AND name = %s",
            [uuid_array(ids), name],
        )
        return dict(cursor.fetchall())


def bring_deadlines_forward(deadlines: Mapping[UUID, datetime]) -> None:
    """Set the deadlines of locked runs that have no deadline, or a later one."""
    execute(
        "UPDATE sagas_run AS run SET deadline = LEAST(run.deadline, v.deadline) "
        "FROM unnest(%s::uuid[], %s::timestamptz[]) AS v(id, deadline) WHERE run.id = v.id",
        [uuid_array(deadlines), list(deadlines.values())],
    )


def set_deadline(run_id: UUID, deadline: datetime | None) -> None:
    """Set the deadline of the next missing confirmation. An AWAITING_CONFIRM run is due then, plus a grace."""
    execute(
        "UPDATE sagas_run SET deadline = %s, claims = CASE state WHEN 'AWAITING_CONFIRM' THEN 0 ELSE claims END, "
        "due_at = CASE state WHEN 'AWAITING_CONFIRM' THEN COALESCE(%s, clock_timestamp() + %s) ELSE due_at END "
        "WHERE id = %s",
        [deadline, deadline + timedelta(seconds=config().grace) if deadline else None, UNBOUNDED, run_id],
    )
