"""SQL of retention: which runs ended long ago, their deletion, and what is remembered of the deleted ones.

A deleted run is remembered by the horizon of its saga, if its id is a UUIDv7 that is older; else by a tombstone. So no
new run gets its id, and a late message about it is no message about an unknown run. Every function runs inside its
caller's transaction, except where it says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from sagas.db import uuid_array
from sagas.states import State
from sagas.store.runs import execute

#: In place of a saga's name: all sagas that are not named.
OTHERS = "*"


class Ended(NamedTuple):
    """A locked run that has ended."""

    id: UUID
    saga: str
    version: int
    shape: int
    state: State
    business_key: str
    parent_id: UUID | None
    finished_at: datetime


class Seen(NamedTuple):
    """What a look at the runs has found: the roots to prune, the last run that was looked at, and the number of all."""

    roots: list[UUID]
    last: UUID | None
    looked: int


#: The end of the runs of a saga and outcome that are pruned; ``None`` for those that are kept for ever.
Cutoffs = Mapping[tuple[str, State], datetime | None]


def floor_of(moment: datetime) -> UUID:
    """The lowest UUIDv7 of a moment, without its version: what is below is older."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def is_behind(run_id: UUID, before: datetime | None) -> bool:
    """Whether an id says of itself that it is older than a horizon."""
    return before is not None and run_id.version == 7 and run_id < floor_of(before)


# A pass over the runs -------------------------------------------------------------------------------------------------


def take_part(part: str, *, wait: bool) -> UUID | None:
    """Lock a part of the pass, and return the last run that was looked at.

    Args:
        part: its name.
        wait: wait for another process that works at it. Otherwise, ``None`` if there is one, or if no tick is due.
    """
    execute(
        "INSERT INTO sagas_pruning (part, after, next_at) VALUES (%s, %s, clock_timestamp()) ON CONFLICT DO NOTHING",
        [part, UUID(int=0)],
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT after FROM sagas_pruning WHERE part = %s "
            f"{'' if wait else 'AND next_at <= clock_timestamp()'} FOR UPDATE {'' if wait else 'SKIP LOCKED'}",
            [part],
        )
        found = cursor.fetchone()
    return found[0] if found else None


def leave_part(part: str, after: UUID, *, pause: float) -> None:
    """Note how far the pass has come, and after how many seconds a tick goes on."""
    execute(
        "UPDATE sagas_pruning SET after = %s, next_at = clock_timestamp() + %s WHERE part = %s",
        [after, timedelta(seconds=pause), part],
    )


def look(after: UUID, before: UUID, cutoffs: Cutoffs, *, limit: int, look: int) -> Seen:
    """Look at up to ``look`` runs with ids in a range, in their order, for up to ``limit`` roots that are old enough.

    A root is a run that is no step of another; or whose parent is gone, by whatever hand.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH seen AS MATERIALIZED (SELECT id, saga, state, parent_id, finished_at FROM sagas_run "
            "WHERE id > %s AND id < %s ORDER BY id LIMIT %s), "
            "age AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS v(saga, state, cutoff)) "
            "SELECT (SELECT id FROM seen ORDER BY id DESC LIMIT 1), (SELECT count(*) FROM seen), "
            "ARRAY(SELECT seen.id FROM seen LEFT JOIN age ON age.saga = seen.saga AND age.state = seen.state "
            "LEFT JOIN age AS other ON other.saga = %s AND other.state = seen.state "
            "WHERE seen.finished_at < CASE WHEN age.saga IS NULL THEN other.cutoff ELSE age.cutoff END "
            "AND (seen.parent_id IS NULL OR NOT EXISTS "
            "(SELECT FROM sagas_run AS parent WHERE parent.id = seen.parent_id)) ORDER BY seen.id LIMIT %s)",
            [
                after,
                before,
                look,
                [saga for saga, _ in cutoffs],
                [state.value for _, state in cutoffs],
                list(cutoffs.values()),
                OTHERS,
                limit,
            ],
        )
        last, count, roots = cursor.fetchone()
    return Seen(list(roots), last, count)


def families(roots: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """The runs that are steps of each of these runs, or steps of steps; each with itself first."""
    found: dict[UUID, list[UUID]] = {root: [] for root in roots}
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE family AS (SELECT id AS root, id FROM unnest(%s::uuid[]) AS v(id) UNION ALL "
            "SELECT family.root, child.id FROM family JOIN sagas_run AS child ON child.parent_id = family.id) "
            "SELECT root, id FROM family",
            [uuid_array(roots)],
        )
        for root, run_id in cursor.fetchall():
            found[root].append(run_id)
    return found


def lock_ended(ids: Iterable[UUID]) -> list[Ended]:
    """Lock those of the runs that have ended, and that no other transaction has locked, in the order of their ids."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, saga, version, shape, state, business_key, parent_id, finished_at FROM sagas_run "
            "WHERE id = ANY(%s::uuid[]) AND state IN ('SUCCEEDED', 'FAILED') ORDER BY id FOR UPDATE SKIP LOCKED",
            [uuid_array(ids)],
        )
        return [Ended(r[0], r[1], r[2], r[3], State(r[4]), r[5], r[6], r[7]) for r in cursor.fetchall()]


def unfinished(ids: Sequence[UUID]) -> set[UUID]:
    """Those of locked runs of which an event is to be published or taken, or an escalation is open."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id FROM sagas_outbox WHERE run_id = ANY(%s::uuid[]) "
            "UNION SELECT run_id FROM sagas_queuedevent WHERE run_id = ANY(%s::uuid[]) "
            "UNION SELECT run_id FROM sagas_escalation WHERE run_id = ANY(%s::uuid[]) AND resolved_at IS NULL",
            [uuid_array(ids)] * 3,
        )
        return {run_id for (run_id,) in cursor.fetchall()}


# Their end ------------------------------------------------------------------------------------------------------------

#: What goes with a run, each table with its column for the run; the run itself is the last.
TABLES = (
    ("sagas_log", "run_id"),
    ("sagas_confirmation", "run_id"),
    ("sagas_escalation", "run_id"),
    ("sagas_run", "id"),
)
#: What is deleted with a run and says nothing of it that its log does not: no archive has it.
_NOTED = (("sagas_countedrun", "run_id"), ("sagas_pause", "run_id"))


#: A log row with all names written out, as rows of earlier versions have them.
_NAMED = (
    "to_jsonb(one) - 'performer_id' || jsonb_build_object('trace_id', run.trace_id, "
    "'worker', COALESCE(performer.worker, one.worker, ''), "
    "'compensate', COALESCE(performer.compensate, one.compensate, ''))",
    "JOIN sagas_run AS run ON run.id = one.run_id LEFT JOIN sagas_performer AS performer "
    "ON performer.id = one.performer_id",
)


def read_whole(ids: Sequence[UUID]) -> dict[str, list[dict[str, Any]]]:
    """Read all that goes with these runs, as JSON; by table, in the order of the rows' ids."""
    found: dict[str, list[dict[str, Any]]] = {}
    with connection.cursor() as cursor:
        for table, column in TABLES:
            whole, named = _NAMED if table == "sagas_log" else ("to_jsonb(one)", "")
            cursor.execute(
                f"SELECT ({whole})::text FROM {table} AS one {named} WHERE one.{column} = ANY(%s::uuid[]) "
                "ORDER BY one.id",
                [uuid_array(ids)],
            )
            found[table] = [json.loads(text) for (text,) in cursor.fetchall()]
    return found


def delete(ids: Sequence[UUID]) -> None:
    """Delete locked runs that have ended behind their horizon, and all that goes with them."""
    execute("SELECT set_config('sagas.prune', 'on', true)", [])
    for table, column in (*_NOTED, *TABLES):
        execute(f"DELETE FROM {table} WHERE {column} = ANY(%s::uuid[])", [uuid_array(ids)])
    execute("SELECT set_config('sagas.prune', '', true)", [])
    # Now, and not at the COMMIT: the caller goes on to lock rows that others want.
    execute("SET CONSTRAINTS ALL IMMEDIATE", [])


def move_horizons(horizons: Mapping[str, datetime]) -> None:
    """Let runs of these sagas be gone that ended before these moments. A horizon never goes back."""
    execute(
        "INSERT INTO sagas_horizon AS known (saga, before) SELECT * FROM unnest(%s::text[], %s::timestamptz[]) AS v "
        "ORDER BY 1 ON CONFLICT (saga) DO UPDATE SET before = EXCLUDED.before WHERE known.before < EXCLUDED.before",
        [list(horizons), list(horizons.values())],
    )


def bury(ids: Collection[UUID]) -> None:
    """Leave tombstones of runs whose ids do not show that they are behind a horizon."""
    execute(
        "INSERT INTO sagas_tombstone (run_id, pruned_at) SELECT id, clock_timestamp() FROM unnest(%s::uuid[]) AS v(id) "
        "ORDER BY id ON CONFLICT DO NOTHING",
        [uuid_array(ids)],
    )


def pruned(saga: str, ids: Collection[UUID]) -> set[UUID]:
    """Those of these ids whose runs, if they were ever there, were pruned.

    Args:
        saga: their saga; '' if it is not known.
        ids: ids of which there is no run.
    """
    if not ids:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT max(before) FROM sagas_horizon WHERE saga = %s OR %s = ''), "
            "ARRAY(SELECT run_id FROM sagas_tombstone WHERE run_id = ANY(%s::uuid[]))",
            [saga, saga, uuid_array(ids)],
        )
        before, buried = cursor.fetchone()
    return {run_id for run_id in ids if run_id in buried or is_behind(run_id, before)}


def count_due(cutoffs: Cutoffs) -> list[tuple[str, str, int]]:
    """How many roots are old enough, by saga and outcome. Slow: it reads every run."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH age AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS v(saga, state, cutoff)) "
            "SELECT run.saga, run.state, count(*) FROM sagas_run AS run "
            "LEFT JOIN age ON age.saga = run.saga AND age.state = run.state "
            "LEFT JOIN age AS other ON other.saga = %s AND other.state = run.state "
            "WHERE run.finished_at < CASE WHEN age.saga IS NULL THEN other.cutoff ELSE age.cutoff END "
            "AND run.parent_id IS NULL GROUP BY 1, 2 ORDER BY 1, 2",
            [
                [saga for saga, _ in cutoffs],
                [state.value for _, state in cutoffs],
                list(cutoffs.values()),
                OTHERS,
            ],
        )
        return list(cursor.fetchall())
