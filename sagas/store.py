"""The only module of the engine with locks and SQL. Set-based: a statement serves a whole cohort.

Every function runs inside a transaction of its caller (``docs/transactions.md``). One order of locks
everywhere: runs by id, then whatever the participants lock.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from sagas import hooks, outbox, versions
from sagas.conf import config
from sagas.errors import IllegalTransition, UnknownSaga
from sagas.events import Names
from sagas.participant import Phase
from sagas.plan import Due, Move, Place, Sooner
from sagas.states import FINAL, State


@dataclass(frozen=True, slots=True)
class Wait:
    """What a run waits for at one of its steps.

    Attributes:
        until: when it waits no more, in seconds of Unix time by the database's clock.
        failed: attempts that have failed.
        operation: what was begun and has not been answered; nothing where it waits for its next attempt.
        begun: whether an attempt was ever begun that may have taken effect unreported.
    """

    until: float
    failed: int = 0
    operation: str = ""
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Put:
    """Have runs wait at a step, or (``None``) wait there no more."""

    step: str
    wait: Wait | None = None


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
    fork: int
    pending: str | None
    parent_id: UUID | None
    parent_step: str | None
    #: How many events it has told; ``None`` if it publishes none.
    events: int | None
    locked: bool
    shape: int
    #: Whether any breaker is open. Only a claim asks.
    guarded: bool = False

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.state, self.cursor, self.fork)

    @property
    def waits(self) -> dict[str, Wait]:
        """What it waits for, by step."""
        return {step: Wait(**wait) for step, wait in json.loads(self.pending).items()} if self.pending else {}

    def waits_at(self, step: str, phase: Phase, now: float) -> bool:
        """Whether no message may perform this phase of the step yet."""
        wait = self.waits.get(step)
        # An undo waits for what was begun, which may still take effect, and for no attempt that will never be.
        return wait is not None and wait.until > now and (bool(wait.operation) or phase is not Phase.UNDO)

    def next_wait(self, now: float) -> float:
        """When the first of its waits is over; now, if it has none."""
        return min((wait.until for wait in self.waits.values() if wait.until > now), default=now)

    @property
    def issue(self) -> int:
        """Which issue of its operation a claim makes: higher than all that were made before at the same place.

        By attempts, then by claims; the lowest bits count deliveries. A link of a chain that is not the first is 0.
        """
        return self.attempt << 32 | self.claims + 1 << 16

    @property
    def waits_for_retry(self) -> bool:
        """Whether its operation broke, and its next attempt was not claimed yet: no message may perform it before."""
        return self.attempt > 0 and self.claims == 0


#: A part of a statement, and its parameters.
Sql = tuple[str, list[Any]]

#: When a run is looked at that only waits for its parent: by then the parent has decided, or is looked after itself.
UNBOUNDED = timedelta(hours=1)

#: The log's column for who did it.
WORKER_LIMIT = 100

#: The trace id is only handed on: as text it need not be parsed.
_COLUMNS = (
    "id, saga, version, state, cursor, attempt, claims, request::text, results::text, trace_id::text, "
    "started_at, deadline, fork, pending::text, parent_id, parent_step, events, locked, shape"
)


#: Asked along with the claim, so that nobody pays a statement for breakers while none is open.
_GUARDED = "EXISTS (SELECT 1 FROM sagas_breaker WHERE closed_at IS NULL)"
_NOT_NEW = "AND state <> 'PENDING'"


def by_place(rows: Iterable[Row]) -> dict[Place, list[Row]]:
    """Group runs by where they stand: whatever is decided for one is decided for all of a group."""
    groups: dict[tuple[State, int, int], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.state, row.cursor, row.fork].append(row)
    return {Place(*place): group for place, group in groups.items()}


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
    parent: tuple[UUID, str] | None = None,
    event: str = "",
    locked: bool = False,
    wait: float = 0.0,
) -> None:
    """Insert a run that is due now, or after ``wait`` seconds, and its first log row, in one statement.

    ``event`` is what its start is called, if it publishes events: they are counted from then on.
    """
    _execute(
        "WITH run AS (INSERT INTO sagas_run (id, saga, version, shape, state, cursor, attempt, claims, business_key, "
        "request, results, trace_id, parent_id, parent_step, locked, created_at, due_at, events) "
        "VALUES (%s, %s, %s, %s, %s, %s, 0, 0, %s, %s::jsonb, '{}', %s, %s, %s, %s, clock_timestamp(), "
        "clock_timestamp() + %s, %s) "
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


def lock(ids: Iterable[UUID]) -> list[Row]:
    """Lock these runs, in the order of their ids; those that do not exist are left out."""
    return _rows(
        f"SELECT {_COLUMNS} FROM sagas_run WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE",
        [_uuids(sorted(set(ids)))],
    )


def look(ids: Iterable[UUID]) -> list[Row]:
    """Read these runs as last committed, without a lock: whoever acts on it must not mind that they move on."""
    return _rows(f"SELECT {_COLUMNS} FROM sagas_run WHERE id = ANY(%s::uuid[]) ORDER BY id", [_uuids(ids)])


#: Saga, version, shape, state, cursor, fork: runs of this kind are for other processes; see ``sagas.claim``.
Foreign = tuple[str, int, int, str, int, int]

#: For a lease: nobody else has taken them, so they are taken up, and counted.
_NOT_FOREIGN = (
    "AND (due_at <= now() - %s OR (saga, version, shape, state, cursor, fork) NOT IN "
    "(SELECT * FROM unnest(%s::text[], %s::int[], %s::int[], %s::text[], %s::int[], %s::bigint[])))"
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
        f"SELECT {_COLUMNS}, {_GUARDED} FROM sagas_run WHERE due_at <= now() "
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
        ", state = CASE run.state WHEN 'PENDING' THEN 'EXECUTING' ELSE run.state END, "
        "started_at = COALESCE(run.started_at, clock_timestamp()), "
        "deadline = COALESCE(run.deadline, clock_timestamp() + %s)"
    )
    params = [
        timedelta(seconds=config().lease),
        *([None if within is None else timedelta(seconds=within)] if begin else []),
        _uuids(ids),
    ]
    if begin and hooks.wanted(State.PENDING, State.EXECUTING):
        _begin_watched(start, params)
        return
    _execute(f"{_LEASE}{start if begin else ''} WHERE run.id = ANY(%s::uuid[])", params)


_LEASE = (
    "UPDATE sagas_run AS run SET claims = run.claims + 1, "
    "due_at = clock_timestamp() + %s * power(2, LEAST(run.claims, 16))"
)


def _begin_watched(start: str, params: Sequence[Any]) -> None:
    """Give a lease, and tell the hooks of the runs that begin with it: of those that were PENDING under our lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_LEASE}{start} FROM sagas_run AS was WHERE was.id = run.id AND run.id = ANY(%s::uuid[]) "
            f"RETURNING {_SEEN}, was.state",
            params,
        )
        begun = [seen for *seen, was in cursor.fetchall() if was == State.PENDING]
    _tell(State.PENDING, State.EXECUTING, begun)


def release(ids: Sequence[UUID]) -> None:
    """Give back a lease whose messages could not be published: the runs are due again after a tick.

    A run of which nothing is done yet has not begun: its confirm deadline must not run while the broker is away. But
    a broker that was only slow to confirm may have the message, so that its steps are done all the same. Such a run
    begins when it waits for its confirmations.
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


def move(change: Move, rows: Sequence[Row], *, put: Put | None = None) -> None:
    """Move locked runs of one saga from one place to another, with nothing to log.

    Raises:
        IllegalTransition: a run did not stand where it should; the transaction must be rolled back.
    """
    _carry_out(change, rows, setting=_set(change, put), told=_told(change, rows))


def advance(
    change: Move,
    rows: Sequence[Row],
    entry: Entry,
    *,
    data: Mapping[UUID, str] | None = None,
    keep: Keep = Keep.NOTHING,
    put: Put | None = None,
) -> None:
    """Log what happened to locked runs, and move them, in one statement: neither is ever there without the other.

    With them go the events that follow, of the runs that publish.

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
    _carry_out(
        change,
        rows,
        log=(
            f"v AS (SELECT * FROM unnest({_LOGGED}) AS v(id, attempt, trace_id, data)), "
            f"noted AS (INSERT INTO sagas_log ({_LOG_COLUMNS}) SELECT {_LOG_VALUES} FROM v), ",
            [*_logged(rows, data), *_shared(entry)],
        ),
        setting=(setting + kept, [*params, *([entry.step] * names)]),
        told=_told(change, rows, entry),
        data=data,
    )


def _carry_out(
    change: Move,
    rows: Sequence[Row],
    *,
    setting: Sql,
    told: outbox.Branch,
    log: Sql = ("", []),
    data: Mapping[UUID, str] | None = None,
) -> None:
    """Move locked runs, behind the CTEs of ``log`` and with the events that they tell; then tell the hooks."""
    watched = hooks.wanted(change.before.state, change.after.state)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH {log[0]}moved AS (UPDATE sagas_run AS run SET {setting[0]}{told.count} "
            f"WHERE run.id = ANY(%s::uuid[]) {_AT} "
            f"RETURNING {_SEEN if watched else '1'}{told.returned}){told.insert} "
            f"SELECT {'*' if watched else 'count(*)'} FROM moved",
            [
                *log[1],
                *setting[1],
                *told.counted,
                _uuids(row.id for row in rows),
                *_at(change.before),
                *told.inserted,
            ],
        )
        found = cursor.fetchall()
    _check_moved(len(found) if watched else found[0][0], len(rows), change)
    if watched:
        _tell(change.before.state, change.after.state, found, data)


def _told(change: Move, rows: Sequence[Row], entry: Entry | None = None) -> outbox.Branch:
    """What the runs that publish tell of this move, and of the log entry that comes with it."""
    publishing = next((row for row in rows if row.events is not None), None)
    if publishing is None:
        return outbox.SILENT
    told = _names(publishing).of(
        step=entry.step if entry else "",
        operation=entry.operation if entry else "",
        outcome=entry.outcome if entry else "",
        before=change.before.state,
        after=change.after.state,
    )
    return outbox.branch(told, data=entry is not None)


def _names(row: Row) -> Names:
    try:
        return versions.find(row.saga, row.version, row.shape).names
    except UnknownSaga:
        # A run that nobody here knows is escalated all the same, and that is called after its saga.
        return Names(row.saga, {})


#: What hooks are told of a run that was moved.
_SEEN = "run.id, run.saga, run.business_key, run.reason::text, clock_timestamp()"


def _tell(
    before: State, after: State, found: Iterable[Sequence[Any]], errors: Mapping[UUID, str] | None = None
) -> None:
    """Tell the hooks of runs that were moved, once that is committed. ``found`` are rows of ``_SEEN``."""
    transitions = []
    for run_id, saga, business_key, reason, at, *_ in found:
        # Of what needs a person the log row says why, and not the run.
        why = (errors or {}).get(run_id) if after is State.ESCALATED else reason
        told = json.loads(why) if why else None
        transitions.append(hooks.Transition(run_id, saga, business_key, before, after, told, at))
    hooks.tell(transitions)


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
            # One that has not begun has no deadline yet: the claim gives it one; see ``release``.
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


def confirmed_with(ids: Sequence[UUID], name: str) -> dict[UUID, str]:
    """What came with a confirmation, as JSON text, for the runs for which it came."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id, data::text FROM sagas_confirmation WHERE run_id = ANY(%s::uuid[]) AND name = %s",
            [_uuids(ids), name],
        )
        return dict(cursor.fetchall())


def arrived(ids: Sequence[UUID], steps: Sequence[str]) -> dict[UUID, datetime]:
    """When runs came to where they stand: when the last of their effects was done, other than those of ``steps``."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id, max(at) FROM sagas_log WHERE run_id = ANY(%s::uuid[]) AND outcome = 'DONE' "
            "AND step <> ALL(%s) GROUP BY run_id",
            [_uuids(ids), list(steps)],
        )
        return dict(cursor.fetchall())


def bring_deadlines_forward(deadlines: Mapping[UUID, datetime]) -> None:
    """Set the deadlines of locked runs that have none, or a later one."""
    _execute(
        "UPDATE sagas_run AS run SET deadline = LEAST(run.deadline, v.deadline) "
        "FROM unnest(%s::uuid[], %s::timestamptz[]) AS v(id, deadline) WHERE run.id = v.id",
        [_uuids(deadlines), list(deadlines.values())],
    )


def hasten(times: Mapping[UUID, float]) -> None:
    """Look at locked runs again at these times (seconds of Unix time), if not before."""
    _execute(
        "UPDATE sagas_run AS run SET due_at = LEAST(run.due_at, to_timestamp(v.at)) "
        "FROM unnest(%s::uuid[], %s::float8[]) AS v(id, at) WHERE run.id = v.id AND run.due_at IS NOT NULL",
        [_uuids(times), list(times.values())],
    )


def postpone(waits: Mapping[UUID, float]) -> None:
    """Look at locked runs again after so many seconds."""
    _execute(
        "UPDATE sagas_run AS run SET due_at = clock_timestamp() + v.wait * interval '1 second' "
        "FROM unnest(%s::uuid[], %s::float8[]) AS v(id, wait) WHERE run.id = v.id AND run.due_at IS NOT NULL",
        [_uuids(waits), list(waits.values())],
    )


def hasten_by(waits: Mapping[UUID, float]) -> None:
    """Look at locked runs again after so many seconds, if not before."""
    _execute(
        "UPDATE sagas_run AS run SET due_at = clock_timestamp() + v.wait * interval '1 second' "
        "FROM unnest(%s::uuid[], %s::float8[]) AS v(id, wait) "
        "WHERE run.id = v.id AND run.due_at > clock_timestamp() + v.wait * interval '1 second'",
        [_uuids(waits), list(waits.values())],
    )


def wait_until(times: Mapping[UUID, float]) -> None:
    """Leave locked runs alone until then (seconds of Unix time): what they wait for is no lack of progress."""
    _execute(
        "UPDATE sagas_run AS run SET due_at = to_timestamp(v.at), claims = 0 "
        "FROM unnest(%s::uuid[], %s::float8[]) AS v(id, at) WHERE run.id = v.id AND run.due_at IS NOT NULL",
        [_uuids(times), list(times.values())],
    )


def answered(row: Row, step: str, *, begun: bool = True) -> Row:
    """Note for a locked run that what it waits for at a step was reported; what follows is the caller's to write.

    ``begun`` tells whether it may have taken effect.
    """
    waits = {name: asdict(wait) for name, wait in row.waits.items()}
    waits[step] |= {"until": 0, "operation": "", "begun": begun}
    pending = json.dumps(waits)
    _execute("UPDATE sagas_run SET pending = %s::jsonb WHERE id = %s", [pending, row.id])
    return row._replace(pending=pending)


def make_due(ids: Sequence[UUID]) -> None:
    """Let the dispatcher look at locked, live runs now."""
    _execute(
        "UPDATE sagas_run SET due_at = clock_timestamp(), claims = 0 WHERE id = ANY(%s::uuid[]) AND due_at IS NOT NULL",
        [_uuids(ids)],
    )


def wake(run_id: UUID, step: str) -> None:
    """Let a run wait no more at a step: what it waits for has happened. A run that does not wait there is left alone.

    The next attempt may be due at once, so it is not one of those that wait for a claim.
    """
    _execute(
        "UPDATE sagas_run SET due_at = clock_timestamp(), claims = 0, "
        "pending = jsonb_set(pending, ARRAY[%s, 'until'], '0') WHERE id = %s AND pending ? %s AND due_at IS NOT NULL",
        [step, run_id, step],
    )


class Child(NamedTuple):
    """A run as its parent sees it. ``results`` and ``reason`` are JSON text."""

    state: State
    results: str
    reason: str | None
    saga: str
    version: int
    shape: int


def child_view(run_id: UUID) -> Child | None:
    """Read a run as last committed, without its lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state, results::text, reason::text, saga, version, shape FROM sagas_run WHERE id = %s", [run_id]
        )
        found = cursor.fetchone()
    return Child(State(found[0]), *found[1:]) if found else None


def accepted(run_id: UUID, step: str) -> bool:
    """Whether an operation of this step was ever accepted. If the run does not wait there any more, it has ended."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM sagas_log WHERE run_id = %s AND step = %s AND outcome = 'ACCEPTED')",
            [run_id, step],
        )
        (found,) = cursor.fetchone()
    return bool(found)


def first_intent(run_id: UUID, step: str, operation: str) -> datetime | None:
    """When this operation of a remote participant was first begun."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(at) FROM sagas_log WHERE run_id = %s AND step = %s AND operation = %s AND outcome = 'INTENT'",
            [run_id, step, operation],
        )
        (found,) = cursor.fetchone()
    return found  # type: ignore[no-any-return]  # psycopg2 maps timestamptz to datetime


def set_deadline(run_id: UUID, deadline: datetime | None) -> None:
    """Set the time of the next missing confirmation; an AWAITING_CONFIRM run is due then (and a grace)."""
    _execute(
        "UPDATE sagas_run SET deadline = %s, claims = CASE state WHEN 'AWAITING_CONFIRM' THEN 0 ELSE claims END, "
        "due_at = CASE state WHEN 'AWAITING_CONFIRM' THEN COALESCE(%s, clock_timestamp() + %s) ELSE due_at END "
        "WHERE id = %s",
        [deadline, deadline + timedelta(seconds=config().grace) if deadline else None, UNBOUNDED, run_id],
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


def escalated_from(run_id: UUID) -> State | None:
    """The state from which the run was escalated, if an escalation of it is open."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT state FROM sagas_escalation WHERE run_id = %s AND resolved_at IS NULL", [run_id])
        found = cursor.fetchone()
    return State(found[0]) if found else None


def resolve_escalation(run_id: UUID, *, resolution: str, by: str, note: str) -> None:
    """Close the open escalation of a locked run."""
    _execute(
        "UPDATE sagas_escalation SET resolved_at = clock_timestamp(), notify_at = NULL, resolution = %s, "
        "resolved_by = %s, note = %s WHERE run_id = %s AND resolved_at IS NULL",
        [resolution, by.replace("\x00", ""), note.replace("\x00", ""), run_id],
    )


def backlog_age() -> float:
    """Seconds that the oldest run which could have begun has waited; 0 where none waits.

    Not those in line at a business key: they wait for another run, and not for us.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(due_at)), 0)::float8 FROM ("
            "SELECT due_at FROM sagas_run AS run WHERE due_at <= now() AND state = 'PENDING' "
            "AND (NOT locked OR NOT EXISTS (SELECT FROM sagas_lock AS mine JOIN sagas_lock AS other "
            "ON other.key = mine.key AND other.ticket < mine.ticket WHERE mine.run_id = run.id)) "
            "ORDER BY due_at LIMIT 1) AS oldest"
        )
        (age,) = cursor.fetchone()
    return max(float(age), 0.0)


def effects(ids: Sequence[UUID], step: str, operation: str) -> set[UUID]:
    """Which of these runs have this effect, as the log says."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id FROM sagas_log WHERE run_id = ANY(%s::uuid[]) AND step = %s AND operation = %s "
            "AND outcome = 'DONE'",
            [_uuids(ids), step, operation],
        )
        return {run_id for (run_id,) in cursor.fetchall()}


def ended(ids: Sequence[UUID], *, days: float) -> tuple[int, list[UUID]]:
    """How many of these runs there are, and which of them ended longer ago than so many days."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, finished_at < clock_timestamp() - %s * interval '1 day' FROM sagas_run "
            "WHERE id = ANY(%s::uuid[])",
            [days, _uuids(ids)],
        )
        found = cursor.fetchall()
    return len(found), [run_id for run_id, over in found if over]
