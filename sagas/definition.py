"""How a saga is declared: a class that reads like the business.

Reading order is execution order, the attribute is the step's persisted name, and a wrong definition
fails when its class is made. ``PlaceOrder.definition`` is what the engine, the admin and the docs read.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from sagas.errors import DefinitionError, InvalidRequest, Rejected, UnknownStep
from sagas.participant import Operation, Participant, Phase, SetBased, TccResource
from sagas.personal import Marks, Paths, declared, paths_of
from sagas.registry import register
from sagas.retry import Retry
from sagas.shapes import ConfirmationShape, Shape, StepShape

RequestT = TypeVar("RequestT")

#: The log's column for a step's name.
NAME_LIMIT = 48
#: The run's columns for the saga's name and version.
SAGA_NAME_LIMIT = 100
VERSION_LIMIT = 32_767
#: Attributes of every saga, which no step can be called by.
RESERVED = frozenset({"name", "version", "abstract", "definition"})
#: A business step that breaks is tried three times, then the run is compensated.
FORWARD_RETRY = Retry(attempts=3)
#: Confirming and compensating cannot be given up without a person: they try longer first.
FINISH_RETRY = Retry(attempts=5)


@dataclass(frozen=True, slots=True)
class Action:
    """One operation of a step, and who performs it."""

    operation: Operation
    participant: Participant
    retry: Retry


class Step:
    """One part of a saga: how to do it, and how to confirm and undo it.

    Args:
        do: the participant of the forward operation.
        confirm: called once the run is confirmed; none where the effect is final at once.
        compensate: undoes the effect, by key; none where there is nothing to undo.
        queue: the RabbitMQ queue whose workers perform it, one of ``SAGAS["QUEUES"]``.
        retry: policy of the forward operation; by default 3 attempts.
        finish: policy of confirm and compensate; by default 5 attempts, then a person is called.
        rejects: exception classes of the domain that mean "no", besides ``Rejected``.
        personal: what is personal in its results: ``True`` for all, or paths such as ``("phone", "guests.*.name")``.

    Raises:
        DefinitionError: a participant that can be neither called nor given a set.
    """

    _forward = Operation.FORWARD
    _undo = Operation.COMPENSATE

    def __init__(
        self,
        do: Participant,
        *,
        confirm: Participant | None = None,
        compensate: Participant | None = None,
        queue: str,
        retry: Retry = FORWARD_RETRY,
        finish: Retry = FINISH_RETRY,
        rejects: tuple[type[Exception], ...] = (),
        personal: Collection[str] | bool = (),
    ) -> None:
        if not queue:
            msg = "a step needs a queue, one of SAGAS['QUEUES']"
            raise DefinitionError(msg)
        self.name = ""
        self.queue = queue
        self.personal = declared(personal)
        self.rejects: tuple[type[Exception], ...] = (Rejected, *rejects)
        self.actions: dict[Phase, Action] = {}
        # Any: whoever calls this without a type checker gets an error all the same.
        given: tuple[tuple[Phase, Operation, Any, Retry], ...] = (
            (Phase.FORWARD, self._forward, do, retry),
            (Phase.CONFIRM, Operation.CONFIRM, confirm, finish),
            (Phase.UNDO, self._undo, compensate, finish),
        )
        for phase, operation, participant, policy in given:
            if participant is None:
                continue
            if not callable(participant) and not isinstance(participant, SetBased):
                msg = f"{operation}: {participant!r} is no participant; give a function, or an object with many()"
                raise DefinitionError(msg)
            self.actions[phase] = Action(operation, participant, policy)

    def __set_name__(self, _owner: type, name: str) -> None:
        """Take the attribute's name: it is what the log stores."""
        self.name = self.name or name


class Tcc(Step):
    """A step that reserves first: try, then confirm or cancel.

    Args:
        resource: what is reserved.
        queue: the RabbitMQ queue whose workers perform it.
        retry: policy of try.
        finish: policy of confirm and cancel.
        rejects: exception classes of the domain that mean "no", besides ``Rejected``.
        personal: what is personal in its results; see ``Step``.
    """

    _forward = Operation.TRY
    _undo = Operation.CANCEL

    def __init__(
        self,
        resource: TccResource,
        *,
        queue: str,
        retry: Retry = FORWARD_RETRY,
        finish: Retry = FINISH_RETRY,
        rejects: tuple[type[Exception], ...] = (),
        personal: Collection[str] | bool = (),
    ) -> None:
        super().__init__(
            resource.try_,
            confirm=resource.confirm,
            compensate=resource.cancel,
            queue=queue,
            retry=retry,
            finish=finish,
            rejects=rejects,
            personal=personal,
        )


class Confirmation:
    """Something from outside that must come in time: a payment, an approval.

    Args:
        within: how long after the run first starts; a RabbitMQ delay queue of this TTL carries the deadline.
        personal: what is personal in the data that comes with it; see ``Step``.
    """

    def __init__(self, *, within: timedelta, personal: Collection[str] | bool = ()) -> None:
        if within < timedelta(milliseconds=1):
            msg = f"Confirmation(within={within}): a deadline lies in the future"
            raise DefinitionError(msg)
        self.name = ""
        self.within = within
        self.personal = declared(personal)

    def __set_name__(self, _owner: type, name: str) -> None:
        """Take the attribute's name: it is what the confirmation is sent by."""
        self.name = self.name or name


@dataclass(frozen=True)
class Definition:
    """What the engine knows of a saga.

    Attributes:
        name: ``app.Class``; stored with every run.
        version: stored with every run.
        steps: in execution order.
        confirmations: all must come.
        requests: validates, dumps and loads the request.
        personal: where personal data stands in the request.
    """

    name: str
    version: int
    steps: tuple[Step, ...]
    confirmations: tuple[Confirmation, ...]
    requests: TypeAdapter[Any]
    personal: Paths = frozenset()

    @cached_property
    def marks(self) -> Marks:
        """What is personal in its runs' data."""
        parts: tuple[Step | Confirmation, ...] = (*self.steps, *self.confirmations)
        return Marks(self.personal, {part.name: part.personal for part in parts if part.personal})

    @cached_property
    def shape(self) -> Shape:
        """What runs depend on in it."""
        return Shape(
            tuple(
                StepShape(s.name, s.queue, {p: a.operation for p, a in s.actions.items()}, s.personal)
                for s in self.steps
            ),
            tuple(ConfirmationShape(c.name, c.within.total_seconds(), c.personal) for c in self.confirmations),
            self.personal,
        )

    def index(self, step: str) -> int:
        """Position of the step of this name; ``UnknownStep`` if there is none."""
        for index, candidate in enumerate(self.steps):
            if candidate.name == step:
                return index
        msg = f"{self.name} has no step {step!r}"
        raise UnknownStep(msg)

    def action(self, index: int, phase: Phase) -> Action:
        """Who performs this phase of the step; ``UnknownStep`` if nobody does, or nobody in this process."""
        action = self.steps[index].actions.get(phase)
        if action is None or action.participant is _gone:
            why = "has nothing to" if action is None else "is not known here with something to"
            msg = f"{self.name}.{self.steps[index].name} {why} {phase}"
            raise UnknownStep(msg)
        return action

    def has(self, index: int, phase: Phase) -> bool:
        """Whether the step takes part in this phase."""
        return phase in self.steps[index].actions

    def dump(self, request: object) -> str:
        """Validate a request and write it as JSON; ``InvalidRequest`` says what is wrong with it."""
        try:
            if isinstance(request, dict):
                request = self.requests.validate_python(request)
            else:
                # A dataclass instance is not checked by pydantic again; its JSON is.
                self.requests.validate_json(self.requests.dump_json(request, warnings="none"))
            text = self.requests.dump_json(request).decode()
        except ValidationError as error:
            problems = json.loads(error.json(include_url=False, include_input=False))
            msg = f"the request does not fit {self.name}: {error.error_count()} problem(s)"
            raise InvalidRequest(msg, problems) from None
        except PydanticSerializationError as error:
            # A type that JSON does not know, or half of a surrogate pair.
            msg = f"the request does not fit {self.name}: {error}"
            raise InvalidRequest(msg, [{"msg": str(error)}]) from None
        if "\\u0000" in text.replace("\\\\", ""):
            problem: dict[str, object] = {"msg": "a NUL character, which PostgreSQL cannot store"}
            msg = f"the request does not fit {self.name}: it has a NUL character"
            raise InvalidRequest(msg, [problem])
        return text

    def load(self, stored: str) -> Any:
        """Read a request back as the declared type."""
        return self.requests.validate_json(stored)


def _gone(_call: object) -> None:
    """Stand for a participant that this process has not; ``Definition.action`` never gives it out."""
    raise NotImplementedError


def follow(name: str, version: int, shape: Shape, here: Definition | None) -> Definition:
    """Make the definition that a run of ``shape`` follows where the code has another, or none.

    Args:
        name: the saga's name.
        version: its version.
        shape: of the run: its steps in their order, with their operations, and no other.
        here: the code's definition of this name and version, which has the participants.
    """
    steps = {step.name: step for step in here.steps} if here else {}
    confirmations = {c.name: c for c in here.confirmations} if here else {}
    return Definition(
        name,
        version,
        tuple(_follow_step(s, steps.get(s.name)) for s in shape.steps),
        tuple(_follow_confirmation(c, confirmations.get(c.name)) for c in shape.confirmations),
        here.requests if here else TypeAdapter(Any),
        # What was marked when the run began stays so.
        personal=shape.personal | (here.personal if here else frozenset()),
    )


def _follow_step(shape: StepShape, here: Step | None) -> Step:
    step = copy.copy(here) if here else Step(_gone, queue=shape.queue)
    step.name = shape.name
    step.personal |= shape.personal
    known = here.actions if here else {}
    step.actions = {
        phase: known[phase]
        if phase in known and known[phase].operation == operation
        else Action(operation, _gone, FINISH_RETRY)
        for phase, operation in shape.operations.items()
    }
    return step


def _follow_confirmation(shape: ConfirmationShape, here: Confirmation | None) -> Confirmation:
    confirmation = copy.copy(here) if here else Confirmation(within=timedelta(seconds=shape.within))
    confirmation.name = shape.name
    confirmation.personal |= shape.personal
    return confirmation


class Saga(Generic[RequestT]):
    """Base of all sagas. Subclass with the request's type (a dataclass or a pydantic model).

    >>> class PlaceOrder(Saga[OrderRequest]):
    ...     payment = Confirmation(within=timedelta(seconds=30))
    ...     create_order = Step(create, compensate=reject, queue="orders")
    ...     reserve = Tcc(stock, queue="inventory")

    Class attributes:
        version: raise it when a change of the steps must not meet runs that began before.
        name: ``app.Class`` by default; set it to keep the stored name when the class moves.
    """

    version: ClassVar[int] = 1
    name: ClassVar[str] = ""
    abstract: ClassVar[bool] = False
    definition: ClassVar[Definition]

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        """Read the class body; raise ``DefinitionError`` for what cannot be meant."""
        super().__init_subclass__(**kwargs)
        cls.abstract = abstract
        if abstract:
            return
        steps: list[Step] = []
        confirmations: list[Confirmation] = []
        for name, value in _attributes(cls).items():
            if not isinstance(value, Step | Confirmation):
                continue
            what = "step" if isinstance(value, Step) else "confirmation"
            if name in RESERVED:
                msg = f"{cls.__name__}.{name}: sagas use this name for themselves; call the {what} otherwise"
                raise DefinitionError(msg)
            if value.name != name:
                # Not in __set_name__: Python 3.11 would wrap the error in another.
                msg = f"{cls.__name__}.{name}: this {what} is already {value.name!r}; make a new one"
                raise DefinitionError(msg)
            if len(name) > NAME_LIMIT:
                msg = f"{cls.__name__}.{name}: a {what}'s name has at most {NAME_LIMIT} characters"
                raise DefinitionError(msg)
            if isinstance(value, Step):
                steps.append(value)
            else:
                confirmations.append(value)
        if not steps:
            msg = f"{cls.__name__} has no steps"
            raise DefinitionError(msg)
        cls.name = vars(cls).get("name") or f"{_app(cls.__module__)}.{cls.__name__}"
        if len(cls.name) > SAGA_NAME_LIMIT:
            msg = f"{cls.__name__}: a saga's name has at most {SAGA_NAME_LIMIT} characters"
            raise DefinitionError(msg)
        if type(cls.version) is not int or not 1 <= cls.version <= VERSION_LIMIT:
            msg = f"{cls.__name__}: version is {cls.version!r}; count from 1"
            raise DefinitionError(msg)
        asked = _request_type(cls)
        cls.definition = Definition(
            cls.name, cls.version, tuple(steps), tuple(confirmations), TypeAdapter(asked), personal=paths_of(asked)
        )
        register(cls.definition)

    def __new__(cls) -> Self:
        """Refuse instances: a saga is a definition, a run is its execution."""
        msg = f"{cls.__name__} is a definition; start a run with sagas.start({cls.__name__}, request)"
        raise TypeError(msg)


def _attributes(cls: type) -> dict[str, Any]:
    """What the class and the abstract sagas before it declare, in reading order, the first base's first."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is cls or vars(base).get("abstract"):
            found |= vars(base)
        elif "definition" in vars(base):
            msg = f"{cls.__name__}: {base.__name__} is a saga of its own; share steps through an abstract one"
            raise DefinitionError(msg)
    return found


def _app(module: str) -> str:
    """The app that declares: "orders.sagas" is of "orders", "shop.orders.sagas" too."""
    parts = module.split(".")
    return parts[-2] if len(parts) > 1 and parts[-1] == "sagas" else parts[0]


def _request_type(cls: type) -> Any:
    for base in getattr(cls, "__orig_bases__", ()):
        if get_origin(base) is Saga:
            return get_args(base)[0]
    msg = f"{cls.__name__}: say what it is asked for, as in class {cls.__name__}(Saga[MyRequest])"
    raise DefinitionError(msg)
