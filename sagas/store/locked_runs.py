"""A run that this transaction has locked, and the definition that the run follows: read once, then handed on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sagas.decisions.plan import Place
from sagas.definition.definition import Definition
from sagas.store import definitions, runs
from sagas.store.runs import Row

#: The name of the confirmation that a run awaits from its parent, when the run is a step of another.
PARENT = "@parent"


@dataclass(frozen=True, slots=True, eq=False)
class LockedRun:
    """A run that this transaction has locked.

    Attributes:
        row: the run as it was read under its lock.
        definition: the definition that the run follows.
    """

    row: Row
    definition: Definition

    @classmethod
    def lock(cls, run_id: UUID) -> LockedRun:
        """Lock a run; ``RunNotFound`` if there is none, ``UnknownSaga`` if its definition is not known."""
        return cls.of(runs.lock_one(run_id))

    @classmethod
    def of(cls, row: Row) -> LockedRun:
        """Find the definition of a run that is locked already; ``UnknownSaga`` if it is not known."""
        return cls(row, definitions.find(row.saga, row.version, row.shape))

    @property
    def id(self) -> UUID:
        """The id of the run."""
        return self.row.id

    @property
    def awaited(self) -> frozenset[str]:
        """The names of all confirmations without which the run does not succeed."""
        own = self.definition.confirmation_names
        return own if self.row.parent_id is None else own | {PARENT}

    def awaits(self, name: str) -> bool:
        """Whether the run needs the confirmation of this name, be it received or not."""
        # Compared, and not looked up: a caller without a type checker may give a name that has no hash.
        return any(name == awaited for awaited in self.awaited)

    def hide(self, text: str) -> str:
        """Take out of a text what is personal in the run's data."""
        return self.definition.marks.hide(text, self.row.request, self.row.results)


def by_place(locked: Iterable[LockedRun]) -> Sequence[tuple[Definition, Place, list[Row]]]:
    """Group runs by their definition and their place: what is decided for one run holds for all of its group."""
    groups: dict[tuple[int, Place], tuple[Definition, Place, list[Row]]] = {}
    for run in locked:
        place = run.row.place
        groups.setdefault((id(run.definition), place), (run.definition, place, []))[2].append(run.row)
    return list(groups.values())
