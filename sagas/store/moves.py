"""SQL that inserts and moves runs, and writes their log in the same statement."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Any
from uuid import UUID

from django.db import connection

from sagas import hooks, limits
from sagas.conf import config
from sagas.db import uuid_array
from sagas.decisions.plan import Due, Move, Place, Sooner
from sagas.definition.events import EventNames
from sagas.errors import IllegalTransition, UnknownSaga
from sagas.states import FINAL
from sagas.store import definitions, outbox
from sagas.store.runs import SEEN, UNBOUNDED, Put, Row, Sql, execute, notify_hooks
from sagas.validation import printable


@dataclass(frozen=True, slots=True)
class Entry:
    """What all log rows of one statement share; see ``models.Log``."""

    operation: str
    outcome: str
    step: str = ""
    duration_us: int = 0
    worker: str = ""
    compensate: str = ""


def event_entry(name: str, *, step: str = "", by: str = "") -> Entry:
    """The entry for something that happened to a run, other than an operation of a step."""
    return Entry(operation=name, outcome="EVENT", step=step, worker=by)


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
    parent: tuple[UUID, str] | None = None,
    event: str = "",
    locked: bool = False,
    wait: float = 0.0,
) -> bool:
    """Insert a run that is due now, or after ``wait`` seconds, and its first log row, in one statement.

    ``event`` is what its start is called, if it publishes events: they are counted from then on.

    Returns:
        Whether it was inserted: nothing is, and no error is raised, if there is a run of this id.
    """
    inserted = execute(
        "WITH run AS (INSERT INTO sagas_run (id, saga, version, shape, state, cursor, attempt, claims, business_key, "
        "request, results, trace_id, parent_id, parent_step, locked, created_at, due_at, events) "
        "VALUES (%s, %s, %s, %s, %s, %s, 0, 0, %s, %s::jsonb, '{}', %s, %s, %s, %s, clock_timestamp(), "
        "clock_timestamp() + %s, %s) ON CONFLICT (id) DO NOTHING "
        f"RETURNING id, saga, version, business_key, trace_id){outbox.START if event else ''} "
        "INSERT INTO sagas_log (run_id, step, operation, outcome, attempt, at, duration_us, worker, trace_id, "
        "compensate) SELECT id, '', 'start', 'EVENT', 1, clock_timestamp(), 0, %s, trace_id, '' FROM run",
        [
            run_id,
            saga,
            version,
            shape,
            first.state,
            first.cursor,
            business_key,
            request,
            trace_id,
            *(parent or (None, None)),
            locked,
            timedelta(seconds=wait),
            *([1, event] if event else [None]),
            worker,
        ],
    )
    return inserted > 0


class Keep(Enum):
    """What the run itself keeps of the data of its log row."""

    NOTHING = auto()
    #: Under the step's name, for later steps to read.
    RESULT = auto()
    #: Why the run is being undone.
    REASON = auto()


#: The run's own log row. By a subquery: for a join PostgreSQL may choose a plan that compares all rows with all.
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


def move(change: Move, rows: Sequence[Row], *, put: Put | None = None) -> None:
    """Move locked runs of one saga from one place to another, with nothing to log.

    Raises:
        IllegalTransition: a run did not stand where it should; the transaction must be rolled back.
    """
    ids = uuid_array([row.id for row in rows])
    _carry_out(change, ids, len(rows), setting=_set(change, put), told=_told(change, rows))


def advance(
    change: Move,
    rows: Sequence[Row],
    entry: Entry,
    *,
    data: Mapping[UUID, str] | None = None,
    keep: Keep = Keep.NOTHING,
    put: Put | None = None,
) -> None:
    """Log what happened to locked runs, and move them, in one statement. Runs that publish events write these too.

    Args:
        change: from where, to where, due when.
        rows: the runs, of one saga; all must stand at ``change.before``.
        entry: what their log rows share.
        data: JSON text of each run's log row.
        keep: what the run keeps of it.
        put: what the runs wait for from now on.

    Raises:
        IllegalTransition: a run did not stand where it should; the transaction must be rolled back.
    """
    setting, params = _set(change, put)
    kept, names = _KEPT[keep if data else Keep.NOTHING]
    ids = uuid_array([row.id for row in rows])
    _carry_out(
        change,
        ids,
        len(rows),
        log=(
            f"v AS (SELECT * FROM unnest({_LOGGED}) AS v(id, attempt, trace_id, data)), "
            f"noted AS (INSERT INTO sagas_log ({_LOG_COLUMNS}) SELECT {_LOG_VALUES} FROM v), ",
            [ids, *_logged(rows, data), *_shared(entry)],
        ),
        setting=(setting + kept, [*params, *([entry.step] * names)]),
        told=_told(change, rows, entry),
        data=data,
    )


def _carry_out(
    change: Move,
    ids: str,
    number: int,
    *,
    setting: Sql,
    told: outbox.Branch,
    log: Sql = ("", []),
    data: Mapping[UUID, str] | None = None,
) -> None:
    """Move so many locked runs, behind the CTEs of ``log`` and with the events that they tell; then tell the hooks."""
    watched = hooks.is_watched(change.before.state, change.after.state)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH {log[0]}moved AS (UPDATE sagas_run AS run SET {setting[0]}{told.count} "
            f"WHERE run.id = ANY(%s::uuid[]) {_AT} "
            f"RETURNING {SEEN if watched else '1'}{told.returned}){told.insert} "
            f"SELECT {'*' if watched else 'count(*)'} FROM moved",
            [
                *log[1],
                *setting[1],
                *told.counted,
                ids,
                *_at(change.before),
                *told.inserted,
            ],
        )
        found = cursor.fetchall()
    _check_moved(len(found) if watched else found[0][0], number, change)
    if watched:
        notify_hooks(change.before.state, change.after.state, found, data)


def _told(change: Move, rows: Sequence[Row], entry: Entry | None = None) -> outbox.Branch:
    """What the runs that publish tell of this move, and of the log entry that comes with it."""
    publishing = next((row for row in rows if row.events is not None), None)
    if publishing is None:
        return outbox.SILENT
    told = _names(publishing).drafts(
        step=entry.step if entry else "",
        operation=entry.operation if entry else "",
        outcome=entry.outcome if entry else "",
        before=change.before.state,
        after=change.after.state,
    )
    return outbox.branch(told, data=entry is not None)


def _names(row: Row) -> EventNames:
    try:
        return definitions.find(row.saga, row.version, row.shape).event_names
    except UnknownSaga:
        # A run whose saga this process does not know is escalated all the same, and its events have the saga's name.
        return EventNames(row.saga, {})


def log(entry: Entry, rows: Sequence[Row], data: Mapping[UUID, str] | None = None) -> None:
    """Append one log row for each run, without moving it. ``data`` is JSON text by run."""
    execute(
        f"INSERT INTO sagas_log ({_LOG_COLUMNS}) SELECT {_LOG_VALUES} "
        f"FROM unnest({_LOGGED}) AS v(id, attempt, trace_id, data)",
        [*_shared(entry), uuid_array([row.id for row in rows]), *_logged(rows, data)],
    )


_LOG_COLUMNS = "run_id, step, operation, outcome, attempt, at, duration_us, worker, trace_id, compensate, data"

_LOG_VALUES = "v.id, %s, %s, %s, v.attempt, clock_timestamp(), %s, %s, v.trace_id, %s, v.data"

_LOGGED = "%s::uuid[], %s::int[], %s::uuid[], %s::jsonb[]"


def _shared(entry: Entry) -> list[Any]:
    # The name of a host or a user may be longer than the column. That must not stop the run.
    who = printable(entry.worker)[: limits.WORKER_NAME]
    duration = min(entry.duration_us, limits.INTEGER)
    return [entry.step, entry.operation, entry.outcome, duration, who, entry.compensate]


def _logged(rows: Sequence[Row], data: Mapping[UUID, str] | None) -> list[Any]:
    """What differs from run to run in the log rows, besides the runs' ids."""
    texts = data or {}
    return [
        [row.attempt + 1 for row in rows],
        f"{{{','.join(row.trace_id for row in rows)}}}",
        [texts.get(row.id) for row in rows],
    ]


_AT = "AND run.state = %s AND run.cursor = %s AND run.fork = %s"


def _at(place: Place) -> list[Any]:
    return [place.state, place.cursor, place.fork]


def _set(change: Move, put: Put | None) -> Sql:
    after = change.after
    setting, params = "state = %s, cursor = %s, fork = %s", [after.state, after.cursor, after.fork]
    if change.due is not Due.KEEP:
        due, due_params = _due(change.due)
        finished = "clock_timestamp()" if after.state in FINAL else "NULL"
        setting += f", attempt = %s, claims = 0, due_at = {due}, finished_at = {finished}"
        params += [change.attempt, *due_params]
    if put is not None:
        waiting, put_params = _put(put)
        setting += f", pending = {waiting}"
        params += put_params
    return setting, params


def _put(put: Put) -> Sql:
    if put.wait is None:
        return "NULLIF(run.pending - %s, '{}')", [put.step]
    return "COALESCE(run.pending, '{}') || jsonb_build_object(%s, %s::jsonb)", [put.step, json.dumps(asdict(put.wait))]


def _check_moved(count: int, expected: int, change: Move) -> None:
    if count != expected:
        msg = f"{expected - count} of {expected} runs did not stand at {change.before}"
        raise IllegalTransition(msg)


def _due(due: Due | Sooner | float) -> Sql:
    if due is Due.NEVER:
        return "NULL", []
    if due is Due.DEADLINE:
        return (
            # A run that has not begun has no deadline yet: the claim sets it; see ``claims.release_leases``.
            "CASE WHEN run.started_at IS NULL THEN clock_timestamp() "
            "ELSE GREATEST(COALESCE(run.deadline + %s, clock_timestamp() + %s), clock_timestamp()) END",
            [timedelta(seconds=config().grace), UNBOUNDED],
        )
    if due is Due.LEASE:
        lease_time = timedelta(seconds=config().lease)
        return (
            "CASE WHEN run.due_at < clock_timestamp() + %s THEN clock_timestamp() + %s ELSE run.due_at END",
            [lease_time / 2, lease_time],
        )
    if isinstance(due, Sooner):
        return "LEAST(run.due_at, clock_timestamp() + %s)", [timedelta(seconds=due.seconds)]
    assert not isinstance(due, Due)
    return "clock_timestamp() + %s", [timedelta(seconds=due)]
