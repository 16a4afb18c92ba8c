"""What a saga is played with, and what must hold when a run of it has ended."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS

from sagas import api
from sagas.definition.definition import Definition
from sagas.definition.saga import Saga
from sagas.states import State
from sagas.testing.scenario.scenario import Scenario, check_saga


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended, for an invariant to look at.

    Attributes:
        run_id: the run.
        state: SUCCEEDED or FAILED.
    """

    run_id: UUID
    state: State

    @property
    def succeeded(self) -> bool:
        """Whether every effect must be there; otherwise none."""
        return self.state is State.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Subject:
    """What the cases of a saga are played with.

    Attributes:
        saga: the saga.
        request: what is asked of it; or a function that makes the data which it needs and returns the request, or
            that starts a run itself and returns its id.
        invariant: asserts what must hold in the project's tables once a run has ended; ``False`` is a breach, too.
        prepare: tells a scenario what else comes from outside: ``lambda s: s.when_reported("step")``.
        ignore: columns that need not be the same with trouble and without, as ``"table.column"``; or a whole
            ``"table"``, such as one that a trigger writes.
        leaves: what a run that has failed may leave, as records: rows of a ``"table"``, and ``"table.column"``, which
            may be another than before in rows that were there.
        causes: what failed cases have to say of usual mistakes; looked for by the first.
        by_chance: by ending, the columns that differ from one untroubled run to the next; found by the first case.
    """

    saga: type[Saga[Any]]
    request: object
    invariant: Callable[[Ended], object] | None = None
    prepare: Callable[[Scenario], object] | None = None
    ignore: Collection[str] = ()
    leaves: Collection[str] = ()
    causes: list[str] = field(default_factory=list, compare=False, repr=False)
    by_chance: dict[tuple[object, ...], dict[str, set[str]]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what would never be of use.

        Raises:
            TypeError: it is no saga, or a text is given for a list.
        """
        check_saga(self.saga)
        for said in (self.ignore, self.leaves):
            if isinstance(said, str):
                msg = f"{said!r}: a list is wanted, as [{said!r}]"
                raise TypeError(msg)

    def start(self) -> UUID:
        """Make what a run needs, and start it."""
        made = self.request() if callable(self.request) else self.request
        return made if isinstance(made, UUID) else api.start(self.saga, made)

    def keeps_its_invariant(self, ended: Ended) -> None:
        """Ask the project."""
        if self.invariant is None:
            return
        try:
            holds = self.invariant(ended)
        except AssertionError:
            raise
        except Exception as error:
            msg = f"{type(error).__name__}: {error}"
            raise AssertionError(msg) from error
        if holds is False:
            msg = f"the invariant does not hold for a run that is {ended.state}"
            raise AssertionError(msg)


def databases_of(definition: Definition) -> list[str]:
    """The databases in which a saga has its data, the engine's first."""
    return [DEFAULT_DB_ALIAS, *sorted(definition.databases)]
