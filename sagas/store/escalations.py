"""SQL of the escalations: who has acknowledged one, and which notices are due.

Every function runs inside its caller's transaction, and a run is locked before its escalation. The functions for
notices lock escalations only, and wait for no other transaction while they claim.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from sagas.conf import config
from sagas.db import uuid_array
from sagas.errors import AlreadyDecided
from sagas.states import State
from sagas.store.runs import Row
from sagas.validation import printable


class Open(NamedTuple):
    """The open escalation of a run."""

    id: int
    state: State
    assignee: str
    acknowledged_by: str
    acknowledged: bool


class DueNotice(NamedTuple):
    """An escalation of which a notice is due. ``number`` counts its notices; ``sent`` is the last one that was sent."""

    id: int
    number: int
    sent: int
    run_id: UUID
    saga: str
    business_key: str
    state: str
    step: str
    operation: str
    kind: str
    code: str
    suggestion: str

    @property
    def cause(self) -> tuple[str, ...]:
        """What escalations have in common that share a notice."""
        return self.saga, self.state, self.step, self.operation, self.kind, self.code, self.suggestion


_DUE_NOTICE = (
    "e.id, e.notices, e.sent, e.run_id, run.saga, run.business_key, e.state, e.step, e.operation, "
    "COALESCE(e.error->>'kind', ''), COALESCE(e.error->>'code', ''), e.suggestion"
)


def _execute(sql: str, params: Sequence[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def _due_notices(sql: str, params: Sequence[Any]) -> list[DueNotice]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [DueNotice(*row) for row in cursor.fetchall()]


def find_open(run_id: UUID, meant: int | None = None) -> Open | None:
    """The open escalation of a locked run, if it has one. ``state`` is the one from which it was escalated.

    Raises:
        AlreadyDecided: it is not the one ``meant``: the run was resumed, and escalated again.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, state, assignee, acknowledged_by, acknowledged_at IS NOT NULL FROM sagas_escalation "
            "WHERE run_id = %s AND resolved_at IS NULL",
            [run_id],
        )
        found = cursor.fetchone()
    if not found:
        return None
    if meant is not None and meant != found[0]:
        msg = "this decision is about an earlier escalation; the run was escalated again: read why, then decide anew"
        raise AlreadyDecided(msg, State.ESCALATED)
    return Open(found[0], State(found[1]), *found[2:])


def find_open_of(ids: Collection[UUID]) -> dict[UUID, Open]:
    """The open escalations of runs, by run."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id, id, state, assignee, acknowledged_by, acknowledged_at IS NOT NULL FROM sagas_escalation "
            "WHERE run_id = ANY(%s::uuid[]) AND resolved_at IS NULL",
            [uuid_array(ids)],
        )
        return {row[0]: Open(row[1], State(row[2]), *row[3:]) for row in cursor.fetchall()}


def runs_without_escalation() -> list[UUID]:
    """Runs that are ESCALATED without an open escalation: they can be neither resumed nor resolved."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM sagas_run AS run WHERE state = 'ESCALATED' AND NOT EXISTS "
            "(SELECT FROM sagas_escalation AS e WHERE e.run_id = run.id AND e.resolved_at IS NULL) ORDER BY id"
        )
        return [run_id for (run_id,) in cursor.fetchall()]


def has_reason(run_id: UUID) -> bool:
    """Whether it is on record why a run is being undone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reason IS NOT NULL FROM sagas_run WHERE id = %s", [run_id])
        (found,) = cursor.fetchone()
    return bool(found)


def acknowledge(run_id: UUID, *, by: str) -> None:
    """Record who has acknowledged the open escalation of a locked run: no further notice of it is sent."""
    _execute(
        "UPDATE sagas_escalation SET acknowledged_at = clock_timestamp(), acknowledged_by = %s, notify_at = NULL "
        "WHERE run_id = %s AND resolved_at IS NULL AND acknowledged_at IS NULL",
        [printable(by), run_id],
    )


def assign(run_id: UUID, *, to: str) -> None:
    """Assign the open escalation of a locked run to a person."""
    _execute(
        "UPDATE sagas_escalation SET assignee = %s WHERE run_id = %s AND resolved_at IS NULL", [printable(to), run_id]
    )


def set_reason(run_id: UUID, reason: str | None) -> None:
    """Write why a locked run was undone, unless that is on record; ``None``: it was not undone."""
    if reason is None:
        _execute("UPDATE sagas_run SET reason = NULL WHERE id = %s", [run_id])
    else:
        _execute("UPDATE sagas_run SET reason = %s::jsonb WHERE id = %s AND reason IS NULL", [reason, run_id])


def claim_notices(limit: int) -> list[DueNotice]:
    """Claim escalations of which a notice is due, and give each a lease: the time in which its notice is to be sent.

    The lease doubles with every notice that was published and is not known to be sent. So a notifier that was away
    does not find a message for every minute of its absence.
    """
    return _due_notices(
        # now(), not clock_timestamp(): only a stable function can use the index on notify_at.
        "WITH due AS (SELECT id FROM sagas_escalation WHERE notify_at <= now() "
        "ORDER BY notify_at, id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED) "
        "UPDATE sagas_escalation AS e SET notices = e.notices + 1, notify_at = clock_timestamp() "
        "+ LEAST(%s * power(2, LEAST(e.notices - e.sent, 16)), %s) "
        f"FROM due, sagas_run AS run WHERE e.id = due.id AND run.id = e.run_id RETURNING {_DUE_NOTICE}",
        [limit, timedelta(seconds=config().notice_lease), timedelta(seconds=config().acknowledge_within)],
    )


def give_back(ids: Sequence[int]) -> None:
    """Make notices that could not be published due again after a tick, without counting them."""
    _execute(
        "UPDATE sagas_escalation AS e SET notices = e.notices - 1, notify_at = clock_timestamp() + %s "
        "FROM (SELECT id FROM sagas_escalation WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE) AS mine "
        "WHERE e.id = mine.id AND e.notify_at IS NOT NULL AND e.notices > e.sent",
        [timedelta(seconds=config().tick), list(ids)],
    )


def unsent(numbers: Mapping[int, int]) -> list[DueNotice]:
    """Of the notices in a message, those that are still to be sent: not acknowledged, resolved or sent already.

    Args:
        numbers: the number of the notice, by escalation.
    """
    return _due_notices(
        f"SELECT {_DUE_NOTICE} FROM unnest(%s::bigint[], %s::bigint[]) AS message(id, number) "
        "JOIN sagas_escalation AS e ON e.id = message.id JOIN sagas_run AS run ON run.id = e.run_id "
        "WHERE e.notify_at IS NOT NULL AND e.sent < message.number ORDER BY e.id",
        [list(numbers), list(numbers.values())],
    )


def note_sent(ids: Sequence[int]) -> None:
    """Record that notices were sent. The next ones are due if nobody acknowledges the escalations in time."""
    _execute(
        "UPDATE sagas_escalation AS e SET sent = e.notices, notify_at = clock_timestamp() + %s "
        "FROM (SELECT id FROM sagas_escalation WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE) AS mine "
        # Acknowledged while it was being sent: that stands.
        "WHERE e.id = mine.id AND e.notify_at IS NOT NULL",
        [timedelta(seconds=config().acknowledge_within), list(ids)],
    )


def open_escalation(row: Row, *, step: str, operation: str, error: str, suggestion: str = "") -> None:
    """Open an escalation for a locked run, of which a notice is due now.

    The run will stand ESCALATED until a person resolves it.
    """
    _execute(
        "INSERT INTO sagas_escalation (run_id, state, step, operation, error, suggestion, created_at, notify_at, "
        "resolution, resolved_by, note) "
        "VALUES (%s, %s, %s, %s, %s::jsonb, %s, clock_timestamp(), clock_timestamp(), '', '', '')",
        [row.id, row.state, step, operation, error, suggestion],
    )


def resolve_escalation(run_id: UUID, *, resolution: str, by: str, note: str) -> None:
    """Close the open escalation of a locked run."""
    _execute(
        "UPDATE sagas_escalation SET resolved_at = clock_timestamp(), notify_at = NULL, resolution = %s, "
        "resolved_by = %s, note = %s WHERE run_id = %s AND resolved_at IS NULL",
        [resolution, printable(by), printable(note), run_id],
    )
