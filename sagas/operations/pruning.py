"""Delete the barrier rows of runs that ended long ago, in the databases besides the engine's own."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sagas import store
from sagas.definition import registry

#: Runs whose barrier rows are deleted in one transaction.
BATCH = 1000


def step_databases() -> list[str]:
    """Aliases of the databases in which some step has its data."""
    return sorted({alias for definition in registry.all_definitions() for alias in definition.databases})


@dataclass(frozen=True, slots=True)
class Pruned:
    """What ``prune_barriers`` has done.

    Attributes:
        deleted: barrier rows that are gone.
        unknown: runs with old rows that this engine does not know.
    """

    deleted: int = 0
    unknown: int = 0


def prune_barriers(database: str, *, days: float) -> Pruned:
    """Delete the barrier rows of runs that ended longer than ``days`` ago.

    A run that has not ended may be delivered again, and one that this engine does not know may be another's: their
    rows are left. Each batch is a transaction of its own: killed in the middle, the next call goes on.
    """
    pruned = Pruned()
    last = UUID(int=0)
    while ids := store.barriers.runs_older_than(database, after=last, days=days, limit=BATCH):
        known, ended = store.runs.ended_before(ids, days=days)
        deleted = store.barriers.delete(database, ended) if ended else 0
        pruned = Pruned(pruned.deleted + deleted, pruned.unknown + len(ids) - known)
        last = ids[-1]
    return pruned
