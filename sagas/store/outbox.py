"""SQL of the outbox, the inbox, and the queues of listeners where there is no broker.

Events are written by ``sagas.store.moves`` in the statement that writes the log row and the move, published by
``sagas.messaging.relay``, and deleted when RabbitMQ has confirmed them.

A run's events are inserted under its lock, so they become visible in the order of their positions. A relay locks the
first event of a run that is left; no other relay claims the run until that lock is released. So an event is published
only after the one before it was confirmed, even if many relays publish at once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from sagas import limits
from sagas.definition.events import Event, EventData, EventDraft
from sagas.store.runs import execute

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

_COLUMNS = (
    "run_id, position, name, saga, version, step, business_key, trace_id, trace_parent, occurred_at, data, attempt, "
    "due_at"
)
#: The columns of an event, as ``_event`` reads them.
_EVENT = "run_id, position, name, saga, version, step, business_key, trace_id, trace_parent, occurred_at, data::text"
_RETURNED = (
    ", run.events, run.version AS of_version, run.trace_id AS trace, run.trace_parent AS traced, run.saga AS of_saga, "
    "run.id AS of_run, run.business_key AS key, run.reason AS why"
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
            f"moved.trace, moved.traced, clock_timestamp(), CASE e.data WHEN '{EventData.RESULT}' THEN {result} "
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


#: A CTE that writes the first event of a run that the CTE ``sagas_started`` has inserted.
START = (
    f"sagas_told AS (INSERT INTO sagas_outbox ({_COLUMNS}) SELECT id, 1, %(sagas_event)s, saga, version, '', "
    "business_key, trace_id, trace_parent, clock_timestamp(), NULL, 0, clock_timestamp() FROM sagas_started)"
)


def claim(limit: int, *, sagas: Collection[str] | None = None) -> list[UUID]:
    """Lock the first event of up to ``limit`` runs if it is due, the longest due first; return the runs.

    Until this transaction ends, no other relay publishes events of these runs.

    Args:
        limit: runs at most.
        sagas: only runs of these sagas; of all by default.
    """
    only = "" if sagas is None else "AND saga = ANY(%s) "
    with connection.cursor() as cursor:
        # Only the first event of its run, found by NOT EXISTS. ORDER BY position LIMIT 1 would skip a first event
        # that another relay has locked, and return the second one.
        cursor.execute(
            "SELECT run_id FROM sagas_outbox AS first WHERE due_at <= now() AND NOT EXISTS ("
            "SELECT FROM sagas_outbox AS before WHERE before.run_id = first.run_id "
            f"AND before.position < first.position) {only}ORDER BY due_at LIMIT %s FOR UPDATE OF first SKIP LOCKED",
            [*([] if sagas is None else [sorted(sagas)]), limit],
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
            f"SELECT attempt, {_EVENT} FROM sagas_outbox WHERE run_id = ANY(%s::uuid[]) ORDER BY run_id, position",
            [list(run_ids)],
        )
        for attempt, *columns in cursor.fetchall():
            event = _event(columns)
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


# The queues of listeners ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Queued:
    """An event that waits for a listener.

    Attributes:
        listener: the listener's name.
        run_id: the run.
        position: the event's position in the run's history.
        attempt: how often it was given to the listener, with this time.
    """

    listener: str
    run_id: UUID
    position: int
    attempt: int


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """An event that was set aside, for it could not be taken."""

    listener: str
    event_id: str
    routing_key: str
    business_key: str
    attempt: int
    dead_at: datetime
    error: str


_QUEUED = "name, saga, version, step, business_key, trace_id, trace_parent, occurred_at, data"
_KEY = "q.listener = v.listener AND q.run_id = v.run_id AND q.position = v.position"


def enqueue(events: Sequence[tuple[str, UUID, int]]) -> None:
    """Copy events of claimed runs from the outbox to the queues of listeners: listener, run and position of each."""
    if not events:
        return
    copied = ", ".join(f"o.{column.strip()}" for column in _QUEUED.split(","))
    execute(
        f"INSERT INTO sagas_queuedevent (listener, run_id, position, {_QUEUED}, attempt, due_at, error) "
        f"SELECT v.listener, o.run_id, o.position, {copied}, 0, clock_timestamp(), '' "
        "FROM unnest(%s::text[], %s::uuid[], %s::int[]) AS v(listener, run_id, position) "
        "JOIN sagas_outbox AS o USING (run_id, position) ON CONFLICT DO NOTHING",
        [list(column) for column in zip(*events, strict=True)],
    )


def claim_queued(listeners: Sequence[str], limit: int, *, again: bool, lease: timedelta) -> list[Queued]:
    """Take due events for these listeners, the longest due first, and count the attempt; commit it before the call.

    Only the first event of a run that a listener has not taken is given to it. One that a listener is taking now is
    locked, and is passed over.

    Args:
        listeners: names.
        limit: events at most.
        again: take events that were given to the listener before, instead of those that were not.
        lease: after which an event that was not taken is due again; doubled with every attempt.
    """
    longest = f"{LONGEST_WAIT} * interval '1 second'"
    arguments: list[Any] = [list(listeners), limit, lease]
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH v AS (SELECT listener, run_id, position FROM sagas_queuedevent AS first "
            f"WHERE dead_at IS NULL AND due_at <= now() AND listener = ANY(%s) AND attempt {'>' if again else '='} 0 "
            "AND NOT EXISTS (SELECT FROM sagas_queuedevent AS before WHERE before.listener = first.listener "
            "AND before.run_id = first.run_id AND before.position < first.position AND before.dead_at IS NULL) "
            "ORDER BY due_at LIMIT %s FOR UPDATE OF first SKIP LOCKED) "
            "UPDATE sagas_queuedevent AS q SET attempt = q.attempt + 1, "
            f"due_at = clock_timestamp() + LEAST(%s * power(2, LEAST(q.attempt, 16)), {longest}) FROM v "
            f"WHERE {_KEY} RETURNING q.listener, q.run_id, q.position, q.attempt",
            arguments,
        )
        return [Queued(*row) for row in cursor.fetchall()]


def lock_queued(queued: Queued) -> Event | None:
    """Lock an event that was claimed, and read it; ``None`` if another process has it, or somebody has changed it."""
    return _read_one(
        f"SELECT {_EVENT} FROM sagas_queuedevent WHERE listener = %s AND run_id = %s AND position = %s "
        "AND attempt = %s AND dead_at IS NULL FOR UPDATE SKIP LOCKED",
        [queued.listener, queued.run_id, queued.position, queued.attempt],
    )


def _read_one(sql: str, params: Sequence[Any]) -> Event | None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
    return None if row is None else _event(row)


def _event(row: Sequence[Any]) -> Event:
    """An event of the columns ``_EVENT``."""
    run_id, position, name, saga, version, step, key, trace_id, traced, at, data = row
    told = None if data is None else json.loads(data)
    return Event(run_id, position, name, saga, version, step, key, trace_id, at, told, traced)


def delete_queued(queued: Queued) -> None:
    """Delete an event that the listener has taken."""
    execute(
        "DELETE FROM sagas_queuedevent WHERE listener = %s AND run_id = %s AND position = %s",
        [queued.listener, queued.run_id, queued.position],
    )


def fail_queued(queued: Queued, error: str, *, dead: bool) -> None:
    """Record that the listener could not take an event, which comes again later, later each time; or set it aside."""
    execute(
        "UPDATE sagas_queuedevent SET error = %s, dead_at = CASE WHEN %s THEN clock_timestamp() END, "
        f"due_at = clock_timestamp() + LEAST(power(2, LEAST(attempt - 1, 16)), {LONGEST_WAIT}) * interval '1 second' "
        "WHERE listener = %s AND run_id = %s AND position = %s AND attempt = %s",
        [error[: limits.DETAIL], dead, queued.listener, queued.run_id, queued.position, queued.attempt],
    )


def release_queued(queued: Sequence[Queued]) -> None:
    """Give back events that were claimed and not given to their listeners."""
    if queued:
        execute(
            "UPDATE sagas_queuedevent AS q SET attempt = q.attempt - 1, due_at = clock_timestamp() "
            "FROM unnest(%s::text[], %s::uuid[], %s::int[], %s::int[]) AS v(listener, run_id, position, attempt) "
            f"WHERE {_KEY} AND q.attempt = v.attempt",
            [
                list(column)
                for column in zip(*((q.listener, q.run_id, q.position, q.attempt) for q in queued), strict=True)
            ],
        )


def queued_by_listener() -> dict[str, tuple[int, float, int]]:
    """By listener: how many events wait, for how many seconds the oldest has been due, and how many were set aside."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT listener, count(*) FILTER (WHERE dead_at IS NULL), COALESCE(EXTRACT(EPOCH FROM clock_timestamp() "
            "- min(occurred_at) FILTER (WHERE dead_at IS NULL)), 0)::float8, count(dead_at) "
            "FROM sagas_queuedevent GROUP BY listener ORDER BY listener"
        )
        return {listener: (waiting, age, dead) for listener, waiting, age, dead in cursor.fetchall()}


_CHOSEN = (
    "dead_at IS NOT NULL AND (%s = '' OR listener = %s) AND (cardinality(%s::text[]) = 0 "
    "OR run_id::text || ':' || position = ANY(%s::text[]))"
)


def dead_events(listener: str, event_ids: Sequence[str], *, limit: int) -> list[DeadEvent]:
    """Read events that were set aside, the oldest first; of all listeners, or all ids, where none is given."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT listener, run_id || ':' || position, saga || '.' || name, business_key, attempt, dead_at, error "
            f"FROM sagas_queuedevent WHERE {_CHOSEN} ORDER BY dead_at, listener LIMIT %s",
            [*_chosen(listener, event_ids), limit],
        )
        return [DeadEvent(*row) for row in cursor.fetchall()]


def replay_dead(listener: str, event_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Give events that were set aside to their listeners again; return the listener and the id of each."""
    return _change_dead(
        "UPDATE sagas_queuedevent SET dead_at = NULL, attempt = 0, due_at = clock_timestamp()", listener, event_ids
    )


def take_dead(listener: str, event_id: str) -> Event | None:
    """Delete an event that was set aside, and return it; ``None`` if it is not there, or another process has it."""
    chosen = f"SELECT listener, run_id, position FROM sagas_queuedevent WHERE {_CHOSEN} FOR UPDATE SKIP LOCKED"
    return _read_one(
        f"DELETE FROM sagas_queuedevent WHERE (listener, run_id, position) IN ({chosen}) RETURNING {_EVENT}",
        _chosen(listener, [event_id]),
    )


def drop_dead(listener: str, event_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Delete events that were set aside; return the listener and the id of each."""
    return _change_dead("DELETE FROM sagas_queuedevent", listener, event_ids)


def _change_dead(change: str, listener: str, event_ids: Sequence[str]) -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"{change} WHERE {_CHOSEN} RETURNING listener, run_id || ':' || position", _chosen(listener, event_ids)
        )
        return [(name, event_id) for name, event_id in cursor.fetchall()]


def _chosen(listener: str, event_ids: Sequence[str]) -> list[Any]:
    return [listener, listener, list(event_ids), list(event_ids)]
