"""The barrier table of another database: its SQL. Set-based: a statement serves a whole cohort.

Beside ``sagas.store.runs``, which has the SQL of the engine's own database. What ``Table`` does runs in the transaction
of the effect, and takes rows in the order of their runs; see ``sagas.engine.barrier`` for what they mean.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connections

from sagas.db import uuid_array
from sagas.states import BarrierOutcome


@dataclass(frozen=True, slots=True)
class Row:
    """What a barrier row says. ``data`` is JSON text."""

    outcome: BarrierOutcome
    attempt: int = 1
    data: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The barrier table, as one step uses it.

    Attributes:
        database: alias of the database it is in.
        step: name of the step.
    """

    database: str
    step: str

    def enter(
        self, operations: Sequence[tuple[str, BarrierOutcome]], attempts: dict[UUID, int]
    ) -> set[tuple[UUID, str]]:
        """Insert a row for each run and operation, unless it is there. The first statement of the transaction.

        Waits for a transaction that is about to insert the same row: if that one commits, its row is there.

        Args:
            operations: in the order in which their rows are taken, and what the rows say.
            attempts: the runs, and the number of each one's attempt.

        Returns:
            The rows that are new, as (run, operation).
        """
        inserted = self._rows(
            "INSERT INTO sagas_barrier (run_id, step, operation, outcome, attempt, at) "
            "SELECT v.run_id, %s, o.operation, o.outcome, v.attempt, clock_timestamp() "
            "FROM unnest(%s::uuid[], %s::int[]) AS v(run_id, attempt), "
            "unnest(%s::text[], %s::text[]) WITH ORDINALITY AS o(operation, outcome, number) "
            # One order for all: a forward cohort and an undo of the same runs must not deadlock.
            "ORDER BY v.run_id, o.number ON CONFLICT DO NOTHING RETURNING run_id, operation",
            [
                self.step,
                uuid_array(attempts),
                list(attempts.values()),
                [operation for operation, _ in operations],
                [str(outcome) for _, outcome in operations],
            ],
        )
        return {(run_id, operation) for run_id, operation in inserted}

    def read(self, operations: Sequence[str], ids: Iterable[UUID]) -> dict[tuple[UUID, str], Row]:
        """What the rows of these runs say. A statement of its own: it sees what ``enter`` has waited for."""
        found = self._rows(
            "SELECT run_id, operation, outcome, attempt, data::text FROM sagas_barrier "
            "WHERE run_id = ANY(%s::uuid[]) AND step = %s AND operation = ANY(%s)",
            [uuid_array(ids), self.step, list(operations)],
        )
        return {(r[0], r[1]): Row(BarrierOutcome(r[2]), r[3], r[4]) for r in found}

    def write(self, operation: str, rows: dict[UUID, Row]) -> None:
        """Say in the rows of these runs what became of the operation."""
        self._execute(
            "UPDATE sagas_barrier AS barrier SET outcome = v.outcome, attempt = v.attempt, data = v.data "
            "FROM unnest(%s::uuid[], %s::text[], %s::int[], %s::jsonb[]) AS v(run_id, outcome, attempt, data) "
            "WHERE barrier.run_id = v.run_id AND barrier.step = %s AND barrier.operation = %s",
            [
                uuid_array(rows),
                [str(row.outcome) for row in rows.values()],
                [row.attempt for row in rows.values()],
                [row.data for row in rows.values()],
                self.step,
                operation,
            ],
        )

    def leave(self, rows: Collection[tuple[UUID, str]]) -> None:
        """Delete rows that this transaction has inserted, as (run, operation): nothing has happened."""
        self._execute(
            "DELETE FROM sagas_barrier AS barrier USING unnest(%s::uuid[], %s::text[]) AS v(run_id, operation) "
            "WHERE barrier.run_id = v.run_id AND barrier.step = %s AND barrier.operation = v.operation",
            [uuid_array(run_id for run_id, _ in rows), [operation for _, operation in rows], self.step],
        )

    def _rows(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        with connections[self.database].cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    def _execute(self, sql: str, params: Sequence[Any]) -> None:
        with connections[self.database].cursor() as cursor:
            cursor.execute(sql, params)


def exists(database: str) -> bool:
    """Whether the table is there at all."""
    with connections[database].cursor() as cursor:
        cursor.execute("SELECT to_regclass('sagas_barrier') IS NOT NULL")
        return bool(cursor.fetchone()[0])


def runs_older_than(database: str, *, after: UUID, days: float, limit: int) -> list[UUID]:
    """Runs with a barrier row older than ``days``, in the order of their ids, from behind ``after`` on."""
    with connections[database].cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT run_id FROM sagas_barrier WHERE run_id > %s "
            "AND at < clock_timestamp() - %s * interval '1 day' ORDER BY run_id LIMIT %s",
            [after, days, limit],
        )
        return [run_id for (run_id,) in cursor.fetchall()]


def delete(database: str, ids: Iterable[UUID]) -> int:
    """Delete the barrier rows of these runs; return how many there were."""
    with connections[database].cursor() as cursor:
        cursor.execute("DELETE FROM sagas_barrier WHERE run_id = ANY(%s::uuid[])", [uuid_array(ids)])
        return int(cursor.rowcount)


def recorded(database: str, run_id: UUID) -> list[tuple[str, str, str]]:
    """What a run's barrier rows have recorded, as (step, operation, JSON text)."""
    with connections[database].cursor() as cursor:
        cursor.execute(
            "SELECT step, operation, data::text FROM sagas_barrier WHERE run_id = %s AND data IS NOT NULL "
            "ORDER BY step, operation",
            [run_id],
        )
        return [(step, operation, text) for step, operation, text in cursor.fetchall()]


def overwrite(database: str, run_id: UUID, step: str, operation: str, text: str) -> None:
    """Record something else in one barrier row."""
    with connections[database].cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_barrier SET data = %s::jsonb WHERE run_id = %s AND step = %s AND operation = %s",
            [text, run_id, step, operation],
        )
