"""SQL that inserts and moves runs, and writes their log in the same statement."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection

from sagas import hooks, limits
from sagas.conf import config
from sagas.db import after_commit, array, uuid_array
from sagas.decisions.plan import Branches, Due, Move, Place
from sagas.definition.events import EventNames
from sagas.errors import IllegalTransition, UnknownSaga
from sagas.metrics import catalogue
from sagas.postgresql import prepared
from sagas.redis import changes
from sagas.states import FINAL
from sagas.store import definitions, observers, outbox, performers
from sagas.store.runs import SEEN, UNBOUNDED, Put, Row, Sql, execute, notify_hooks, with_results
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


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that does not exist yet.

    Attributes:
        request: JSON text.
        first: where it stands.
        worker: who starts it, for the log.
        parent: the parent run and its step.
        event: what its start is called, if it publishes events: they are counted from then on.
        locked: whether it is in line at keys.
        wait: seconds after which it is due.
        awaits: the name and the key of the decision for many runs that it awaits.
        trace_parent: the rest of its trace's context, if it was started in one.
        end_start: called after the commit; it ends the span of the start, if that was recorded here.
    """

    run_id: UUID
    saga: str
    version: int
    shape: int
    business_key: str
    request: str
    trace_id: UUID
    first: Place
    worker: str = ""
    parent: tuple[UUID, str] | None = None
    event: str = ""
    locked: bool = False
    wait: float = 0.0
    awaits: tuple[str, str] | None = None
    trace_parent: str | None = None
    end_start: Callable[[], object] | None = None

    def params(self) -> dict[str, Any]:
        """The parameters of ``starting``."""
        parent_id, parent_step = self.parent or (None, None)
        return {
            "sagas_id": self.run_id,
            "sagas_saga": self.saga,
            "sagas_version": self.version,
            "sagas_shape": self.shape,
            "sagas_state": self.first.state.value,
            "sagas_cursor": self.first.cursor,
            "sagas_key": self.business_key,
            "sagas_request": self.request,
            "sagas_trace": self.trace_id,
            "sagas_traced": self.trace_parent,
            "sagas_parent": parent_id,
            "sagas_step": parent_step,
            "sagas_locked": self.locked,
            "sagas_wait": self.wait,
            "sagas_events": 1 if self.event else None,
            "sagas_event": self.event,
            "sagas_worker": self.worker,
            **({} if self.awaits is None else dict(zip(("sagas_name", "sagas_decision"), self.awaits, strict=True))),
        }


@lru_cache(maxsize=64)
def starting(*, publishes: bool, shared: bool = False, source: str = "", conflict: str = "") -> str:
    """CTEs that insert a run, its first log row, and its first event; ``NewRun.params`` has their parameters.

    ``sagas_started`` returns the run's id, if it was inserted.

    Args:
        publishes: whether the run publishes events.
        shared: whether it awaits a decision for many runs.
        source: a ``FROM`` clause with at most one row; without a row nothing is inserted.
        conflict: an ``ON CONFLICT`` clause; without it a run of this id raises an error.
    """
    told = f", {outbox.START}" if publishes else ""
    columns, key = (", decision_name, decision_key", ", %(sagas_name)s, %(sagas_decision)s") if shared else ("", "")
    return (
        "sagas_started AS (INSERT INTO sagas_run (id, saga, version, shape, state, cursor, attempt, claims, "
        "business_key, request, results, trace_id, trace_parent, parent_id, parent_step, locked, created_at, "
        f"due_at, events{columns}) "
        "SELECT %(sagas_id)s::uuid, %(sagas_saga)s, %(sagas_version)s, %(sagas_shape)s::int, %(sagas_state)s, "
        "%(sagas_cursor)s, 0, 0, %(sagas_key)s, %(sagas_request)s::jsonb, '{}'::jsonb, %(sagas_trace)s::uuid, "
        "%(sagas_traced)s, %(sagas_parent)s::uuid, %(sagas_step)s, %(sagas_locked)s::bool, clock_timestamp(), "
        f"clock_timestamp() + %(sagas_wait)s::float8 * interval '1 second', %(sagas_events)s::int{key} "
        f"{source} {conflict} RETURNING id, saga, version, business_key, trace_id, trace_parent){told}, "
        "sagas_logged AS (INSERT INTO sagas_log (run_id, step, operation, outcome, attempt, at, duration_us, worker) "
        "SELECT id, '', 'start', 'EVENT', 1, clock_timestamp(), 0, %(sagas_worker)s FROM sagas_started)"
    )


def insert(run: NewRun) -> bool:
    """Insert a run, and its first log row, in one statement.

    Returns:
        Whether it was inserted: nothing is, and no error is raised, if there is a run of this id.
    """
    ctes = starting(publishes=bool(run.event), shared=run.awaits is not None, conflict="ON CONFLICT (id) DO NOTHING")
    with connection.cursor() as cursor:
        prepared.execute(cursor, f"WITH {ctes} SELECT id FROM sagas_started", run.params())
        inserted = cursor.fetchone() is not None
    if inserted and run.end_start is not None:
        after_commit(run.end_start)
    return inserted


class Keep(Enum):
    """What the run itself keeps of the data of its log row."""

    NOTHING = auto()
    #: Under the step's name, for later steps to read.
    RESULT = auto()
    #: Why the run is being undone.
    REASON = auto()


#: What a run keeps of its log row. The subquery is computed once, and each run finds its own by its id. A subquery for
#: each run would look at all rows each time, and so would a join by the plan that PostgreSQL may choose for it.
_KEPT = {
    Keep.NOTHING: ("", 0),
    Keep.RESULT: (
        ", results = run.results || COALESCE((SELECT jsonb_object_agg(v.id, jsonb_build_object(%s::text, v.data)) "
        "FROM v WHERE v.data IS NOT NULL) -> run.id::text, '{}')",
        1,
    ),
    Keep.REASON: (
        ", reason = (SELECT jsonb_object_agg(v.id, v.data) FROM v WHERE v.data IS NOT NULL) -> run.id::text",
        0,
    ),
}


def move(change: Move, rows: Sequence[Row], *, put: Put | None = None) -> None:
    """Move locked runs of one saga from one place to another, with nothing to log.

    Raises:
        IllegalTransition: a run did not stand where it should; the transaction must be rolled back.
    """
    ids = uuid_array([row.id for row in rows])
    _carry_out(change, ids, len(rows), saga=rows[0].saga, setting=_set(change, put), told=_told(change, rows))
    observers.tell(rows, change=change)


def advance(
    change: Move,
    rows: Sequence[Row],
    entry: Entry,
    *,
    data: Mapping[UUID, str] | None = None,
    keep: Keep = Keep.NOTHING,
    put: Put | None = None,
    held: bool = False,
) -> list[Row]:
    """Log what happened to locked runs, and move them, in one statement. Runs that publish events write these too.

    Args:
        change: from where, to where, due when.
        rows: the runs, of one saga; all must stand at ``change.before``.
        entry: what their log rows share.
        data: JSON text of each run's log row.
        keep: what the run keeps of it.
        put: what the runs wait for from now on.
        held: whether this process goes on with them. If it dies, their lease lapses as one of theirs, and is counted.

    Returns:
        The runs; those that this process goes on with as they are left, where that is known.

    Raises:
        IllegalTransition: a run did not stand where it should; the transaction must be rolled back.
    """
    setting, params = _set(change, put, held=held)
    kept, names = _KEPT[keep if data else Keep.NOTHING]
    told = _told(change, rows, entry)
    ids = uuid_array([row.id for row in rows])
    values = [ids, *_logged(rows, data)]
    source = f"unnest({_LOGGED}) AS v(id, attempt, data)"
    # Named where the rest of the statement reads it, too.
    named = f"v AS (SELECT * FROM {source}), " if kept or told is not outbox.SILENT else ""
    noted = f"noted AS (INSERT INTO sagas_log ({_LOG_COLUMNS}) SELECT {_LOG_VALUES} FROM {'v' if named else source}), "
    by = _carry_out(
        change,
        ids,
        len(rows),
        saga=rows[0].saga,
        log=(named + noted, [*values, *_shared(entry)] if named else [*_shared(entry), *values]),
        setting=(setting + kept, [*params, *([entry.step] * names)]),
        told=told,
        data=data,
    )
    observers.tell(rows, entry, change)
    if not held or put is not None or any(row.pending or row.events or row.guarded for row in rows):
        return list(rows)
    left = _as_left(change, rows, by)
    return with_results(left, entry.step, data) if keep is Keep.RESULT and data else left


def _as_left(change: Move, rows: Sequence[Row], by: str) -> list[Row]:
    """The runs that this process goes on with, as the statement of this transaction has left them."""
    state, cursor, fork = change.after.state, change.after.cursor, change.after.fork
    return [
        row._replace(state=state, cursor=cursor, fork=fork, attempt=change.attempt, claims=1, left_by=by)
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Passed:
    """An operation that all runs of a cohort have done, and that is not written yet.

    Attributes:
        entry: what its log rows share.
        data: JSON text of each run's log row.
        at: when it was done, by ``time.monotonic``.
    """

    entry: Entry
    data: Mapping[UUID, str]
    at: float


def advance_through(
    change: Move, rows: Sequence[Row], passed: Sequence[Passed], *, keep: Keep, came: int | None = None
) -> None:
    """As ``advance``, for runs that have done several operations since they were moved last, at their first attempt.

    Each operation has its log row, with its own time. The runs publish no events and wait for nothing.

    Args:
        change: from where, to where, due when.
        rows: the runs.
        passed: the operations, in their order.
        keep: what the runs keep of their results.
        came: how many confirmations of all these runs had come when ``change`` was decided. A participant may have
            confirmed its own run since.

    Raises:
        IllegalTransition: a run did not stand where it should, or a confirmation has come since; the transaction must
            be rolled back.
    """
    setting, params = _set(change, None)
    ids = uuid_array([row.id for row in rows])
    noted = [(number, run_id, text) for number, one in enumerate(passed, 1) for run_id, text in one.data.items()]
    given = {row.id for row in rows}
    noted = [(number, run_id, text) for number, run_id, text in noted if run_id in given]
    kept = _merged(passed, given) if keep is Keep.RESULT else {}
    if kept:
        setting += (
            ", results = run.results || COALESCE((SELECT jsonb_object_agg(k.id, k.results) FROM "
            "unnest(%s::uuid[], %s::text[]::jsonb[]) AS k(id, results)) -> run.id::text, '{}')"
        )
        params += [uuid_array(kept), array(kept.values())]
    now = time.monotonic()
    shared = [_shared(one.entry) for one in passed]
    _carry_out(
        change,
        ids,
        len(rows),
        saga=rows[0].saga,
        log=(
            f"noted AS (INSERT INTO sagas_log ({_LOG_COLUMNS}) SELECT v.id, s.step, s.operation, s.outcome, 1, "
            "clock_timestamp() - s.age * interval '1 second', s.duration, s.worker, s.compensate, s.performer, d.data "
            "FROM unnest(%s::uuid[]) AS v(id) CROSS JOIN "
            "unnest(%s::text[], %s::text[], %s::text[], %s::int[], %s::text[], %s::text[], %s::int[], %s::float8[]) "
            "WITH ORDINALITY AS "
            "s(step, operation, outcome, duration, worker, compensate, performer, age, number) "
            "LEFT JOIN unnest(%s::int[], %s::uuid[], %s::text[]::jsonb[]) AS d(number, id, data) "
            "ON d.number = s.number AND d.id = v.id ORDER BY s.number, v.id), ",
            [
                ids,
                *(list(column) for column in zip(*shared, strict=True)),
                [now - one.at for one in passed],
                array(number for number, _, _ in noted),
                uuid_array(run_id for _, run_id, _ in noted),
                array(text for _, _, text in noted),
            ],
        ),
        setting=(setting, params),
        told=outbox.SILENT,
        provided=_provided(len(passed), ids, came),
    )
    for number, one in enumerate(passed, 1):
        observers.tell(rows, one.entry, change if number == len(passed) else None, ago=now - one.at)


def _provided(steps: int, ids: str, came: int | None) -> Sql:
    """Conditions that are evaluated before any row is updated, because they depend on none."""
    # For the trigger ``sagas_run_cursor``.
    logged = "AND (SELECT set_config('sagas.steps', %s, true)) IS NOT NULL "
    if came is None:
        return logged, [str(steps)]
    unchanged = "AND (SELECT count(*) FROM sagas_confirmation WHERE run_id = ANY(%s::uuid[])) = %s "
    return logged + unchanged, [str(steps), ids, came]


def _merged(passed: Sequence[Passed], given: Collection[UUID]) -> dict[UUID, str]:
    """The results of the operations by run, each as one JSON object by step."""
    found: dict[UUID, list[str]] = defaultdict(list)
    for one in passed:
        for run_id, text in one.data.items():
            if run_id in given:
                found[run_id].append(f"{json.dumps(one.entry.step)}: {text}")
    return {run_id: f"{{{', '.join(parts)}}}" for run_id, parts in found.items()}


def _carry_out(
    change: Move,
    ids: str,
    number: int,
    *,
    saga: str,
    setting: Sql,
    told: outbox.Branch,
    log: Sql = ("", []),
    provided: Sql = ("", []),
    data: Mapping[UUID, str] | None = None,
) -> str:
    """Move so many locked runs, behind the CTEs of ``log`` and with the events that they tell; then tell the hooks.

    Returns:
        The transaction's number, as the rows have it from now on; nothing where hooks are told.
    """
    watched = hooks.is_watched(change.before.state, change.after.state)
    timed = config().metrics and change.after.state in FINAL and change.before.state is not change.after.state
    with connection.cursor() as cursor:
        prepared.execute(
            cursor,
            f"WITH {log[0]}moved AS (UPDATE sagas_run AS run SET {setting[0]}{told.count} "
            f"WHERE run.id = ANY(%s::uuid[]) {_AT} {provided[0]}"
            f"RETURNING {SEEN if watched else '1'}{_LASTED if timed else ''}{told.returned}){told.insert} "
            f"SELECT {'*' if watched else _MOVED + (_ALL_LASTED if timed else '')} FROM moved",
            [
                *log[1],
                *setting[1],
                *told.counted,
                ids,
                *_at(change.before),
                *provided[1],
                *told.inserted,
            ],
            # Rows of several operations, and events, are joined with one another.
            rows=number if provided[0] or told is not outbox.SILENT else prepared.ANY,
        )
        found = cursor.fetchall()
    _check_moved(len(found) if watched else found[0][0], number, change)
    _announce(change, ids)
    if timed:
        lasted = [row[_SEEN] for row in found] if watched else found[0][2]
        catalogue.RUN_DURATION.observe(*lasted, saga=saga, outcome=change.after.state.value)
    if watched:
        notify_hooks(change.before.state, change.after.state, found, data)
        return ""
    return str(found[0][1])


#: How many columns ``SEEN`` has.
_SEEN = SEEN.count(",") + 1
_MOVED = "count(*), pg_current_xact_id()::xid::text"
#: Seconds from the start of a run to its end, of each run and of all.
_LASTED = ", EXTRACT(EPOCH FROM run.finished_at - run.created_at)::float8 AS lasted"
_ALL_LASTED = ", array_agg(lasted)"


def _announce(change: Move, ids: str) -> None:
    """Say, after the commit, that these runs are in another state; clients may wait for it."""
    if change.before.state is not change.after.state:
        after_commit(changes.announce, ids)


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
        f"INSERT INTO sagas_log ({_LOG_COLUMNS}) SELECT {_LOG_VALUES} FROM unnest({_LOGGED}) AS v(id, attempt, data)",
        [*_shared(entry), uuid_array([row.id for row in rows]), *_logged(rows, data)],
    )
    observers.tell(rows, entry)


def noting(entry: Entry, rows: Sequence[Row]) -> Sql:
    """A CTE that appends one log row for each run."""
    return (
        f"noted AS (INSERT INTO sagas_log ({_LOG_COLUMNS}) SELECT {_LOG_VALUES} "
        f"FROM unnest({_LOGGED}) AS v(id, attempt, data))",
        [*_shared(entry), uuid_array([row.id for row in rows]), *_logged(rows, None)],
    )


def record_confirmation(
    row: Row, name: str, data: str, *, change: Move | None = None, also: Sql = ("", [])
) -> tuple[str, datetime] | None:
    """Record a confirmation of a locked run, with its log row, in one statement.

    Args:
        row: the run, locked.
        name: the confirmation's.
        data: JSON text.
        change: where the run goes by it, if this confirmation is the last. If it has come before, the run stays.
        also: CTEs of the application, each with a comma before it. ``sagas_received`` has one row if it is the first.

    Returns:
        Its data as JSON text, as it is stored, and when it was received; ``None`` if it has come before.

    Raises:
        IllegalTransition: the run did not stand where it should; the transaction must be rolled back.
    """
    moved: Sql = ("", []) if change is None else _moved_by_confirmation(change, row)
    with connection.cursor() as cursor:
        prepared.execute(
            cursor,
            "WITH sagas_received AS (INSERT INTO sagas_confirmation (run_id, name, data, received_at) "
            "VALUES (%s, %s, %s::jsonb, clock_timestamp()) ON CONFLICT (run_id, name) DO NOTHING "
            "RETURNING run_id, data::text, received_at), "
            f"noted AS (INSERT INTO sagas_log ({_LOG_COLUMNS}) SELECT {_LOG_VALUES} "
            f"FROM (SELECT run_id, %s::int, NULL::jsonb FROM sagas_received) AS v(id, attempt, data))"
            f"{moved[0]}{also[0]} SELECT data, received_at{', moved.*' if change else ''} FROM sagas_received"
            f"{' LEFT JOIN moved ON true' if change else ''}",
            [
                row.id,
                name,
                data,
                *_shared(event_entry("confirmation", step=name)),
                row.attempt + 1,
                *moved[1],
                *also[1],
            ],
            rows=1,
        )
        found = cursor.fetchone()
    if found is None:
        return None
    text, received_at, *run = found
    observers.tell([row], event_entry("confirmation", step=name), change)
    if change is not None:
        _check_moved(int(run[0] is not None), 1, change)
        _announce(change, uuid_array([row.id]))
        if change.after.state in FINAL:
            catalogue.RUN_DURATION.observe(run[_SEEN], saga=row.saga, outcome=change.after.state.value)
        if hooks.is_watched(change.before.state, change.after.state):
            notify_hooks(change.before.state, change.after.state, [run])
    return text, received_at


def _moved_by_confirmation(change: Move, row: Row) -> Sql:
    setting, params = _set(change, None)
    told = _told(change, [row])
    return (
        f", moved AS (UPDATE sagas_run AS run SET {setting}{told.count} FROM sagas_received "
        f"WHERE run.id = sagas_received.run_id {_AT} "
        f"RETURNING {SEEN}{_LASTED if change.after.state in FINAL else ''}{told.returned}){told.insert}",
        [*params, *told.counted, *_at(change.before), *told.inserted],
    )


_LOG_COLUMNS = "run_id, step, operation, outcome, attempt, at, duration_us, worker, compensate, performer_id, data"

_LOG_VALUES = "v.id, %s, %s, %s, v.attempt, clock_timestamp(), %s, %s, %s, %s, v.data"

_LOGGED = "%s::uuid[], %s::int[], %s::text[]::jsonb[]"


def _shared(entry: Entry) -> list[Any]:
    # The name of a host or a user may be longer than the column. That must not stop the run.
    who = printable(entry.worker)[: limits.WORKER_NAME]
    duration = min(entry.duration_us, limits.INTEGER)
    # What a person has done is logged rarely, and by many persons.
    number = None if entry.outcome == "EVENT" else performers.number_of(who, entry.compensate)
    names = [who, entry.compensate] if number is None else [None, None]
    return [entry.step, entry.operation, entry.outcome, duration, *names, number]


def _logged(rows: Sequence[Row], data: Mapping[UUID, str] | None) -> list[Any]:
    """What differs from run to run in the log rows, besides the runs' ids."""
    texts = data or {}
    return [
        array(row.attempt + 1 for row in rows),
        array(texts.get(row.id) for row in rows),
    ]


_AT = "AND run.state = %s AND run.cursor = %s AND run.fork = %s"


def _at(place: Place) -> list[Any]:
    return [place.state, place.cursor, place.fork]


def _set(change: Move, put: Put | None, *, held: bool = False) -> Sql:
    after = change.after
    setting, params = "state = %s, cursor = %s, fork = %s", [after.state, after.cursor, after.fork]
    if isinstance(change.due, Branches):
        due, due_params = _due_by_branches(change.due, put)
        setting += f", (claims, due_at) = ({due})"
        params += due_params
    elif change.due is not Due.KEEP:
        due, due_params = _due(change.due)
        finished = "clock_timestamp()" if after.state in FINAL else "NULL"
        setting += f", attempt = %s, claims = %s, due_at = {due}, finished_at = {finished}"
        params += [change.attempt, int(held), *due_params]
    if put is not None:
        waiting, put_params = _put(put)
        setting += f", pending = {waiting}"
        params += put_params
    return setting, params


#: Of a run at a fork, ``claims`` and ``due_at``. ``ends`` are the ends of its waits. A wait that is over was claimed
#: then, or is about to be; but not while a lease goes on that follows a lapsed one, which no wait cuts short
#: (``claiming._hasten``). ``lease`` is that of the branches under way, if there are any. Some progress was made: the
#: leases that lapsed before say nothing of the other branches.
_BY_BRANCHES = (
    "SELECT CASE WHEN lease > now AND (wait IS NULL OR lease < wait) THEN LEAST(run.claims, 1) ELSE 0 END, "
    "LEAST(lease, wait) FROM (SELECT now, "
    "min(GREATEST(at, now)) FILTER (WHERE at > now OR mine OR (at <= now AND run.claims > 1)) AS wait, "
    "CASE WHEN count(*) FILTER (WHERE at > now OR mine) < %s THEN run.due_at END AS lease "
    "FROM (SELECT clock_timestamp() AS now) AS clock LEFT JOIN "
    "(SELECT to_timestamp((value ->> 'until')::float8) AS at, key = %s AS mine FROM jsonb_each({})) AS ends ON true "
    "GROUP BY now) AS found"
)


def _due_by_branches(branches: Branches, put: Put | None) -> Sql:
    pending, params = ("run.pending", []) if put is None else _put(put)
    # A wait that begins now may be over at once.
    mine = put.step if put is not None and put.wait is not None else ""
    return _BY_BRANCHES.format(pending), [branches.open, mine, *params]


def _put(put: Put) -> Sql:
    if put.wait is None:
        return "NULLIF(run.pending - %s::text, '{}')", [put.step]
    return "COALESCE(run.pending, '{}') || jsonb_build_object(%s::text, %s::jsonb)", [
        put.step,
        json.dumps(asdict(put.wait)),
    ]


def _check_moved(count: int, expected: int, change: Move) -> None:
    if count != expected:
        msg = f"{expected - count} of {expected} runs did not stand at {change.before}"
        raise IllegalTransition(msg)


def _due(due: Due | float) -> Sql:
    if due is Due.NEVER:
        return "NULL", []
    if due is Due.DEADLINE:
        return (
            # A run that has not begun has no deadline yet: the claim sets it; see ``claims.release_leases``.
            "CASE WHEN run.started_at IS NULL THEN clock_timestamp() "
            "ELSE GREATEST(COALESCE(run.deadline + %s::interval, clock_timestamp() + %s::interval), "
            "clock_timestamp()) END",
            [timedelta(seconds=config().grace), UNBOUNDED],
        )
    if due is Due.LEASE:
        lease_time = timedelta(seconds=config().lease)
        return (
            "CASE WHEN run.due_at < clock_timestamp() + %s::interval THEN clock_timestamp() + %s::interval "
            "ELSE run.due_at END",
            [lease_time / 2, lease_time],
        )
    assert not isinstance(due, Due)
    return "clock_timestamp() + %s::interval", [timedelta(seconds=due)]
