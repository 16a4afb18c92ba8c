"""Probes of the pools that sagas use: counts are compared with holds, and holds with runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import Error, connections, transaction

from sagas import store
from sagas.definition import registry
from sagas.definition.participants import Operation, SetBasedFunction
from sagas.operations.doctor.finding import Finding, Severity
from sagas.operations.doctor.query import rows
from sagas.pool import HoldState, PoolResource
from sagas.states import FINAL

#: Number of holds that are compared with their runs in one query.
BATCH = 1000
#: Statement timeout in the pool's database, in milliseconds.
PATIENCE = 30_000


@dataclass(frozen=True, slots=True)
class _Use:
    """A step that takes holds in a pool."""

    saga: str
    step: str
    resource: PoolResource[Any]


def books() -> Iterator[Finding]:
    """Report pools whose counts differ from their holds, and holds that contradict their runs."""
    uses = _uses()
    for (database, pool, hold), users in uses.items():
        resource = users[0].resource
        name = resource.pool._meta.db_table
        try:
            found = [*_counts(resource), *_left_over(resource), *_missing(users)]
        except Error as error:
            said = str(error).strip().splitlines()[0]
            what = f"The pool {name} and its holds in {hold} could not be compared: {said}."
            remedy = f"Check whether the database {database!r} answers. Large tables may take too long for the doctor."
            yield Finding(Severity.WARNING, what, remedy=remedy)
            continue
        yield from found or [
            Finding(Severity.FINE, f"The pool {pool} agrees with its holds, and these with their runs.")
        ]


def _uses() -> dict[tuple[str, str, str], list[_Use]]:
    """List the steps that take holds in pools, by database, pool table and hold table."""
    found: dict[tuple[str, str, str], list[_Use]] = defaultdict(list)
    for definition in registry.all_definitions():
        for step in definition.steps:
            for action in step.actions.values():
                resource = _resource(action.participant)
                if action.operation is Operation.TRY and resource is not None:
                    key = resource.database, resource.pool._meta.db_table, resource.hold._meta.db_table
                    found[key].append(_Use(definition.name, step.name, resource))
    return dict(sorted(found.items()))


def _resource(participant: Any) -> PoolResource[Any] | None:
    owner = getattr(participant.function, "__self__", None) if isinstance(participant, SetBasedFunction) else None
    return owner if isinstance(owner, PoolResource) else None


def _ask(resource: PoolResource[Any], sql: str, params: Sequence[Any] = ()) -> list[Any]:
    with transaction.atomic(using=resource.database), connections[resource.database].cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(PATIENCE)])
        cursor.execute(sql, list(params))
        return list(cursor.fetchall())


def _counts(resource: PoolResource[Any]) -> Iterator[Finding]:
    pool, hold, key = resource.pool._meta.db_table, resource.hold._meta.db_table, resource.pool._meta.pk.column
    differing = _ask(
        resource,
        "SELECT COALESCE(pool.key, holds.pool_key), pool.held, COALESCE(holds.held, 0), pool.sold, "
        f'COALESCE(holds.sold, 0) FROM (SELECT "{key}"::text AS key, held, sold - settled AS sold FROM "{pool}") '
        "AS pool FULL JOIN "
        f"(SELECT pool_key, sum(quantity) FILTER (WHERE state = 'HELD') AS held, "
        f"sum(quantity) FILTER (WHERE state = 'CONFIRMED') AS sold FROM \"{hold}\" "
        "WHERE state <> 'CANCELLED' GROUP BY pool_key) AS holds ON holds.pool_key = pool.key "
        "WHERE COALESCE(pool.held, -1) <> COALESCE(holds.held, 0) "
        "OR COALESCE(pool.sold, -1) <> COALESCE(holds.sold, 0) ORDER BY 1",
    )
    if differing:
        row, held, of_holds, sold, of_sales = differing[0]
        first = (
            f"there is no row {row}, of which {of_holds} are held and {of_sales} sold"
            if held is None
            else f"{row} counts {held} held and {sold} sold, and its holds {of_holds} and {of_sales}"
        )
        yield Finding(
            Severity.ERROR,
            f"{len(differing)} row(s) of the pool {pool} contradict {hold}: {first}.",
            remedy="Somebody changed the pool or its holds by SQL. Restore what is missing, or correct the counts. "
            "Until then operations on these rows fail, and their runs are escalated.",
        )


def _left_over(resource: PoolResource[Any]) -> Iterator[Finding]:
    """Report holds that no run will confirm or cancel: their runs have ended or do not exist."""
    hold = resource.hold._meta.db_table
    ended: dict[str, list[UUID]] = defaultdict(list)
    last = UUID(int=0)
    while True:
        held = _ask(
            resource,
            f"SELECT DISTINCT run_id FROM \"{hold}\" WHERE state = 'HELD' AND run_id > %s ORDER BY run_id LIMIT %s",
            [last, BATCH],
        )
        if not held:
            break
        last = held[-1][0]
        ids = [run_id for (run_id,) in held]
        states = dict(rows("SELECT id, state FROM sagas_run WHERE id = ANY(%s::uuid[])", [ids]))
        suspects = [run_id for run_id in ids if states.get(run_id) is None or states[run_id] in FINAL]
        # A run may have settled its holds and ended between the two queries: read the holds again.
        still = _ask(
            resource, f"SELECT run_id FROM \"{hold}\" WHERE state = 'HELD' AND run_id = ANY(%s::uuid[])", [suspects]
        )
        by_hand = set(
            rows("SELECT run_id FROM sagas_log WHERE run_id = ANY(%s::uuid[]) AND operation = 'resolve'", [suspects])
        )
        for (run_id,) in dict.fromkeys(still):
            how = "were ended by hand" if (run_id,) in by_hand else f"are {states.get(run_id, 'missing')}"
            ended[how].append(run_id)
    for how, ids in sorted(ended.items()):
        by_people = how == "were ended by hand"
        yield Finding(
            Severity.WARNING if by_people else Severity.ERROR,
            f"{len(ids)} run(s) that {how} still have holds in {resource.pool._meta.db_table} (run {ids[0]}).",
            len(ids),
            "The person who ended them vouched for their effects: settle holds and counts by hand."
            if by_people
            else "Nothing will release these holds. Find out what happened to the runs, then settle holds and counts "
            "together, by hand.",
        )


def _missing(users: Sequence[_Use]) -> Iterator[Finding]:
    """Report unfinished runs that have no hold, although their log says that they took one."""
    resource = users[0].resource
    for use in users:
        missing: list[UUID] = []
        last = UUID(int=0)
        while True:
            tried = rows(_TRIED, [use.step, use.saga, last, use.step, BATCH])
            if not tried:
                break
            last = tried[-1][0]
            held = {
                run_id
                for (run_id,) in _ask(
                    resource,
                    f'SELECT run_id FROM "{resource.hold._meta.db_table}" WHERE run_id = ANY(%s::uuid[]) AND step = %s '
                    "AND state = %s",
                    [[row[0] for row in tried], use.step, HoldState.HELD],
                )
            }
            suspects = [row for row in tried if row[0] not in held and _demands(use.resource, *row)]
            # As above: a run may have moved between the two queries.
            ids = [row[0] for row in suspects]
            again = {row[0] for row in rows(_TRIED_OF, [use.step, use.saga, ids, use.step, BATCH])} if ids else set()
            missing += [row[0] for row in suspects if row[0] in again]
        if missing:
            yield Finding(
                Severity.ERROR,
                f"{len(missing)} unfinished run(s) of {use.saga} have no hold in {resource.pool._meta.db_table} at "
                f"{use.step}, although they must (run {missing[0]}).",
                len(missing),
                "Their holds were deleted or changed by SQL. Restore the holds and correct the counts before the runs "
                "are confirmed.",
            )


_TRIED = (
    "SELECT run.id, run.saga, run.version, run.shape, run.request::text FROM sagas_run AS run "
    "JOIN sagas_log AS tried ON tried.run_id = run.id AND tried.step = %s AND tried.operation = 'try' "
    "AND tried.outcome = 'DONE' WHERE run.saga = %s AND run.id > %s "
    "AND (run.due_at IS NOT NULL OR run.state = 'ESCALATED') AND NOT EXISTS (SELECT FROM sagas_log AS settled "
    "WHERE settled.run_id = run.id AND settled.step = %s AND settled.operation IN ('confirm', 'cancel') "
    "AND settled.outcome = 'DONE') ORDER BY run.id LIMIT %s"
)

_TRIED_OF = _TRIED.replace("run.id > %s", "run.id = ANY(%s::uuid[])")


def _demands(resource: PoolResource[Any], _run_id: UUID, saga: str, version: int, shape: int, request: str) -> bool:
    """Whether the run asks for more than nothing; ``False`` if its request cannot be read here."""
    try:
        return bool(resource.demand(store.definitions.find(saga, version, shape).load(request)))
    except Exception:
        # The code lacks its saga, or cannot read its request: other probes report it.
        return False
