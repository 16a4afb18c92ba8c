"""SQL of the runs: they are locked or read, and made due. Every statement serves a whole cohort.

Every function runs inside a transaction of its caller (``docs/maintainers/transactions.md``). There is one order of
locks: runs by id, then what the participants lock.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from sagas import hooks
from sagas.db import uuid_array
from sagas.decisions.plan import Place
from sagas.definition.participants import Phase
from sagas.errors import InvalidArgument, RunNotFound
from sagas.postgresql import prepared
from sagas.serialization import as_stored, dump_json
from sagas.states import FINAL, State

#: Isolation levels in which a statement sees what was committed before it; PostgreSQL takes the first for the second.
_SEES_WHAT_IS_COMMITTED = frozenset({"read uncommitted", "read committed"})


@dataclass(frozen=True, slots=True)
class Wait:
    """What a run waits for at one of its steps.

    Attributes:
        until: when the wait is over, in seconds of Unix time by the database's clock.
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
    """What runs wait for at a step from now on; ``None``: for nothing any more."""

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
    #: How many events it has published; ``None`` if it publishes none.
    events: int | None
    locked: bool
    shape: int
    #: Until when no deadline and no time-out turns it back.
    held_until: datetime | None
    #: See ``sagas.trace_context``; ``None`` if it was started outside any trace.
    trace_parent: str | None = None
    #: For how long pauses have held it back.
    paused_for: timedelta | None = None
    #: Whether any breaker is open, or anything is paused. Only ``GUARDED`` and ``PAUSED`` ask.
    guarded: bool = False
    #: Seconds for which the run had been due when it was claimed. Only a claim asks.
    waited: float = 0.0
    #: The transaction of this process that has left the run so, if it was not read.
    left_by: str = ""
    #: The request as it was loaded, if it can never change.
    loaded: Any = None

    def not_before(self, limit: datetime, *, shifted: bool = True) -> datetime:
        """``limit``, or the time until which the run is held if that is later.

        Args:
            limit: a deadline or a time-out.
            shifted: whether it is a span of time, which pauses made longer, and no hour of the day.
        """
        if shifted and self.paused_for is not None:
            limit += self.paused_for
        return limit if self.held_until is None else max(limit, self.held_until)

    @property
    def place(self) -> Place:
        """Where the run stands."""
        return Place(self.state, self.cursor, self.fork)

    @property
    def waits(self) -> dict[str, Wait]:
        """What the run waits for, by step."""
        return {step: Wait(**wait) for step, wait in json.loads(self.pending).items()} if self.pending else {}

    def waits_at(self, step: str, phase: Phase, now: float) -> bool:
        """Whether no message may perform this phase of the step yet."""
        wait = self.waits.get(step)
        # An undo waits for an operation that was begun and may still take effect. No further attempt will be made.
        return wait is not None and wait.until > now and (bool(wait.operation) or phase is not Phase.UNDO)

    def next_wait(self, now: float) -> float:
        """When the first of the run's waits is over; ``now`` if it has none."""
        return min((wait.until for wait in self.waits.values() if wait.until > now), default=now)

    @property
    def waits_for_retry(self) -> bool:
        """Whether the operation has failed and its next attempt is not claimed yet: no message may perform it."""
        return self.attempt > 0 and self.claims == 0


#: By name. A look-up takes a third of the time of a call of the class.
_STATES = {state.value: state for state in State}

#: No run is as this process has left it: all are read.
NONE_LEFT: Mapping[UUID, Row] = MappingProxyType({})

#: A part of a statement, and its parameters.
Sql = tuple[str, list[Any]]

#: After this time a run is claimed that only waits for its parent.
UNBOUNDED = timedelta(hours=1)

#: The trace id is read as text: it is only handed on, so it need not be parsed.
COLUMNS = (
    "id, saga, version, state, cursor, attempt, claims, request::text, results::text, trace_id::text, "
    "started_at, deadline, fork, pending::text, parent_id, parent_step, events, locked, shape, held_until, "
    "trace_parent, paused_for"
)

#: Behind ``COLUMNS``, for ``Row.guarded``: so pauses, and breakers, cost no statement while there are none.
PAUSED = "EXISTS (SELECT 1 FROM sagas_pause WHERE ended_at IS NULL)"
GUARDED = f"(EXISTS (SELECT 1 FROM sagas_breaker WHERE closed_at IS NULL) OR {PAUSED})"


def by_place(rows: Iterable[Row]) -> dict[Place, list[Row]]:
    """Group runs by where they stand: what is decided for one run holds for all of its group."""
    groups: dict[tuple[State, int, int], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.state, row.cursor, row.fork].append(row)
    return {Place(*place): group for place, group in groups.items()}


def rows_of(sql: str, params: Sequence[Any], *, rows: int | None = None) -> list[Row]:
    """Execute a statement that returns runs, as ``COLUMNS``; of about so many ``rows``, if that is known."""
    with connection.cursor() as cursor:
        if rows is None:
            cursor.execute(sql, params)
        else:
            prepared.execute(cursor, sql, params, rows=rows)
        return [Row(r[0], r[1], r[2], _STATES[r[3]], *r[4:]) for r in cursor.fetchall()]


def execute(sql: str, params: Sequence[Any]) -> int:
    """Execute a statement; return the number of its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def find_kept(saga: str, business_key: str) -> UUID | None:
    """The newest run of a saga and business key that is not undone, committed or of this transaction.

    Until this transaction ends, no other one that asks gets an answer.

    Raises:
        InvalidArgument: the transaction does not see what was committed since it began.
    """
    # A statement of its own, so that the next one sees what was committed while this one waited.
    execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 20043))", [f"{saga}\n{business_key}"])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('transaction_isolation'), (SELECT id FROM sagas_run "
            "WHERE business_key = %s AND saga = %s AND state <> 'FAILED' ORDER BY id DESC LIMIT 1)",
            [business_key, saga],
        )
        isolation, found = cursor.fetchone()
    if found is None and isolation not in _SEES_WHAT_IS_COMMITTED:
        msg = f"in a transaction of isolation level {isolation}, whether a run exists already is not known"
        raise InvalidArgument(msg)
    return found  # type: ignore[no-any-return]  # a UUID column


def clock() -> datetime:
    """The database's time now. Call it after the lock of the runs that it decides on."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return now  # type: ignore[no-any-return]  # the driver maps timestamptz to datetime


def lock(ids: Iterable[UUID], *, asks: str = "", left: Mapping[UUID, Row] = NONE_LEFT) -> list[Row]:
    """Lock runs in the order of their ids; ids of which there is no run are left out.

    Args:
        ids: the runs.
        asks: what ``Row.guarded`` says: ``GUARDED``, ``PAUSED``, or nothing.
        left: the runs as this process has left them, with ``Row.left_by``. They are not read again unless a
            transaction has changed one of them since.
    """
    columns = f"{COLUMNS}, {asks}" if asks else COLUMNS
    wanted = set(ids)
    if left and _lock_as_left(wanted, left):
        return [left[run_id] for run_id in sorted(wanted)]
    return rows_of(
        f"SELECT {columns} FROM sagas_run WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE",
        [uuid_array(wanted)],
        rows=prepared.ANY,
    )


def _lock_as_left(ids: Collection[UUID], left: Mapping[UUID, Row]) -> bool:
    """Lock runs; say whether all are as one transaction of this process has left them."""
    by = {left[run_id].left_by if run_id in left else "" for run_id in ids}
    if len(by) != 1 or "" in by:
        return False
    with connection.cursor() as cursor:
        # A row that was waited for is the one that the other transaction has written.
        prepared.execute(
            cursor,
            "WITH locked AS MATERIALIZED (SELECT xmin FROM sagas_run WHERE id = ANY(%s::uuid[]) ORDER BY id "
            f"FOR NO KEY UPDATE) SELECT count(*) = %s AND bool_and(xmin = %s::xid) AND NOT {PAUSED} FROM locked",
            [uuid_array(ids), len(ids), *by],
            rows=prepared.ANY,
        )
        (same,) = cursor.fetchone()
    return bool(same)


def with_results(rows: Iterable[Row], step: str, results: Mapping[UUID, str]) -> list[Row]:
    """The runs as the database would have them with these results of a step, which they did not have before."""
    name = json.dumps(step)
    # Many runs have the same result.
    stored = {text: f"{name}: {dump_json(as_stored(text))}}}" for text in set(results.values())}
    given: list[Row] = []
    for row in rows:
        text = results.get(row.id)
        if text is None:
            given.append(row)
        else:
            before = "{" if row.results == "{}" else f"{row.results[:-1]}, "
            given.append(row._replace(results=before + stored[text]))
    return given


def lock_one(run_id: UUID) -> Row:
    """Lock one run; ``RunNotFound`` if there is none."""
    rows = rows_of(f"SELECT {COLUMNS} FROM sagas_run WHERE id = %s FOR NO KEY UPDATE", [run_id], rows=1)
    if not rows:
        msg = f"there is no run {run_id}"
        raise RunNotFound(msg)
    return rows[0]


def lock_free(ids: Iterable[UUID]) -> list[UUID]:
    """Lock those of the runs that no other transaction has locked; return them in the order of their ids."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM sagas_run WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
            [uuid_array(ids)],
        )
        return [found for (found,) in cursor.fetchall()]


def read(ids: Iterable[UUID]) -> list[Row]:
    """Read runs as last committed, without locks: they may move on at any time."""
    return rows_of(f"SELECT {COLUMNS} FROM sagas_run WHERE id = ANY(%s::uuid[]) ORDER BY id", [uuid_array(ids)])


#: Columns that the hooks need of a run that was moved.
SEEN = "run.id, run.saga, run.business_key, run.reason::text, clock_timestamp()"


def notify_hooks(
    before: State, after: State, found: Iterable[Sequence[Any]], errors: Mapping[UUID, str] | None = None
) -> None:
    """Call the hooks for runs that were moved, after the commit. ``found`` are rows of ``SEEN``."""
    transitions = []
    for run_id, saga, business_key, reason, at, *_ in found:
        # Why a run needs a person is in its log row, and not in the run.
        why = (errors or {}).get(run_id) if after is State.ESCALATED else reason
        told = json.loads(why) if why else None
        transitions.append(hooks.Transition(run_id, saga, business_key, before, after, told, at))
    hooks.call_after_commit(transitions)


class Child(NamedTuple):
    """A run as its parent or child sees it. ``results`` and ``reason`` are JSON text."""

    state: State
    results: str
    reason: str | None
    saga: str
    version: int
    shape: int


def read_child(run_id: UUID) -> Child | None:
    """Read a run as last committed, without its lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state, results::text, reason::text, saga, version, shape FROM sagas_run WHERE id = %s", [run_id]
        )
        found = cursor.fetchone()
    return Child(State(found[0]), *found[1:]) if found else None


def find_states(ids: Collection[UUID]) -> dict[UUID, State]:
    """The states of runs, as they are committed; ids of which there is no run are left out."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, state FROM sagas_run WHERE id = ANY(%s::uuid[])", [uuid_array(ids)])
        return {run_id: State(state) for run_id, state in cursor.fetchall()}


def find_versions(ids: Collection[UUID]) -> dict[UUID, str]:
    """What is another text after each change of a run or of its log, as they are committed, by run.

    Ids without a run are left out.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run.id, concat(run.xmin::text, '-', (SELECT max(id) FROM sagas_log WHERE run_id = run.id)) "
            "FROM sagas_run AS run WHERE run.id = ANY(%s::uuid[])",
            [uuid_array(ids)],
        )
        return dict(cursor.fetchall())


class Standing(NamedTuple):
    """What a person sees of a run besides its row.

    Attributes:
        business_key: what people know it by.
        due_in: seconds until it is due again; ``None`` if it never is.
        entry: the id of its last log entry.
    """

    business_key: str
    due_in: float | None
    entry: int


def find_standings(ids: Collection[UUID]) -> dict[UUID, Standing]:
    """What people see of runs, by run; ids without a run are left out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run.id, run.business_key, EXTRACT(EPOCH FROM run.due_at - clock_timestamp())::float8, "
            "COALESCE((SELECT max(id) FROM sagas_log WHERE run_id = run.id), 0) "
            "FROM sagas_run AS run WHERE run.id = ANY(%s::uuid[])",
            [uuid_array(ids)],
        )
        return {run_id: Standing(*found) for run_id, *found in cursor.fetchall()}


def final_state(run_id: UUID) -> State | None:
    """The final state of a run; ``None`` if it has not ended, as far as is committed, or does not exist."""
    found = read_child(run_id)
    return found.state if found is not None and found.state in FINAL else None


def children(run_id: UUID) -> list[UUID]:
    """The runs that are steps of a run, as last committed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM sagas_run WHERE parent_id = %s ORDER BY id", [run_id])
        return [found for (found,) in cursor.fetchall()]


def ended_before(ids: Sequence[UUID], *, days: float) -> tuple[int, list[UUID]]:
    """How many of these runs exist, and which of them ended more than ``days`` ago."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, finished_at < clock_timestamp() - %s * interval '1 day' FROM sagas_run "
            "WHERE id = ANY(%s::uuid[])",
            [days, uuid_array(ids)],
        )
        found = cursor.fetchall()
    return len(found), [run_id for run_id, over in found if over]


# When runs are claimed again ----------------------------------------------------------------------------------------

#: No run becomes due at a time that is over: claims need not look so far back (``sagas.store.claims.floor``).
_AT_OR_NOW = "GREATEST(to_timestamp(v.at), clock_timestamp())"


def cut_leases(times: Mapping[UUID, float]) -> None:
    """Make locked runs due at these times (seconds of Unix time), unless their leases are over before.

    Then no claim is counted: what is due then is no lease.
    """
    execute(
        f"UPDATE sagas_run AS run SET due_at = {_AT_OR_NOW}, claims = 0 "
        "FROM unnest(%s::uuid[], %s::float8[]) AS v(id, at) WHERE run.id = v.id AND run.due_at > to_timestamp(v.at)",
        [uuid_array(times), list(times.values())],
    )


def be_due_in(waits: Mapping[UUID, float]) -> None:
    """Make locked runs due after so many seconds."""
    execute(
        "UPDATE sagas_run AS run SET due_at = clock_timestamp() + v.wait * interval '1 second' "
        "FROM unnest(%s::uuid[], %s::float8[]) AS v(id, wait) WHERE run.id = v.id AND run.due_at IS NOT NULL",
        [uuid_array(waits), list(waits.values())],
    )


def be_due_within(waits: Mapping[UUID, float]) -> None:
    """Make locked runs due after so many seconds, unless they are due before, or a pause holds them back."""
    execute(
        "UPDATE sagas_run AS run SET due_at = clock_timestamp() + v.wait * interval '1 second' "
        "FROM unnest(%s::uuid[], %s::float8[]) AS v(id, wait) "
        "WHERE run.id = v.id AND run.due_at > clock_timestamp() + v.wait * interval '1 second' "
        # It would be claimed and held again, without end: what holds a run makes it due.
        "AND run.due_at IS DISTINCT FROM run.held_until",
        [uuid_array(waits), list(waits.values())],
    )


def wait_until(times: Mapping[UUID, float]) -> None:
    """Make locked runs due at these times (seconds of Unix time), with no claim counted: they wait for something."""
    execute(
        f"UPDATE sagas_run AS run SET due_at = {_AT_OR_NOW}, claims = 0 "
        "FROM unnest(%s::uuid[], %s::float8[]) AS v(id, at) WHERE run.id = v.id AND run.due_at IS NOT NULL",
        [uuid_array(times), list(times.values())],
    )


def wait_for(ids: Sequence[UUID], seconds: float) -> None:
    """Make locked, live runs due after so many seconds, with no claim counted: they wait for something."""
    execute(
        "UPDATE sagas_run SET due_at = clock_timestamp() + %s * interval '1 second', claims = 0 "
        "WHERE id = ANY(%s::uuid[]) AND due_at IS NOT NULL",
        [seconds, uuid_array(ids)],
    )


def be_lapsed_in(ids: Sequence[UUID], seconds: float) -> None:
    """Make locked runs due after so many seconds, as if their first lease had lapsed then.

    So their cohorts are apart from those of other runs.
    """
    execute(
        "UPDATE sagas_run SET claims = 1, due_at = clock_timestamp() + %s * interval '1 second' "
        "WHERE id = ANY(%s::uuid[]) AND due_at IS NOT NULL",
        [seconds, uuid_array(ids)],
    )


def ends_of_waits(rows: Iterable[Row]) -> dict[str, float]:
    """When the first of these runs has waited, or will have waited, at each step at which one does."""
    found: dict[str, float] = {}
    for row in rows:
        for step, wait in row.waits.items():
            found[step] = min(wait.until, found.get(step, wait.until))
    return found


def note_answer(row: Row, step: str, *, begun: bool = True) -> Row:
    """Write for a locked run that the answer for which it waits at a step has come. The caller writes what follows.

    ``begun`` tells whether the operation may have taken effect.
    """
    waits = {name: asdict(wait) for name, wait in row.waits.items()}
    waits[step] |= {"until": 0, "operation": "", "begun": begun}
    pending = json.dumps(waits)
    execute("UPDATE sagas_run SET pending = %s::jsonb WHERE id = %s", [pending, row.id])
    return row._replace(pending=pending)


def reset_waits(row: Row, now: float) -> None:
    """Let a locked run that a person resumes wait only for answers that may still come in time.

    Operations whose answers are overdue are begun again, and attempts are counted from the first. ``begun`` stays:
    what may have taken effect must be undone if the run is.
    """
    waits = {}
    for step, wait in row.waits.items():
        if wait.operation and wait.until > now:
            waits[step] = wait
        elif wait.begun:
            waits[step] = Wait(0, begun=True)
    pending = json.dumps({step: asdict(wait) for step, wait in waits.items()}) if waits else None
    execute("UPDATE sagas_run SET pending = %s::jsonb WHERE id = %s", [pending, row.id])


def make_due(ids: Sequence[UUID]) -> None:
    """Make locked, live runs due now."""
    execute(
        "UPDATE sagas_run SET due_at = clock_timestamp(), claims = 0 WHERE id = ANY(%s::uuid[]) AND due_at IS NOT NULL",
        [uuid_array(ids)],
    )


def end_wait(run_id: UUID, step: str) -> None:
    """End a run's wait at a step: what it waits for has happened. A run that does not wait there stays as it is.

    The next attempt may be due at once, so it is not one of those that wait for a claim.
    """
    execute(
        "UPDATE sagas_run SET due_at = clock_timestamp(), claims = 0, "
        "pending = jsonb_set(pending, ARRAY[%s, 'until'], '0') WHERE id = %s AND pending ? %s AND due_at IS NOT NULL",
        [step, run_id, step],
    )
