"""SQL of claims: which runs are due, their leases, and how old the backlog is."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection

from sagas import hooks, runtime
from sagas.conf import config
from sagas.db import array, uuid_array
from sagas.decisions.admission import Count, Look
from sagas.metrics import catalogue
from sagas.metrics.instruments import count_after_commit
from sagas.postgresql import prepared
from sagas.states import State
from sagas.store.runs import COLUMNS, GUARDED, SEEN, Row, Sql, execute, notify_hooks, rows_of

_NOT_NEW = "AND state <> 'PENDING'"

_SECONDS = "EXTRACT(EPOCH FROM {})::float8"

#: Saga, version, shape, state, cursor and fork of runs that are left to other processes; see ``sagas.engine.claiming``.
Foreign = tuple[str, int, int, str, int, int]

#: Saga, version, shape, state and cursor of runs that a claim only has to lease.
Plain = tuple[str, int, int, str, int]

_NOT_OF = (
    "(saga, version, shape, state, cursor, fork) NOT IN "
    "(SELECT * FROM unnest(%s::text[], %s::int[], %s::int[], %s::text[], %s::int[], %s::bigint[]))"
)
#: Only for the time of a lease. If no other process has taken them by then, they are claimed and counted.
_NOT_FOREIGN = f"AND (due_at <= now() - %s OR {_NOT_OF})"

#: Seconds that a claim takes where it may have passed many dead index entries, and a look where it certainly has.
_SLOW, _CROWDED = 0.02, 0.005
#: Seconds before now from where on claims look for runs at least. A transaction that takes longer may commit a run that
#: is due before the floor; it is found at the next look from the start.
_LATE = 5.0
#: A look from the start comes after so many times as the last one took.
_SELDOM = 20


def floor() -> float | None:
    """From which due time on claims look for runs, in seconds of Unix time by the database's clock; ``None``: from all.

    The index has an entry for each due time that a run ever had, until vacuum takes it away. While a transaction of
    this server is open for long, a backup's say, vacuum takes nothing away, and each claim would pass all of them. Only
    where that was seen to take long there is a floor. No live run was due before it at the last look from the start;
    these come every tick, or as seldom as their cost demands.
    """
    memory = runtime.memory
    began = time.monotonic()
    if memory.is_due_crowded and began >= memory.floor_until:
        least = _SECONDS.format("LEAST(min(due_at), clock_timestamp() - %s * interval '1 second')")
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {least} FROM sagas_run WHERE due_at IS NOT NULL", [_LATE])
            (found,) = cursor.fetchone()
        took = time.monotonic() - began
        memory.is_due_crowded = took >= _CROWDED
        # A double has no room for all digits.
        memory.floor = found - 0.001
        memory.floor_until = began + took + max(config().tick / 2, _SELDOM * took)
    return memory.floor if memory.is_due_crowded else None


@contextmanager
def _from_floor() -> Iterator[Sql]:
    """A condition on due times, of a statement inside this block."""
    least = floor()
    began = time.monotonic()
    yield ("", []) if least is None else ("AND due_at >= to_timestamp(%s)", [least])
    if least is None and time.monotonic() - began >= _SLOW:
        # It may have waited or have had much to return: the next one looks what it was.
        runtime.memory.is_due_crowded, runtime.memory.floor_until = True, -math.inf


#: Seconds for which a run has been due.
_WAITED = "EXTRACT(EPOCH FROM clock_timestamp() - due_at)::float8"


def lock_due(
    limit: int,
    *,
    lapsed: bool,
    begin: bool,
    foreign: Collection[Foreign] = (),
    elsewhere: Collection[Foreign] = (),
) -> list[Row]:
    """Lock up to ``limit`` due runs that no other transaction is claiming, the longest due first.

    Args:
        limit: runs at most.
        lapsed: take runs whose lease ran out, instead of those that were never claimed since their last move.
        begin: take runs too that have not begun.
        foreign: kinds of runs to leave to others for the time of a lease.
        elsewhere: kinds of runs to leave to others for ever.
    """
    others: list[Any] = []
    if foreign:
        others = [timedelta(seconds=config().lease), *(list(column) for column in zip(*foreign, strict=True))]
    kinds = _NOT_FOREIGN if foreign else ""
    if elsewhere:
        kinds += f" AND {_NOT_OF}"
        others += [list(column) for column in zip(*elsewhere, strict=True)]
    claims = ">" if lapsed else "="
    # now(), not clock_timestamp(): only a stable function can use the index on due_at.
    with _from_floor() as (above, least):
        due = (
            f"SELECT {COLUMNS}, {GUARDED}, {_WAITED} FROM sagas_run WHERE due_at <= now() {above} "
            f"AND claims {claims} %s {'' if begin else _NOT_NEW} {kinds} ORDER BY due_at LIMIT {{}} "
            "FOR NO KEY UPDATE SKIP LOCKED"
        )
        if limit > prepared.FEW and not (least or others) and prepared.prepares_few(connection):
            # The best plan for many runs depends on how many are due, that for a few does not.
            found = rows_of(due.format(prepared.FEW), [0], rows=prepared.FEW)
            if len(found) < prepared.FEW:
                return found
        # Among them those that are locked already: no other transaction can have changed these.
        return rows_of(due.format("%s"), [*least, 0, *others, limit])


_BEGIN = (
    ", state = CASE run.state WHEN 'PENDING' THEN 'EXECUTING' ELSE run.state END, "
    "started_at = COALESCE(run.started_at, clock_timestamp()), "
    "deadline = COALESCE(run.deadline, clock_timestamp() + {})"
)


def lease(ids: Sequence[UUID], *, begin: bool, within: float | None = None) -> None:
    """Give claimed runs a lease, doubled with every claim without progress.

    Args:
        ids: runs that the caller has locked.
        begin: whether PENDING runs begin now. They do not in a process that does not know their saga.
        within: seconds from the beginning to the first confirm deadline; ``None`` for no deadline.
    """
    start = _BEGIN.format("%s::interval")
    params = [
        timedelta(seconds=config().lease),
        *([None if within is None else timedelta(seconds=within)] if begin else []),
        uuid_array(ids),
    ]
    if begin and hooks.is_watched(State.PENDING, State.EXECUTING):
        _begin_watched(start, params)
        return
    with connection.cursor() as cursor:
        sql = f"{_LEASE}{start if begin else ''} WHERE run.id = ANY(%s::uuid[])"
        prepared.execute(cursor, sql, params, rows=prepared.ANY)


#: Up to so many runs, less one, are leased by one statement: the plan of it does not depend on their number.
FEW = 64

#: Without a past, and without anything that a claim would have to look at.
_IS_PLAIN = (
    "fork = 0 AND attempt = 0 AND pending IS NULL AND NOT locked "
    "AND (state = 'PENDING') = (started_at IS NULL) AND (state <> 'PENDING' OR deadline IS NULL) "
    f"AND NOT {GUARDED}"
)
#: The kind of a run, as ``_name``. Only the saga's own name may have slashes.
_KIND = "saga || '/' || version || '/' || shape || '/' || state || '/' || cursor"


def lease_few(plain: Mapping[Plain, float | None], *, begin: bool) -> dict[Plain, list[UUID]] | None:
    """Lock a few due runs and give them a lease, all in one statement, if all of them are plain.

    Outside a transaction it is one of its own, with one trip to the database in place of four.

    Args:
        plain: kinds of runs that may be leased without a further look, each with the seconds from the beginning to the
            first confirm deadline, if it has one.
        begin: take runs too that have not begun.

    Returns:
        The leased runs by what they were before; none if nothing is due. ``None`` if there are others among those that
        are due, or too many, and nothing was written.
    """
    kinds = {_name(kind): kind for kind in plain}
    with _from_floor() as (above, _), connection.cursor() as cursor:
        if above:
            return None
        sql = _lease_few(begin=begin)
        names, withins = array(kinds), array(None if within is None else str(within) for within in plain.values())
        prepared.execute(cursor, sql, [names, 0, timedelta(seconds=config().lease), withins, names])
        found = cursor.fetchall()
    if found and found[0][2] != len(found):
        return None
    leased: dict[Plain, list[UUID]] = defaultdict(list)
    for run_id, name, *_ in found:
        leased[kinds[name]].append(run_id)
    if found and config().metrics:
        count_claims((kinds[name][0], kinds[name][3], waited) for _, name, _, waited in found)
        count_begun({saga: len(ids) for (saga, _, _, state, _), ids in leased.items() if state == State.PENDING})
    return leased


def count_claims(claimed: Iterable[tuple[str, str, float]]) -> None:
    """Measure, after the commit, for how long claimed runs had been due: saga, state and seconds of each."""
    waits: dict[tuple[str, str], list[float]] = defaultdict(list)
    for saga, state, waited in claimed:
        waits[saga, state].append(waited)
    count_after_commit(
        [(catalogue.CLAIM_WAIT, seconds, {"saga": saga, "state": state}) for (saga, state), seconds in waits.items()]
    )


def count_begun(begun: Mapping[str, int]) -> None:
    """Count, after the commit, how many runs of each saga have begun."""
    count_after_commit(
        [(catalogue.TRANSITIONS, n, {"saga": saga, "state": State.EXECUTING.value}) for saga, n in begun.items() if n]
    )


def _name(kind: Plain) -> str:
    return "/".join(map(str, kind))


@cache
def _lease_few(*, begin: bool) -> str:
    begins = _BEGIN.format("(%s::float8[])[array_position(%s::text[], due.kind)] * interval '1 second'")
    return (
        f"WITH due AS MATERIALIZED (SELECT id, {_WAITED} AS waited, {_KIND} AS kind, "
        f"{_IS_PLAIN} AND {_KIND} = ANY(%s::text[]) AS plain "
        f"FROM sagas_run WHERE due_at <= now() AND claims = %s {'' if begin else _NOT_NEW} "
        f"ORDER BY due_at LIMIT {FEW} FOR NO KEY UPDATE SKIP LOCKED), "
        f"leased AS (UPDATE sagas_run AS run SET claims = 1, due_at = clock_timestamp() + %s::interval{begins} "
        f"FROM due WHERE run.id = due.id AND (SELECT bool_and(plain) AND count(*) < {FEW} FROM due) "
        "RETURNING 1) SELECT id, kind, (SELECT count(*) FROM leased), waited FROM due"
    )


_LEASE = (
    "UPDATE sagas_run AS run SET claims = run.claims + 1, "
    "due_at = clock_timestamp() + %s::interval * power(2, LEAST(run.claims, 16))"
)


def _begin_watched(start: str, params: Sequence[Any]) -> None:
    """Give a lease, and call the hooks for the runs that begin with it: those that were PENDING under our lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_LEASE}{start} FROM sagas_run AS was WHERE was.id = run.id AND run.id = ANY(%s::uuid[]) "
            f"RETURNING {SEEN}, was.state",
            params,
        )
        begun = [seen for *seen, was in cursor.fetchall() if was == State.PENDING]
    notify_hooks(State.PENDING, State.EXECUTING, begun)


def next_due() -> float | None:
    """Seconds until the next run is due, 0 if one is; ``None`` if no run is live."""
    with _from_floor() as (above, least), connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXTRACT(EPOCH FROM min(due_at) - clock_timestamp())::float8 FROM sagas_run "
            f"WHERE due_at IS NOT NULL {above}",
            least,
        )
        (seconds,) = cursor.fetchone()
    return None if seconds is None else max(float(seconds), 0.0)


def release_leases(ids: Sequence[UUID]) -> None:
    """Give back leases whose messages could not be published: the runs are due again after a tick.

    A run of which nothing is done has not begun: its confirm deadline must not pass while the broker is away. But a
    broker that was only slow to confirm may have the message, and then the steps are done all the same. Such a run
    begins when it waits for its confirmations.

    A lease that the wait of another branch cuts short is not counted.
    """
    untouched = (
        "run.state = 'EXECUTING' AND run.cursor = 0 AND run.fork = 0 AND run.attempt = 0 AND run.claims = 1 "
        "AND run.pending IS NULL"
    )
    execute(
        "UPDATE sagas_run AS run SET claims = GREATEST(run.claims - 1, 0), due_at = clock_timestamp() + %s::interval, "
        f"started_at = CASE WHEN {untouched} THEN NULL ELSE run.started_at END, "
        f"deadline = CASE WHEN {untouched} THEN NULL ELSE run.deadline END "
        "FROM (SELECT id FROM sagas_run WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE) AS mine "
        "WHERE run.id = mine.id AND run.due_at IS NOT NULL AND (run.claims > 0 OR run.pending IS NOT NULL)",
        [timedelta(seconds=config().tick), uuid_array(ids)],
    )


def hand_over(ids: Sequence[UUID]) -> None:
    """Let other processes claim runs whose next step is theirs: runs that this process has moved and has not begun.

    A fork one branch of which is done, or waits, keeps the claim of its first branch (``moves._BY_BRANCHES``), which
    ends here.
    """
    execute(
        "UPDATE sagas_run AS run SET due_at = clock_timestamp(), claims = 0 "
        "FROM (SELECT id FROM sagas_run WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE) AS mine "
        "WHERE run.id = mine.id AND run.due_at > clock_timestamp() AND (run.claims = 0 "
        "AND run.state IN ('EXECUTING', 'CONFIRMING', 'COMPENSATING') "
        "OR run.claims = 1 AND (run.fork <> 0 OR run.pending IS NOT NULL) "
        "AND run.state IN ('EXECUTING', 'CONFIRMING'))",
        [uuid_array(ids)],
    )


#: Runs that could begin: not those in line at a business key, which wait for another run and not for a worker; and not
#: those that were claimed already, of a saga that no worker knows. Only a stable function can use the index.
_COULD_BEGIN = (
    "state = 'PENDING' AND claims = 0 "
    # Not by EXISTS: PostgreSQL may compare all places of all lines for it.
    "AND (NOT locked OR (SELECT true FROM sagas_lock AS mine JOIN sagas_lock AS other "
    "ON other.key = mine.key AND other.ticket < mine.ticket WHERE mine.run_id = run.id LIMIT 1) IS NULL)"
)

_BACKLOG = f"FROM sagas_run AS run WHERE due_at <= statement_timestamp() AND {_COULD_BEGIN}"

#: Seconds before the last head from where the next one is looked for: index entries further back are mostly dead.
_BEFORE_HEAD = 10.0

_LATEST = 20


def look_at_backlog(since: float | None = None) -> Look:
    """Find the oldest run that could begin.

    A run that nobody can perform stays at the head for a lease. If one of the latest runs began after that run became
    due, the head does not hold up others, and it counts from there.

    Args:
        since: the head at the last look, in seconds of Unix time: an older one is not looked for.
    """
    head = (
        f"SELECT due_at {_BACKLOG} {'' if since is None else 'AND due_at >= to_timestamp(%s)'} ORDER BY due_at LIMIT 1"
    )
    # Ids are UUIDv7 as a rule. Others cost nothing but this correction.
    newest = (
        "(lpad(to_hex((EXTRACT(EPOCH FROM statement_timestamp()) * 1000)::bigint + 1000), 12, '0') "
        "|| repeat('0', 20))::uuid"
    )
    passing = (
        "SELECT max(created_at) AS at FROM (SELECT created_at, started_at FROM sagas_run "
        f"WHERE id < {newest} ORDER BY id DESC LIMIT {_LATEST}) AS latest WHERE started_at IS NOT NULL"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_SECONDS.format('statement_timestamp()')}, "
            f"{_SECONDS.format('GREATEST(head.due_at, passing.at)')} "
            f"FROM ({head}) AS head, LATERAL ({passing}) AS passing",
            [] if since is None else [since - _BEFORE_HEAD],
        )
        found = cursor.fetchone()
        if found is None:
            cursor.execute(f"SELECT {_SECONDS.format('statement_timestamp()')}")
            (at,) = cursor.fetchone()
            return Look(at, at)
    return Look(*found)


def count_backlog(most: int, *, since: float, before: float | None = None) -> Count:
    """Count the runs that could begin, the oldest first.

    Args:
        most: so many at most.
        since: no older ones than this, in seconds of Unix time.
        before: the due time of the last run that was counted at the look before.
    """
    # Only the limit of what is looked at binds the planner to the index, whatever its statistics say of the states.
    most_looked_at = 2 * most + 1000
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH due AS MATERIALIZED (SELECT id, due_at, state, claims, locked FROM sagas_run "
            "WHERE due_at <= statement_timestamp() AND due_at >= to_timestamp(%s) ORDER BY due_at LIMIT %s) "
            f"SELECT count(*), COALESCE({_SECONDS.format('max(due_at)')}, 0), "
            "count(*) FILTER (WHERE due_at <= to_timestamp(%s)), "
            "COALESCE(bool_or(due_at = to_timestamp(%s)), false), (SELECT count(*) FROM due) "
            f"FROM (SELECT due_at FROM due AS run WHERE {_COULD_BEGIN} ORDER BY due_at LIMIT %s) AS oldest",
            [since - _BEFORE_HEAD, most_looked_at, before, before, most],
        )
        waiting, through, left, stood, looked_at = cursor.fetchone()
    return Count(waiting, waiting < most and looked_at < most_looked_at, through, left, stood)


def backlog_age() -> float:
    """Seconds that the oldest run has waited that could have begun; 0 if none waits."""
    return look_at_backlog().age


def backlog() -> tuple[int, float]:
    """How many runs could have begun, and how many seconds the oldest has waited. Slow: it counts every row."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {_BACKLOG}")
        (count,) = cursor.fetchone()
    return int(count), backlog_age()
