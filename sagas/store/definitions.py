"""Which definition a run follows: the one with which it began, even if the code has changed since.

The shape of every definition is recorded once (``sagas_definition``), and a run names its own. If the code has another
shape, the run goes on by its own list of steps, with the code's participants of the same names. What this code lacks,
other processes may have: during a rolling deployment, or after a change was reverted.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction

from sagas import runtime
from sagas.decisions.plan import Place
from sagas.definition import registry, shapes
from sagas.definition.definition import Definition
from sagas.definition.evolution import definition_for_shape
from sagas.definition.shapes import Shape
from sagas.errors import UnknownSaga
from sagas.states import State
from sagas.store.retention import pruning


def _key(definition: Definition) -> tuple[str, int, int]:
    return definition.name, definition.version, definition.shape.number


def record(definition: Definition) -> None:
    """Record a definition, in the caller's transaction. Where that was done before, it costs a look into a set.

    All definitions that this process knows, with their variants, are recorded in one statement and in one order: two
    transactions that start the first runs of two new sagas must not wait for each other.
    """
    if _key(definition) in runtime.memory.recorded:
        return
    variants = [variant for known in registry.all_definitions() for variant in known.variants.values()]
    wanted = list({_key(d): d for d in (*variants, definition)}.values())
    keys = [_key(d) for d in wanted]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sagas_definition (saga, version, shape, body, created_at) "
            "SELECT v.*, clock_timestamp() FROM unnest(%s::text[], %s::int[], %s::int[], %s::jsonb[]) AS v "
            "ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING",
            [*(list(column) for column in zip(*keys, strict=True)), [d.shape.dump() for d in wanted]],
        )
    # Only after the commit: after a rollback the rows are not there.
    transaction.on_commit(lambda: runtime.memory.recorded.update(keys))


def find(saga: str, version: int, shape: int = 0) -> Definition:
    """Return the definition that a run of this shape follows.

    It may name operations that this process cannot perform: ``missing_parts`` lists them, and ``Definition.action``
    raises.

    Args:
        saga: the run's saga.
        version: its version.
        shape: number of its shape; 0 for that of the code.

    Raises:
        UnknownSaga: neither the code nor the record has it.
    """
    try:
        here = registry.find_registered(saga, version)
    except UnknownSaga:
        if not shape:
            raise
        here = None
    if here is not None and (own := here.variants.get(shape) if shape else here) is not None:
        return own
    followed = runtime.memory.followed.get((saga, version, shape))
    if followed is None or followed[0] is not here:
        stored = _load(saga, version, shape)
        if stored is None:
            if here is None:
                return registry.find_registered(saga, version)  # raises, and says why
            msg = f"{saga} version {version} is known here with other steps, and those of the run are not on record"
            raise UnknownSaga(msg)
        followed = here, definition_for_shape(saga, version, stored, here)
        runtime.memory.followed[saga, version, shape] = followed
    return followed[1]


def is_own(definition: Definition) -> bool:
    """Whether a definition is the code's own. Then this process lacks nothing of it."""
    return registry.is_registered(definition)


def missing_parts(definition: Definition, place: Place) -> str:
    """What runs that follow ``definition`` and stand at ``place`` need and this process lacks; "" if nothing."""
    try:
        here = registry.find_registered(definition.name, definition.version)
    except UnknownSaga as error:
        return str(error)
    missing = shapes.missing_parts(definition.shape, here.shape, place.state, place.cursor, place.fork)
    return ", ".join(missing)


def are_awaiting(ids: Collection[UUID], saga: str, version: int) -> bool | None:
    """Whether one of these runs of this saga and version is live. Then some process must know the saga.

    ``None`` if there never was such a run, and what names them makes no sense to anybody.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT bool_or(due_at IS NOT NULL) FROM sagas_run "
            "WHERE id = ANY(%s::uuid[]) AND saga = %s AND version = %s",
            [[str(run_id) for run_id in ids], saga, version],
        )
        awaiting: bool | None
        (awaiting,) = cursor.fetchone()
    if awaiting is None and len(pruning.pruned(saga, ids)) == len(ids):
        return False
    return awaiting


def _load(saga: str, version: int, shape: int) -> Shape | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT body::text FROM sagas_definition WHERE saga = %s AND version = %s AND shape = %s",
            [saga, version, shape],
        )
        found = cursor.fetchone()
    return Shape.read(json.loads(found[0])) if found else None


# What is wrong ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """A change of the code that unfinished runs cannot follow.

    Attributes:
        saga: their saga.
        version: its version.
        known: whether the code knows saga and version at all.
        what: what they need and the code lacks.
        live: number of live runs that cannot go on.
        escalated: number of such runs that wait for a person.
    """

    saga: str
    version: int
    known: bool
    what: str
    live: int
    escalated: int

    @property
    def runs(self) -> str:
        """The number of runs, in words."""
        return f"{self.live} live and {self.escalated} escalated run(s)"

    @property
    def remedy(self) -> str:
        """What to do."""
        if self.known:
            return (
                "Put it back, or give the changed class the next version and keep the old one beside it, with this "
                "name and version, until its runs are done."
            )
        return "Deploy the code that has it, under this name and version, until its runs are done."


#: Escalated runs are not due. They are found by their open escalation, which has the state from which they came.
_CENSUS = """
SELECT saga, version, shape, state, cursor, fork, FALSE AS escalated, count(*) FROM sagas_run
WHERE due_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6
UNION ALL
SELECT r.saga, r.version, r.shape, e.state, r.cursor, r.fork, TRUE, count(*) FROM sagas_escalation AS e
JOIN sagas_run AS r ON r.id = e.run_id WHERE e.resolved_at IS NULL GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 1, 2, 3
"""


def problems(*, within: int | None = None) -> Sequence[Problem]:
    """Find what unfinished runs need and this code lacks. ``within``: seconds that the database may take for it."""
    with connection.cursor() as cursor:
        if within is not None:
            cursor.execute(f"SET LOCAL statement_timeout = '{within}s'")
        cursor.execute(_CENSUS)
        census = cursor.fetchall()
    found: dict[tuple[str, int, bool, str], list[int]] = defaultdict(lambda: [0, 0])
    for saga, version, shape, state, cursor_at, fork, escalated, count in census:
        known = True
        try:
            registry.find_registered(saga, version)
        except UnknownSaga as error:
            known, what = False, str(error)
        else:
            try:
                what = missing_parts(find(saga, version, shape), Place(State(state), cursor_at, fork))
            except UnknownSaga as error:
                what = str(error)
        if what:
            found[saga, version, known, what][bool(escalated)] += count
    return [Problem(*key, *counts) for key, counts in found.items()]
