"""The only module of the engine with locks and SQL. Set-based: a statement serves a whole cohort.

Every function runs inside a transaction of its caller (``docs/transactions.md``). One order of locks
everywhere: runs by id, then whatever the participants lock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from sagas.conf import config
from sagas.errors import IllegalTransition
from sagas.plan import Due, Move, Place
from sagas.states import FINAL, State


class Row(NamedTuple):
    """A run as read under its lock. ``request`` and ``results`` are JSON text."""

    id: UUID
    saga: str
    version: int
    state: State
    cursor: int
    attempt: int
    claims: int
    request: str
    results: str
    trace_id: str
    started_at: datetime | None
    deadline: datetime | None
    shape: int

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.state, self.cursor)

    @property
    def waits_for_retry(self) -> bool:
        """Whether its operation broke, and its next attempt was not claimed yet: no message may perform it before."""
        return self.attempt > 0 and self.claims == 0


#: The log's column for who did it.
WORKER_LIMIT = 100

#: The trace id is only handed on: as text it need not be parsed.
_COLUMNS = (
    "id, saga, version, state, cursor, attempt, claims, request::text, results::text, trace_id::text, "
    "started_at, deadline, shape"
)


_NOT_NEW = "AND state <> 'PENDING'"


def by_place(rows: Iterable[Row]) -> dict[Place, list[Row]]:
    """Group runs by where they stand: whatever is decided for one is decided for all of a group."""
    groups: dict[tuple[State, int], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.state, row.cursor].append(row)
    return {Place(state, cursor): group for (state, cursor), group in groups.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """What all log rows of one statement share; see ``models.Log``."""

    operation: str
    outcome: str
    step: str = ""
    duration_us: int = 0
    worker: str = ""
    compensate: str = ""


def _rows(sql: str, params: Sequence[Any]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [Row(r[0], r[1], r[2], State(r[3]), *r[4:]) for r in cursor.fetchall()]


def _execute(sql: str, params: Sequence[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def _uuids(ids: Iterable[UUID]) -> str:
    """Write an array of UUIDs as PostgreSQL does: adapting them one by one costs more than the statement."""
    return f"{{{','.join(map(str, ids))}}}"


def clock() -> datetime:
    """The database's time, now: call it after the lock whose race it judges."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return now  # type: ignore[no-any-return]  # psycopg2 maps timestamptz to datetime


def insert(
    *,
    run_id: UUID,
    saga: str,
    version: int,
    shape: int,
    business_key: str,
    request: str,
    trace_id: UUID,
    first: Place,
    worker: str,
) -> None:
    """Insert a run that is due now, and its first log row, in one statement."""
    _execute(
        "WITH run AS (INSERT INTO sagas_run (id, saga, version, shape, state, cursor, attempt, claims, business_key, "
        "request, results, trace_id, created_at, due_at) "
        "VALUES (%s, %s, %s, %s, %s, %s, 0, 0, %s, %s::jsonb, '{}', %s, clock_timestamp(), clock_timestamp()) "
        "RETURNING id, trace_id) "
        "INSERT INTO sagas_log (run_id, step, operation, outcome, attempt, at, duration_us, worker, trace_id, "
        "compensate) SELECT id, '', 'start', 'EVENT', 1, clock_timestamp(), 0, %s, trace_id, '' FROM run",
        [run_id, saga, version, shape, first.state, first.cursor, business_key, request, trace_id, worker],
    )


def lock(ids: Iterable[UUID]) -> list[Row]:
    """Lock these runs, in the order of their ids; those that do not exist are left out."""
    return _rows(
        f"SELECT {_COLUMNS} FROM sagas_run WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE",
        [_uuids(sorted(set(ids)))],
    )


#: Saga, version, shape, state, cursor: runs of this kind are for other processes; see ``sagas.claim``.
Foreign = tuple[str, int, int, str, int]

#: For a lease: nobody else has taken them, so they are taken up, and counted.
_NOT_FOREIGN = (
    "AND (due_at <= now() - %s OR (saga, version, shape, state, cursor) NOT IN "
    "(SELECT * FROM unnest(%s::text[], %s::int[], %s::int[], %s::text[], %s::int[])))"
)


def claimable(limit: int, *, lapsed: bool, begin: bool, foreign: Collection[Foreign] = ()) -> list[Row]:
    """Lock up to ``limit`` due runs that nobody else is claiming, the longest due first.

    Args:
        limit: runs at most.
        lapsed: take those whose lease ran out, instead of those that were never claimed since their last move.
        begin: take those too that have not begun.
        foreign: kinds of runs to leave to others for the time of a lease.
    """
    others: list[Any] = []
    if foreign:
        others = [timedelta(seconds=config().lease), *(list(column) for column in zip(*foreign, strict=True))]
    claims = ">" if lapsed else "="
    # now(), not clock_timestamp(): only a stable function can use the index on due_at.
    return _rows(
        f"SELECT {_COLUMNS} FROM sagas_run WHERE due_at <= now() "
        f"AND claims {claims} 0 {'' if begin else _NOT_NEW} "
        f"{_NOT_FOREIGN if foreign else ''} ORDER BY due_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED",
        [*others, limit],
    )


def lease(ids: Sequence[UUID], *, begin: bool, within: float | None = None) -> None:
    """Give claimed runs a lease, doubled with every claim without progress.

    Args:
        ids: runs that the caller has locked.
        begin: whether those that are PENDING begin now. A process that does not know their saga only waits.
        within: seconds from the beginning to the first confirm deadline; ``None`` for no deadline.
    """
    start = (
        ", state = CASE state WHEN 'PENDING' THEN 'EXECUTING' ELSE state END, "
        "started_at = COALESCE(started_at, clock_timestamp()), "
        "deadline = COALESCE(deadline, clock_timestamp() + %s)"
    )
    _execute(
        "UPDATE sagas_run SET claims = claims + 1, "
        "due_at = clock_timestamp() + %s * power(2, LEAST(claims, 16))"
        f"{start if begin else ''} WHERE id = ANY(%s::uuid[])",
        [
            timedelta(seconds=config().lease),
            *([None if within is None else timedelta(seconds=within)] if begin else []),
            _uuids(ids),
        ],
    )


def release(ids: Sequence[UUID]) -> None:
    """Give back a lease whose messages could not be published: the runs are due again after a tick.

    A run of which nothing is done yet has not begun: its confirm deadline must not run while the broker is away.
    """
    untouched = "run.state = 'EXECUTING' AND run.cursor = 0 AND run.attempt = 0 AND run.claims = 1"
    _execute(
        "UPDATE sagas_run AS run SET claims = run.claims - 1, due_at = clock_timestamp() + %s, "
        f"started_at = CASE WHEN {untouched} THEN NULL ELSE run.started_at END, "
        f"deadline = CASE WHEN {untouched} THEN NULL ELSE run.deadline END "
        "FROM (SELECT id FROM sagas_run WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE) AS mine "
        "WHERE run.id = mine.id AND run.due_at IS NOT NULL AND run.claims > 0",
        [timedelta(seconds=config().tick), _uuids(ids)],
    )


class Keep(Enum):
    """What the run itself keeps of the data of its log row."""

    NOTHING = auto()
    #: Under the step's name, for later steps to read.
    RESULT = auto()
    #: Why the run is being undone.
    REASON = auto()


#: The run's own log row, by a look-up and not by a join: a join invites a plan that compares all with all.
_OWN = "(SELECT v.data FROM v WHERE v.id = run.id)"
_KEPT = {
    Keep.NOTHING: ("", 0),
    Keep.RESULT: (
        f", results = CASE WHEN {_OWN} IS NULL THEN run.results "
        f"ELSE run.results || jsonb_build_object(%s::text, {_OWN}) END",
        1,
    ),
    Keep.REASON: (f", reason = {_OWN}", 0),
}


def move(change: Move, ids: Sequence[UUID]) -> None:
    """Move locked runs from one place to another, with nothing to log.

    Raises:
        IllegalTransition: a run did not stand where it should; the transaction must be rolled back.
    """
    setting, params = _set(change)
    count = _execute(
        f"UPDATE sagas_run AS run SET {setting} WHERE id = ANY(%s::uuid[]) AND run.state = %s AND run.cursor = %s",
        [*params, _uuids(ids), change.before.state, change.before.cursor],
    )
    _check_moved(count, len(ids), change)


def advance(
    change: Move,
    rows: Sequence[Row],
    entry: Entry,
    *,
    data: Mapping[UUID, str] | None = None,
    keep: Keep = Keep.NOTHING,
) -> None:
    """Log what happened to locked runs, and move them, in one statement: neither is ever there without the other.

    Args:
        change: from where, to where, due when.
        rows: the runs; all must stand at ``change.before``.
        entry: what their log rows share.
        data: JSON text of each run's log row.
        keep: what the run keeps of it.

    Raises:
        IllegalTransition: a run did not stand where it should; the transaction must be rolled back.
    """
    setting, params = _set(change)
    kept, names = _KEPT[keep if data else Keep.NOTHING]
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH v AS (SELECT * FROM unnest({_LOGGED}) AS v(id, attempt, trace_id, data)), "
            f"noted AS (INSERT INTO sagas_log ({_LOG_COLUMNS}) SELECT {_LOG_VALUES} FROM v), "
            f"moved AS (UPDATE sagas_run AS run SET {setting}{kept} "
            "WHERE run.id = ANY(%s::uuid[]) AND run.state = %s AND run.cursor = %s RETURNING 1) "
            "SELECT count(*) FROM moved",
            [
                *_logged(rows, data),
                *_shared(entry),
                *params,
                *([entry.step] * names),
                _uuids(row.id for row in rows),
                change.before.state,
                change.before.cursor,
            ],
        )
        (count,) = cursor.fetchone()
    _check_moved(count, len(rows), change)


def log(entry: Entry, rows: Sequence[Row], data: Mapping[UUID, str] | None = None) -> None:
    """Append one log row for each run, which stays where it is. ``data`` is JSON text by run."""
    _execute(
        f"INSERT INTO sagas_log ({_LOG_COLUMNS}) SELECT {_LOG_VALUES} "
        f"FROM unnest({_LOGGED}) AS v(id, attempt, trace_id, data)",
        [*_shared(entry), *_logged(rows, data)],
    )


_LOG_COLUMNS = "run_id, step, operation, outcome, attempt, at, duration_us, worker, trace_id, compensate, data"
_LOG_VALUES = "v.id, %s, %s, %s, v.attempt, clock_timestamp(), %s, %s, v.trace_id, %s, v.data"
_LOGGED = "%s::uuid[], %s::int[], %s::uuid[], %s::jsonb[]"


def _shared(entry: Entry) -> list[Any]:
    # A host's or a user's name may be longer than its column; that must not stop the run.
    who = entry.worker.replace("\x00", "")[:WORKER_LIMIT]
    return [entry.step, entry.operation, entry.outcome, entry.duration_us, who, entry.compensate]


def _logged(rows: Sequence[Row], data: Mapping[UUID, str] | None) -> list[Any]:
    texts = data or {}
    return [
        _uuids(row.id for row in rows),
        [row.attempt + 1 for row in rows],
        f"{{{','.join(row.trace_id for row in rows)}}}",
        [texts.get(row.id) for row in rows],
    ]


def _set(change: Move) -> tuple[str, list[Any]]:
    due, due_params = _due(change.due)
    finished = "clock_timestamp()" if change.after.state in FINAL else "NULL"
    return (
        f"state = %s, cursor = %s, attempt = %s, claims = 0, due_at = {due}, finished_at = {finished}",
        [change.after.state, change.after.cursor, change.attempt, *due_params],
    )


def _check_moved(count: int, expected: int, change: Move) -> None:
    if count != expected:
        msg = f"{expected - count} of {expected} runs did not stand at {change.before}"
        raise IllegalTransition(msg)


def _due(due: Due | float) -> tuple[str, list[Any]]:
    if due is Due.NEVER:
        return "NULL", []
    if due is Due.DEADLINE:
        return "GREATEST(run.deadline + %s, clock_timestamp())", [timedelta(seconds=config().grace)]
    if due is Due.LEASE:
        lease_time = timedelta(seconds=config().lease)
        return (
            "CASE WHEN run.due_at < clock_timestamp() + %s THEN clock_timestamp() + %s ELSE run.due_at END",
            [lease_time / 2, lease_time],
        )
    return "clock_timestamp() + %s", [timedelta(seconds=due)]


def confirmations(ids: Sequence[UUID]) -> dict[UUID, set[str]]:
    """Which confirmations of these runs have come. Read it under their locks."""
    found: dict[UUID, set[str]] = {run_id: set() for run_id in ids}
    with connection.cursor() as cursor:
        cursor.execute("SELECT run_id, name FROM sagas_confirmation WHERE run_id = ANY(%s::uuid[])", [_uuids(ids)])
        for run_id, name in cursor.fetchall():
            found[run_id].add(name)
    return found


def confirmation(run_id: UUID, name: str) -> tuple[str, datetime] | None:
    """What came with a confirmation (JSON text), and when; ``None`` if it has not come."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT data::text, received_at FROM sagas_confirmation WHERE run_id = %s AND name = %s",
            [run_id, name],
        )
        return cursor.fetchone()  # type: ignore[no-any-return]  # the two columns named above


def insert_confirmation(run_id: UUID, name: str, data: str) -> None:
    """Record a confirmation. The run is locked, so the unique constraint only proves it is the first."""
    _execute(
        "INSERT INTO sagas_confirmation (run_id, name, data, received_at) "
        "VALUES (%s, %s, %s::jsonb, clock_timestamp())",
        [run_id, name, data],
    )


def set_deadline(run_id: UUID, deadline: datetime | None) -> None:
    """Set the time of the next missing confirmation; an AWAITING_CONFIRM run is due then (and a grace)."""
    _execute(
        "UPDATE sagas_run SET deadline = %s, "
        "due_at = CASE state WHEN 'AWAITING_CONFIRM' THEN COALESCE(%s, clock_timestamp()) ELSE due_at END "
        "WHERE id = %s",
        [deadline, deadline + timedelta(seconds=config().grace) if deadline else None, run_id],
    )


def open_escalation(row: Row, *, step: str, operation: str, error: str) -> None:
    """Open an escalation for a locked run: it will stand ESCALATED until a person resolves it."""
    _execute(
        "INSERT INTO sagas_escalation (run_id, state, step, operation, error, created_at, resolution, resolved_by, "
        "note) VALUES (%s, %s, %s, %s, %s::jsonb, clock_timestamp(), '', '', '')",
        [row.id, row.state, step, operation, error],
    )


def escalated_from(run_id: UUID) -> State | None:
    """The state from which the run was escalated, if an escalation of it is open."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT state FROM sagas_escalation WHERE run_id = %s AND resolved_at IS NULL", [run_id])
        found = cursor.fetchone()
    return State(found[0]) if found else None


def resolve_escalation(run_id: UUID, *, resolution: str, by: str, note: str) -> None:
    """Close the open escalation of a locked run."""
    _execute(
        "UPDATE sagas_escalation SET resolved_at = clock_timestamp(), resolution = %s, resolved_by = %s, note = %s "
        "WHERE run_id = %s AND resolved_at IS NULL",
        [resolution, by.replace("\x00", ""), note.replace("\x00", ""), run_id],
    )


def backlog_age() -> float:
    """Seconds that the oldest run which has not been begun has waited; 0 where none waits."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(due_at)), 0)::float8 FROM ("
            "SELECT due_at FROM sagas_run WHERE due_at <= now() AND state = 'PENDING' "
            "ORDER BY due_at LIMIT 1) AS oldest"
        )
        (age,) = cursor.fetchone()
    return max(float(age), 0.0)
