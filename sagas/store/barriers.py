"""SQL of the barrier table of another database. Every statement serves a whole cohort.

The methods of ``Table`` run in the transaction of the effect, and lock rows in the order of their runs.
``sagas.engine.outside.barrier`` says what the rows mean.
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
    """The outcome in a barrier row. ``data`` is JSON text."""

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
        """Insert a row for each run and operation, unless there is one. The first statement of the transaction.

        It waits for a transaction that has inserted the same row and has not ended yet.

        Args:
            operations: the operations in the order in which their rows are inserted, each with its outcome.
            attempts: the number of the attempt, by run.

        Returns:
            The rows that were inserted, as (run, operation).
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
        """Read the rows of these runs. As a statement of its own it sees the rows for which ``enter`` has waited."""
        found = self._rows(
            "SELECT run_id, operation, outcome, attempt, data::text FROM sagas_barrier "
            "WHERE run_id = ANY(%s::uuid[]) AND step = %s AND operation = ANY(%s)",
            [uuid_array(ids), self.step, list(operations)],
        )
        return {(r[0], r[1]): Row(BarrierOutcome(r[2]), r[3], r[4]) for r in found}

    def write(self, operation: str, rows: dict[UUID, Row]) -> None:
        """Write the outcome of the operation into the rows of these runs."""
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
        """Delete rows, given as (run, operation), that this transaction has inserted: nothing has happened."""
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
    """Whether the database has the table."""
    with connections[database].cursor() as cursor:
        cursor.execute("SELECT to_regclass('sagas_barrier') IS NOT NULL")
        return bool(cursor.fetchone()[0])


def runs_older_than(database: str, *, after: UUID, days: float, limit: int) -> list[UUID]:
    """Runs after ``after``, in the order of their ids, that have a barrier row older than ``days``."""
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
    """The data in a run's barrier rows, as (step, operation, JSON text)."""
    with connections[database].cursor() as cursor:
        cursor.execute(
            "SELECT step, operation, data::text FROM sagas_barrier WHERE run_id = %s AND data IS NOT NULL "
            "ORDER BY step, operation",
            [run_id],
        )
        return [(step, operation, text) for step, operation, text in cursor.fetchall()]


def overwrite(database: str, run_id: UUID, step: str, operation: str, text: str) -> None:
    """Write other data into one barrier row."""
    with connections[database].cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_barrier SET data = %s::jsonb WHERE run_id = %s AND step = %s AND operation = %s",
            [text, run_id, step, operation],
        )
