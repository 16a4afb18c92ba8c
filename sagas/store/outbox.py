"""SQL of the outbox: events are inserted with the move that they publish, claimed by run, and deleted when confirmed.

Written by ``sagas.store.moves`` in the statement that writes the log row and the move; published by
``sagas.messaging.relay``.

A run's events are inserted under its lock, so they become visible in the order of their positions. A relay locks the
first event of a run that is left; no other relay claims the run until that lock is released. So an event is published
only after the one before it was confirmed, even if many relays publish at once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from sagas.definition.events import Event, EventData, EventDraft

#: Longest wait before a refused event is tried again, in seconds.
LONGEST_WAIT = 60


@dataclass(frozen=True, slots=True)
class Branch:
    """What publishing adds to a statement that moves runs; empty where nothing is published.

    Attributes:
        count: for the SET of the UPDATE of ``sagas_run AS run``; takes ``counted``.
        returned: for its RETURNING, which must be the CTE ``moved``.
        insert: a CTE after it; takes ``inserted``.
    """

    count: str = ""
    returned: str = ""
    insert: str = ""
    counted: tuple[Any, ...] = ()
    inserted: tuple[Any, ...] = ()


#: Nothing is published.
SILENT = Branch()

_COLUMNS = "run_id, position, name, saga, version, step, business_key, trace_id, occurred_at, data, attempt, due_at"
_RETURNED = (
    ", run.events, run.version AS of_version, run.trace_id AS trace, run.saga AS of_saga, run.id AS of_run, "
    "run.business_key AS key, run.reason AS why"
)


def _public(error: str) -> str:
    """SQL for the public part of an error. Its sentence is left out: it may quote a customer."""
    members = ", ".join(f"'{member}', {error} -> '{member}'" for member in ("kind", "step", "code"))
    return f"jsonb_strip_nulls(jsonb_build_object({members}))"


def branch(told: Sequence[EventDraft], *, data: bool) -> Branch:
    """Insert these events for all runs that a statement moves and that publish events.

    Args:
        told: the events, in their order.
        data: whether the statement has a CTE ``v`` with columns ``id`` and ``data``: the log row of each run.
    """
    if not told:
        return SILENT
    own = "(SELECT v.data FROM v WHERE v.id = moved.of_run)" if data else "NULL::jsonb"
    result = f"CASE jsonb_typeof({own}) WHEN 'object' THEN {own} - e.private::text[] ELSE {own} END"
    return Branch(
        count=", events = run.events + %s",
        returned=_RETURNED,
        insert=(
            f", told AS (INSERT INTO sagas_outbox ({_COLUMNS}) "
            "SELECT moved.of_run, moved.events - %s + e.n, e.name, moved.of_saga, moved.of_version, e.step, moved.key, "
            f"moved.trace, clock_timestamp(), CASE e.data WHEN '{EventData.RESULT}' THEN {result} "
            f"WHEN '{EventData.ERROR}' THEN {_public(own)} WHEN '{EventData.REASON}' THEN {_public('moved.why')} END, "
            "0, clock_timestamp() FROM moved CROSS JOIN unnest(%s::text[], %s::text[], %s::text[], %s::text[]) "
            "WITH ORDINALITY AS e(name, step, data, private, n) WHERE moved.events IS NOT NULL "
            "ORDER BY moved.of_run, e.n)"
        ),
        counted=(len(told),),
        inserted=(
            len(told),
            [event.name for event in told],
            [event.step for event in told],
            [event.data.value for event in told],
            # An array of arrays must be rectangular, so each inner array is passed as text.
            [_array(event.private) for event in told],
        ),
    )


def _array(texts: Sequence[str]) -> str:
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


#: SQL that writes the first event of a run that the CTE ``run`` has inserted; takes the event's name.
START = (
    f", told AS (INSERT INTO sagas_outbox ({_COLUMNS}) SELECT id, 1, %s, saga, version, '', business_key, trace_id, "
    "clock_timestamp(), NULL, 0, clock_timestamp() FROM run)"
)


def claim(limit: int) -> list[UUID]:
    """Lock the first event of up to ``limit`` runs if it is due, the longest due first; return the runs.

    Until this transaction ends, no other relay publishes events of these runs.
    """
    with connection.cursor() as cursor:
        # Only the first event of its run, found by NOT EXISTS. ORDER BY position LIMIT 1 would skip a first event
        # that another relay has locked, and return the second one.
        cursor.execute(
            "SELECT run_id FROM sagas_outbox AS first WHERE due_at <= now() AND NOT EXISTS ("
            "SELECT FROM sagas_outbox AS before WHERE before.run_id = first.run_id "
            "AND before.position < first.position) ORDER BY due_at LIMIT %s FOR UPDATE OF first SKIP LOCKED",
            [limit],
        )
        return [run_id for (run_id,) in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that waits in the outbox, and how often it was refused."""

    event: Event
    attempt: int


def read(run_ids: Sequence[UUID]) -> dict[UUID, list[Waiting]]:
    """Read all events of claimed runs, in order."""
    found: dict[UUID, list[Waiting]] = {run_id: [] for run_id in run_ids}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id, position, name, saga, version, step, business_key, trace_id, occurred_at, data::text, "
            "attempt FROM sagas_outbox WHERE run_id = ANY(%s::uuid[]) ORDER BY run_id, position",
            [list(run_ids)],
        )
        for run_id, position, name, saga, version, step, key, trace_id, at, data, attempt in cursor.fetchall():
            told = None if data is None else json.loads(data)
            event = Event(run_id, position, name, saga, version, step, key, trace_id, at, told)
            found[event.run_id].append(Waiting(event, attempt))
    return found


def delete(published: Mapping[UUID, int]) -> None:
    """Delete the events of claimed runs that RabbitMQ has confirmed: those up to a position, by run."""
    if not published:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM sagas_outbox AS o USING unnest(%s::uuid[], %s::int[]) AS v(run_id, position) "
            "WHERE o.run_id = v.run_id AND o.position <= v.position",
            [list(published), list(published.values())],
        )


def put_off(refused: Mapping[UUID, int]) -> None:
    """Postpone all events of claimed runs of which RabbitMQ has refused the first, longer each time.

    Args:
        refused: how often the first event was refused before, by run.
    """
    if not refused:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_outbox AS o SET attempt = LEAST(v.attempt + 1, 30000), "
            f"due_at = clock_timestamp() + LEAST(power(2, LEAST(v.attempt, 16)), {LONGEST_WAIT}) * interval '1 second' "
            "FROM unnest(%s::uuid[], %s::int[]) AS v(run_id, attempt) WHERE o.run_id = v.run_id",
            [list(refused), list(refused.values())],
        )


def waiting() -> tuple[int, float]:
    """How many events wait, and how many seconds the oldest has waited; 0 if none waits."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(occurred_at)), 0)::float8 "
            "FROM sagas_outbox"
        )
        count, age = cursor.fetchone()
    return int(count), max(float(age), 0.0)


def take_in(consumer: str, event_ids: Collection[str]) -> set[str]:
    """Record in the inbox that a consumer takes these events; return those that it had not taken before.

    It waits for a transaction that is taking a copy of the same event: that transaction may be rolled back.
    """
    with connection.cursor() as cursor:
        # Always in the same order: two transactions that take the same events must not deadlock.
        cursor.execute(
            "INSERT INTO sagas_inbox (consumer, event_id, received_at) SELECT %s, id, clock_timestamp() "
            "FROM unnest(%s::text[]) AS v(id) ORDER BY id ON CONFLICT DO NOTHING RETURNING event_id",
            [consumer, sorted(set(event_ids))],
        )
        return {event_id for (event_id,) in cursor.fetchall()}
