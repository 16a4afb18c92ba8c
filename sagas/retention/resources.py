"""What domains hold for runs, and let go when these are pruned: pools, by themselves.

A participant's owner that has the methods of ``Prunable`` is asked. The engine knows no pool.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from sagas.definition import registry
from sagas.definition.participants import SetBasedFunction


@runtime_checkable
class Prunable(Protocol):
    """Something that has rows of runs."""

    @property
    def database(self) -> str:
        """The alias of the database in which they are."""
        ...

    @property
    def label(self) -> str:
        """What tells it from others. They are called in the order of their labels."""
        ...

    def find_held(self, ids: Sequence[UUID], /) -> Collection[UUID]:
        """Those of these ended runs that still hold something. They are not pruned: it would be held for ever."""
        ...

    def forget(self, ids: Sequence[UUID], /) -> None:
        """Delete the rows of these runs. It may be called twice with the same runs."""
        ...


def all_prunable() -> list[Prunable]:
    """All that some saga uses, each once, in the order in which their rows are locked."""
    found: dict[tuple[str, str], Prunable] = {}
    for definition in registry.all_definitions():
        for step in definition.steps:
            for action in step.actions.values():
                owner: Any = _owner(action.participant)
                if isinstance(owner, Prunable):
                    found.setdefault((owner.database, owner.label), owner)
    return [found[key] for key in sorted(found)]


def _owner(participant: object) -> object:
    function = participant.function if isinstance(participant, SetBasedFunction) else participant
    return getattr(function, "__self__", None)
