"""``Definition``: what the engine and the admin read of a saga: steps, confirmations, the request's type."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from pydantic_core.core_schema import ErrorType

from sagas.definition.confirmations import Confirmation
from sagas.definition.events import EventNames
from sagas.definition.locks import Lock, LockKeys, compute_keys
from sagas.definition.objectives import Objective
from sagas.definition.participants import Phase
from sagas.definition.personal_data import Marks, Paths
from sagas.definition.round_trip import first_difference
from sagas.definition.shapes import Shape
from sagas.definition.steps import Action, Step, missing_participant
from sagas.definition.variants import variants_of
from sagas.errors import InvalidRequest, UnknownConfirmation, UnknownStep
from sagas.states import ORCHESTRATION
from sagas.validation import check_depth, parse_json


@dataclass(frozen=True)
class Definition:
    """What the engine knows of a saga.

    Attributes:
        name: ``app.Class``; stored with every run.
        version: stored with every run.
        steps: in execution order.
        confirmations: all must come.
        requests: validates, dumps and loads the request.
        forks: the positions of steps that are performed at the same time.
        pivot: the position of the first step that only goes forward; by default there is none.
        timeout: how long a run may take over all steps before the pivot.
        publishes: whether runs that start now publish domain events.
        carrier: how cohorts travel, unless ``SAGAS["CARRIERS"]`` says otherwise.
        locks: the business keys that a run locks.
        personal: the paths of personal data in the request.
        declared_by: the name of the class, with its module.
        compressed: whether all local steps that follow each other in one phase are one commit. No part of its shape.
        skipped: the steps that its runs leave out by their ``when``, each with its position among those declared.
            ``steps`` does not have them; see ``sagas.definition.variants``.
        objectives: its service levels. No part of its shape.
        rerunnable: whether a FAILED run may be run again. No part of its shape.
    """

    name: str
    version: int
    steps: tuple[Step, ...]
    confirmations: tuple[Confirmation, ...]
    requests: TypeAdapter[Any]
    forks: tuple[range, ...] = ()
    pivot: int = sys.maxsize
    timeout: timedelta | None = None
    publishes: bool = False
    carrier: str = ORCHESTRATION
    locks: tuple[Lock, ...] = ()
    personal: Paths = frozenset()
    declared_by: str = ""
    compressed: bool = False
    skipped: tuple[tuple[int, str], ...] = ()
    objectives: tuple[Objective, ...] = ()
    rerunnable: bool = False

    @cached_property
    def all_steps(self) -> tuple[Step, ...]:
        """The steps, and after them the steps that take confirmations back. Positions count in this tuple."""
        return self.steps + tuple(c.refund for c in self.confirmations if c.refund is not None)

    @cached_property
    def before_pivot(self) -> int:
        """The number of steps that can be undone or are the pivot."""
        return min(self.pivot, len(self.steps))

    @cached_property
    def stages(self) -> tuple[range, ...]:
        """By position: the positions of the steps that are performed at the same time, its own included."""
        return tuple(
            next((fork for fork in self.forks if index in fork), range(index, index + 1))
            for index in range(len(self.all_steps))
        )

    @cached_property
    def confirmed_steps(self) -> tuple[int, ...]:
        """The positions of the steps before the pivot that have something to confirm."""
        return tuple(index for index in range(self.before_pivot) if self.has_operation(index, Phase.CONFIRM))

    @cached_property
    def undone_steps(self) -> tuple[int, ...]:
        """The positions of the steps that have something to undo, the last first."""
        return tuple(index for index in reversed(range(len(self.steps))) if self.has_operation(index, Phase.UNDO))

    @cached_property
    def confirmation_names(self) -> frozenset[str]:
        """The names of the confirmations, all of which must come."""
        return frozenset(confirmation.name for confirmation in self.confirmations)

    @cached_property
    def shared(self) -> Confirmation | None:
        """The confirmation that comes by one decision for many runs; ``None`` if there is none."""
        return next((confirmation for confirmation in self.confirmations if confirmation.is_shared), None)

    @cached_property
    def event_names(self) -> EventNames:
        """The names of its events. An event has no data that is marked as personal in a step's results."""
        first = {step.name: {path[0] if path else "" for path in step.personal} for step in self.all_steps}
        return EventNames(
            self.name,
            {s.name: replace(s.events, private=(*s.events.private, *sorted(first[s.name]))) for s in self.all_steps},
            hidden={name for name, members in first.items() if members & {"", "*", "**"}},
        )

    @cached_property
    def marks(self) -> Marks:
        """The paths of personal data in its runs."""
        parts: tuple[Step | Confirmation, ...] = (*self.steps, *self.confirmations)
        return Marks(self.personal, {part.name: part.personal for part in parts if part.personal})

    @cached_property
    def databases(self) -> frozenset[str]:
        """The aliases of the other databases in which steps have their data."""
        return frozenset(step.database for step in self.all_steps if step.database)

    @cached_property
    def shape(self) -> Shape:
        """The part of the declaration on which runs depend."""
        return Shape(
            tuple(step.shape for step in self.steps),
            tuple(confirmation.shape for confirmation in self.confirmations),
            self.forks,
            self.before_pivot,
            self.personal,
            self.skipped,
        )

    @cached_property
    def variants(self) -> Mapping[int, Definition]:
        """What runs of this saga follow, by the number of its shape: itself, and one for each set of skipped steps.

        Each is one and the same object for as long as this one is there.
        """
        return variants_of(self)

    @cached_property
    def declared_steps(self) -> tuple[str, ...]:
        """The names of the steps in the order in which they are declared, with those that are skipped."""
        names = [step.name for step in self.steps]
        for position, name in self.skipped:
            names.insert(position, name)
        return tuple(names)

    def index(self, step: str) -> int:
        """The position of the step of this name; ``UnknownStep`` if there is none."""
        for index, candidate in enumerate(self.all_steps):
            if candidate.name == step:
                return index
        known = ", ".join(candidate.name for candidate in self.all_steps)
        msg = f"{self.name} has no step {step!r}; it has {known}"
        raise UnknownStep(msg)

    def confirmation(self, name: str) -> Confirmation:
        """The confirmation of this name; ``UnknownConfirmation`` if there is none."""
        for confirmation in self.confirmations:
            if confirmation.name == name:
                return confirmation
        msg = f"{self.name} has no confirmation {name!r}"
        raise UnknownConfirmation(msg)

    @cached_property
    def has_timeouts(self) -> bool:
        """Whether a run may take too long for its forward steps."""
        return self.timeout is not None or any(step.timeout is not None for step in self.steps)

    def action(self, index: int, phase: Phase) -> Action:
        """The operation of a step in a phase; ``UnknownStep`` if there is none, or none in this process."""
        step = self.all_steps[index]
        action = step.actions.get(phase)
        if action is None or action.participant is missing_participant:
            why = "has nothing to" if action is None else "is not known here with something to"
            msg = f"{self.name}.{step.name} {why} {phase}"
            raise UnknownStep(msg)
        return action

    def has_operation(self, index: int, phase: Phase) -> bool:
        """Whether a step has an operation in this phase."""
        return phase in self.all_steps[index].actions

    def dump(self, request: object) -> str:
        """Validate a request and write it as JSON; ``InvalidRequest`` says what is wrong."""
        try:
            given = self.requests.validate_python(request) if isinstance(request, dict) else request
            # Without pydantic's warnings: a value that does not fit is read back otherwise, and is refused below.
            text = self.requests.dump_json(given, warnings="none").decode()
        except ValidationError as error:
            raise self._misfit(error) from None
        except PydanticSerializationError as error:
            # A type that JSON cannot represent, or half of a surrogate pair.
            msg = f"the request does not fit {self.name}: {error}"
            raise InvalidRequest(msg, [{"msg": str(error)}]) from None
        if "\\u0000" in text.replace("\\\\", ""):
            problem: dict[str, object] = {"msg": "a NUL character, which PostgreSQL cannot store"}
            msg = f"the request does not fit {self.name}: it has a NUL character"
            raise InvalidRequest(msg, [problem])
        self._check_kept(given, text)
        return text

    def _check_kept(self, given: object, text: str) -> None:
        """Refuse a request that changes when it is stored and read again."""
        try:
            # pydantic may write an infinite number, and PostgreSQL accepts only the JSON of the RFC.
            if "NaN" in text or "Infinity" in text:
                parse_json(text)
            check_depth(text)
            read = self.requests.validate_json(text)
        except ValidationError as error:
            raise self._misfit(error) from None
        except Exception as error:
            msg = f"the request does not fit {self.name}: it cannot be read after it is stored: {type(error).__name__}"
            raise InvalidRequest(msg, [{"loc": [], "type": "not_kept", "msg": msg}]) from error
        place = first_difference(given, read)
        if place is not None:
            where = ".".join(place) or "the request"
            msg = (
                f"the request does not fit {self.name}: {where} changes when it is stored and read again. JSON has no "
                "NaN; an alias, exclude=, a secret or a derived class loses a value"
            )
            raise InvalidRequest(msg, [{"loc": list(place), "type": "not_kept", "msg": msg}])

    def _misfit(self, error: ValidationError) -> InvalidRequest:
        problems = json.loads(error.json(include_url=False, include_input=False))
        return InvalidRequest(f"the request does not fit {self.name}: {_say(problems, self.requests)}", problems)

    def load(self, stored: str) -> Any:
        """Read a stored request as the declared type."""
        return self.requests.validate_json(stored)

    def awaits(self, stored: str) -> tuple[str, str] | None:
        """The name and the key of the decision for many runs that a run with this request awaits; ``None`` if none.

        Raises:
            InvalidRequest: the key cannot be computed, or is none.
        """
        return (self.shared.name, self.shared.compute_key(self.load(stored))) if self.shared is not None else None

    def lock_keys(self, stored: str) -> LockKeys:
        """Compute the keys that a run with this request locks; ``InvalidRequest`` for an invalid key."""
        return compute_keys(self.locks, self.load(stored)) if self.locks else LockKeys()


# What is wrong with a request, in words -----------------------------------------------------------------------

#: The message names so many problems of a request; ``InvalidRequest.errors`` has all.
_SAID = 5
_STANDARD = frozenset(get_args(ErrorType))
#: Members of a problem's context with which pydantic's message quotes the request or the application's validator.
_QUOTED = frozenset({"error", "tag"})


def _say(problems: Sequence[Mapping[str, Any]], requests: TypeAdapter[Any]) -> str:
    """Say what the problems are and where. The text quotes nothing of the request, because errors are logged."""
    names = set(_names(requests.core_schema))
    said = []
    for problem in problems[:_SAID]:
        # The key of a mapping may be as personal as its value.
        place = ".".join(part if part in names else "*" for part in problem["loc"])
        safe = problem["type"] in _STANDARD and _QUOTED.isdisjoint(problem.get("ctx", ()))
        said.append(f"{place}: " * bool(place) + (problem["msg"] if safe else problem["type"]))
    return "; ".join(said) + f"; and {len(problems) - _SAID} more" * (len(problems) > _SAID)


def _names(schema: Any) -> Iterator[str]:
    """The names of the fields in a schema of pydantic. A message may contain them."""
    if isinstance(schema, Mapping):
        fields = schema.get("fields")
        if isinstance(fields, Mapping):
            yield from fields
        if schema.get("type") == "dataclass-field":
            yield schema["name"]
        if isinstance(alias := schema.get("validation_alias"), str):
            yield alias
    for part in schema.values() if isinstance(schema, Mapping) else schema:
        if isinstance(part, Mapping | list | tuple):
            yield from _names(part)
