"""The subject of a matrix: a saga, its request, and what must hold when a run has ended."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS

from sagas import api, store
from sagas.definition.definition import Definition
from sagas.definition.saga import Saga
from sagas.definition.variants import variant_without
from sagas.models import Run
from sagas.states import State
from sagas.testing.scenario.scenario import Scenario, check_saga


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended, as an invariant gets it.

    Attributes:
        run_id: the run.
        state: SUCCEEDED or FAILED.
    """

    run_id: UUID
    state: State

    @property
    def succeeded(self) -> bool:
        """Whether all effects must exist; otherwise none may exist."""
        return self.state is State.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Subject:
    """What all cases of a saga have in common.

    Attributes:
        saga: the saga.
        request: the request; or a function that makes the necessary data and returns the request, or that starts a run
            and returns its id.
        invariant: asserts what must hold in the project's tables once a run has ended. It may also return ``False``.
        prepare: tells a scenario what else comes from outside: ``lambda s: s.when_reported("step")``.
        ignore: columns that may differ with a fault and without, as ``"table.column"``; or a whole ``"table"``, such as
            one that a trigger writes.
        leaves: what a failed run may leave as a record: rows of a ``"table"``, or changes in ``"table.column"``.
        skips: the steps that a run with this request skips, by their ``when``.
        likely_causes: the usual mistakes that the first failed case has found, as text.
        varying_columns: for each kind of end, the columns that vary between runs without a fault. The first case
            finds them.
    """

    saga: type[Saga[Any]]
    request: object
    invariant: Callable[[Ended], object] | None = None
    prepare: Callable[[Scenario], object] | None = None
    ignore: Collection[str] = ()
    leaves: Collection[str] = ()
    skips: Collection[str] = ()
    likely_causes: list[str] = field(default_factory=list, compare=False, repr=False)
    varying_columns: dict[tuple[object, ...], dict[str, set[str]]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        """Check the types of the arguments.

        Raises:
            TypeError: ``saga`` is no saga, or a list is given as a text.
            UnknownStep: a step of ``skips`` has no ``when``.
        """
        check_saga(self.saga)
        for names in (self.ignore, self.leaves, self.skips):
            if isinstance(names, str):
                msg = f"{names!r}: pass a list, as in [{names!r}]"
                raise TypeError(msg)
        self.definition  # noqa: B018 - raises for a step that cannot be skipped

    @property
    def definition(self) -> Definition:
        """What the runs follow: the saga's definition, without the steps that they skip."""
        return variant_without(self.saga.definition, self.skips)

    def start(self) -> UUID:
        """Make the data that a run needs, and start the run."""
        made = self.request() if callable(self.request) else self.request
        return made if isinstance(made, UUID) else api.start(self.saga, made)

    def check_skips(self, run_id: UUID) -> None:
        """Raise ``AssertionError`` if a run does not skip exactly the steps that the subject names."""
        run = Run.objects.get(pk=run_id)
        found = [name for _, name in store.definitions.find(run.saga, run.version, run.shape).skipped]
        if set(found) != set(self.skips):
            msg = f"the request skips {found or 'no step'}: pass skips={found}, and not {list(self.skips)}"
            raise AssertionError(msg)

    def check_invariant(self, ended: Ended) -> None:
        """Check the project's invariant. Raise ``AssertionError`` if it does not hold."""
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
    """List the databases of a saga's data, the engine's first."""
    return [DEFAULT_DB_ALIAS, *sorted(definition.databases)]
