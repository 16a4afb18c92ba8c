"""SQL of the decisions for many runs: what was decided of which key, and the runs that it is still to be given to.

A decision is inserted once, and its answer never changes. So it is read without a lock, and no transaction that has
locked runs locks one. The races are in ``sagas.engine.shared_decisions``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from sagas.db import uuid_array
from sagas.store import moves, observers
from sagas.store.runs import COLUMNS, Row, execute, rows_of


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision for all runs of a key.

    Attributes:
        saga: the stored name of their saga.
        name: the confirmation that they await.
        key: the key.
        data: what each run keeps of it; ``None`` of a refusal.
        reason: of a refusal, for operators.
        message: of a refusal, for customers.
        by: who has decided.
        decided_at: when.
        settled_at: when no undecided run of the key was left to give it to; ``None`` if there may be one. Runs that
            come later read the decision themselves.
        first: whether this call has made it; a repeat has found it.
        id: its number.
    """

    saga: str
    name: str
    key: str
    data: dict[str, Any] | None
    reason: str
    message: str
    by: str
    decided_at: datetime
    settled_at: datetime | None
    first: bool = False
    id: int = 0

    @property
    def declined(self) -> bool:
        """Whether the confirmation is refused to all runs of the key."""
        return self.data is None


_COLUMNS = "saga, name, key, data::text, reason, message, decided_by, decided_at, settled_at"


def _read(row: Sequence[Any]) -> Decision:
    saga, name, key, data, reason, message, by, decided_at, settled_at, number, first = row
    answer = None if data is None else json.loads(data)
    return Decision(saga, name, key, answer, reason, message, by, decided_at, settled_at, first, number)


def decide(
    saga: str, name: str, key: str, data: str | None, *, reason: str, message: str, by: str
) -> tuple[Decision, bool] | None:
    """Make a decision, unless there is one; waits for a concurrent one of the same key.

    Returns:
        The decision that stands, and whether it has the same answer; ``None`` if this transaction does not see it,
        because it was committed since the transaction began.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sagas_shareddecision (saga, name, key, data, reason, message, decided_by, decided_at) "
            "VALUES (%s, %s, %s, %s::jsonb, %s, %s, %s, clock_timestamp()) ON CONFLICT (saga, key, name) DO NOTHING "
            f"RETURNING {_COLUMNS}, id, true",
            [saga, name, key, data, reason, message, by],
        )
        if made := cursor.fetchone():
            return _read(made), True
        # A statement of its own, so that it sees what was committed while this one waited.
        cursor.execute(
            f"SELECT {_COLUMNS}, id, false, data IS NOT DISTINCT FROM %s::jsonb FROM sagas_shareddecision "
            "WHERE saga = %s AND key = %s AND name = %s",
            [data, saga, key, name],
        )
        if found := cursor.fetchone():
            return _read(found[:-1]), found[-1]
    return None


def find(saga: str, name: str, key: str) -> Decision | None:
    """The decision of a key, as committed or made by this transaction; ``None`` if there is none."""
    found = _select("WHERE saga = %s AND name = %s AND key = %s", [saga, name, key])
    return found[0] if found else None


def unsettled(sagas: Collection[str], *, after: int, limit: int) -> list[Decision]:
    """Decisions that may have undecided runs; each turn begins behind where the last one ended (``after``)."""
    return _select(
        "WHERE settled_at IS NULL AND saga = ANY(%s) ORDER BY id <= %s, id LIMIT %s", [list(sagas), after, limit]
    )


def _select(condition: str, params: Sequence[Any]) -> list[Decision]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_COLUMNS}, id, false FROM sagas_shareddecision {condition}", params)
        return [_read(row) for row in cursor.fetchall()]


# The runs of a decision -----------------------------------------------------------------------------------------------


def of_runs(ids: Sequence[UUID]) -> dict[UUID, Decision]:
    """The decisions of those of these locked runs that await one which is made. A statement of its own, in its time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run.id, d.saga, d.name, d.key, d.data::text, d.reason, d.message, d.decided_by, d.decided_at, "
            "d.settled_at, d.id, false FROM sagas_run AS run JOIN sagas_shareddecision AS d "
            "ON d.saga = run.saga AND d.key = run.decision_key AND d.name = run.decision_name "
            "WHERE run.id = ANY(%s::uuid[]) AND run.decision_key IS NOT NULL AND run.decided_at IS NULL",
            [uuid_array(ids)],
        )
        made: dict[int, Decision] = {}
        found: dict[UUID, Decision] = {}
        for run_id, *row in cursor.fetchall():
            found[run_id] = made.setdefault(row[-2], _read(row))
        return found


_UNDECIDED = (
    "FROM sagas_run WHERE saga = %s AND decision_key = %s AND decision_name = %s AND decided_at IS NULL "
    "AND state IN ('PENDING', 'EXECUTING', 'AWAITING_CONFIRM')"
)


def lock_undecided(decision: Decision, limit: int) -> list[Row]:
    """Lock the next runs to give a decision to, in the order of their ids; those that others have locked are left."""
    return rows_of(
        f"SELECT {COLUMNS} {_UNDECIDED} ORDER BY id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED",
        [decision.saga, decision.key, decision.name, limit],
    )


def settle(decision: Decision) -> bool:
    """Note in a statement of its own that no undecided run of the key is left, if that is so as far as is committed."""
    return bool(
        execute(
            "UPDATE sagas_shareddecision SET settled_at = clock_timestamp() WHERE id = %s AND settled_at IS NULL "
            f"AND NOT EXISTS (SELECT {_UNDECIDED})",
            [decision.id, decision.saga, decision.key, decision.name],
        )
    )


def give(decision: Decision, rows: Sequence[Row], *, stay: Collection[UUID]) -> None:
    """Write the confirmation into locked runs, with their log rows; and into those that stay undecided, when.

    Args:
        decision: no refusal.
        rows: the runs.
        stay: those of them that still await something else.
    """
    entry = moves.event_entry("confirmation", step=decision.name, by=decision.by)
    noted, params = moves.noting(entry, rows)
    ids = uuid_array([row.id for row in rows])
    execute(
        "WITH came AS (INSERT INTO sagas_confirmation (run_id, name, data, received_at) "
        "SELECT v.id, d.name, d.data, clock_timestamp() FROM sagas_shareddecision AS d, unnest(%s::uuid[]) AS v(id) "
        f"WHERE d.id = %s), {noted} UPDATE sagas_run SET decided_at = clock_timestamp() WHERE id = ANY(%s::uuid[])",
        [ids, decision.id, *params, uuid_array(stay)],
    )
    observers.tell(rows, entry)


def count_undecided(saga: str, name: str, key: str) -> int:
    """Count the undecided runs of a key that have not got its decision."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {_UNDECIDED}", [saga, key, name])
        (count,) = cursor.fetchone()
    return int(count)


# Retention ------------------------------------------------------------------------------------------------------------


def prune(limit: int) -> int:
    """Delete settled decisions that are older than the runs that are kept, and that no run may still need.

    Returns:
        How many were deleted.
    """
    execute("SELECT set_config('sagas.prune', 'on', true)", [])
    deleted = execute(
        "DELETE FROM sagas_shareddecision WHERE id IN (SELECT d.id FROM sagas_shareddecision AS d "
        "JOIN sagas_horizon AS horizon ON horizon.saga = d.saga AND d.decided_at < horizon.before "
        "WHERE d.settled_at IS NOT NULL AND NOT EXISTS (SELECT FROM sagas_run AS run WHERE run.saga = d.saga "
        "AND run.decision_key = d.key AND run.decision_name = d.name AND run.decided_at IS NULL "
        "AND run.state IN ('PENDING', 'EXECUTING', 'AWAITING_CONFIRM', 'ESCALATED')) ORDER BY d.id LIMIT %s)",
        [limit],
    )
    execute("SELECT set_config('sagas.prune', '', true)", [])
    return deleted
