"""The family of a run: the run that it is a step of, that one's, and all runs that are steps of these."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from sagas.states import State

#: Generations up and down, and runs, that are looked at.
_GENERATIONS = 20
MOST = 200

_FAMILY = """
WITH RECURSIVE up AS (
    SELECT id, parent_id, 0 AS height FROM sagas_run WHERE id = %(run)s
    UNION ALL
    SELECT parent.id, parent.parent_id, up.height + 1 FROM up JOIN sagas_run AS parent ON parent.id = up.parent_id
    WHERE up.height < %(generations)s
), down AS (
    (SELECT id, 0 AS depth FROM up ORDER BY height DESC LIMIT 1)
    UNION ALL
    SELECT child.id, down.depth + 1 FROM down JOIN sagas_run AS child ON child.parent_id = down.id
    WHERE down.depth < %(generations)s
)
SELECT run.id, run.saga, run.business_key, run.state, run.parent_id, COALESCE(run.parent_step, ''), down.depth
FROM down JOIN sagas_run AS run ON run.id = down.id ORDER BY down.depth, run.created_at, run.id LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Relative:
    """A run of a family.

    Attributes:
        id: the run.
        saga: its saga.
        business_key: what people know it by.
        state: its state.
        parent_id: the run that it is a step of.
        step: which step of it.
        depth: how many generations it is below the eldest.
    """

    id: UUID
    saga: str
    business_key: str
    state: State
    parent_id: UUID | None
    step: str
    depth: int


def of_run(run_id: UUID) -> list[Relative]:
    """The whole family, each run behind its parent; of a large one the eldest generations. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_FAMILY, {"run": str(run_id), "generations": _GENERATIONS, "most": MOST})
        found = [Relative(row[0], row[1], row[2], State(row[3]), *row[4:]) for row in cursor.fetchall()]
    below: dict[UUID | None, list[Relative]] = {}
    for relative in found:
        below.setdefault(relative.parent_id if relative.depth else None, []).append(relative)
    ordered: list[Relative] = []
    left = list(reversed(below.get(None, [])))
    while left:
        relative = left.pop()
        ordered.append(relative)
        left.extend(reversed(below.get(relative.id, [])))
    return ordered
