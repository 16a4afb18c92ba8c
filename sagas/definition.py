"""How a saga is declared: a class that reads like the business.

Reading order is execution order, the attribute is the step's persisted name, and a wrong definition
fails when its class is made. ``PlaceOrder.definition`` is what the engine, the admin and the docs read.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args, get_origin

from django.db import DEFAULT_DB_ALIAS
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from sagas.errors import DefinitionError, InvalidRequest, Rejected, UnknownStep
from sagas.events import Events, Names
from sagas.locks import Keys, Lock, check, keys_of
from sagas.participant import Operation, Participant, Phase, Remote, SetBased, TccResource
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
#: How a saga's cohorts travel: as Celery chains, or by each step's events. ``SAGAS["CARRIERS"]`` may say otherwise.
ORCHESTRATION = "orchestration"
CHOREOGRAPHY = "choreography"
CARRIERS = (ORCHESTRATION, CHOREOGRAPHY)
#: Attributes of every saga, which no step can be called by.
RESERVED = frozenset({"name", "version", "timeout", "publishes", "carrier", "locks", "abstract", "definition"})
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

    The one kind there is: ``Tcc`` is another way to write it.

    Args:
        do: the participant of the forward operation.
        confirm: called once the run is confirmed; none where the effect is final at once.
        compensate: undoes the effect, by key; none where there is nothing to undo.
        queue: the RabbitMQ queue whose workers perform it, one of ``SAGAS["QUEUES"]``.
        retry: policy of the forward operation; by default 3 attempts.
        finish: policy of confirm and compensate; by default 5 attempts, then a person is called.
        rejects: exception classes of the domain that mean "no", besides ``Rejected``.
        timeout: how long a run may take over the forward operation, waits and retries included; then it is undone.
        pivot: the point of no return of a saga without a confirmation: what comes after it only goes forward.
        events: what its outcomes are called, where the saga publishes events; by default after the step.
        personal: what is personal in its results: ``True`` for all, or paths such as ``("phone", "guests.*.name")``.
        database: alias of the database in which its participants write, if it is not the engine's own; see
            ``sagas.elsewhere``.

    Raises:
        DefinitionError: a participant that can be neither called nor given a set; a time-out that is over at once;
            a pivot that can be undone, or is in another database.
    """

    #: Whether its effect is in another system, which may have it although this database does not know.
    elsewhere = False
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
        timeout: timedelta | None = None,
        pivot: bool = False,
        events: Events | None = None,
        personal: Collection[str] | bool = (),
        database: str = "",
    ) -> None:
        if not queue:
            msg = "a step needs a queue, one of SAGAS['QUEUES']"
            raise DefinitionError(msg)
        if timeout is not None and timeout <= timedelta(0):
            msg = f"Step(timeout={timeout}): a step needs time"
            raise DefinitionError(msg)
        if pivot and compensate is not None:
            msg = "a pivot is the point of no return: it has nothing to compensate"
            raise DefinitionError(msg)
        if pivot and database:
            # Its effect may be there although this database does not know, and then nothing could be undone.
            msg = f"Step(database={database!r}): a pivot must be in the engine's own database"
            raise DefinitionError(msg)
        if database == DEFAULT_DB_ALIAS:
            msg = f"Step(database={database!r}): that is the engine's own; leave it out"
            raise DefinitionError(msg)
        self.name = ""
        self.queue = queue
        self.timeout = timeout
        self.pivot = pivot
        self.events = events or Events()
        self.personal = declared(personal)
        self.database = database
        self.elsewhere = bool(database)
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
            if not callable(participant) and not isinstance(participant, SetBased | Remote):
                msg = f"{operation}: {participant!r} is no participant; give a function, or an object with many()"
                raise DefinitionError(msg)
            if database and isinstance(participant, Remote):
                msg = f"Step(database={database!r}): {participant!r} is in another system, not in a database"
                raise DefinitionError(msg)
            self.actions[phase] = Action(operation, participant, policy)

    def __set_name__(self, _owner: type, name: str) -> None:
        """Take the attribute's name: it is what the log stores."""
        self.name = self.name or name

    @property
    def shape(self) -> StepShape:
        """What runs depend on in it."""
        operations = {phase: action.operation for phase, action in self.actions.items()}
        return StepShape(self.name, self.queue, operations, self.personal, self.elsewhere, self.database)

    def only_goes_forward(self) -> None:
        """Place it behind the pivot: it is tried until it is done, or a person is called."""
        if set(self.actions) != {Phase.FORWARD}:
            msg = f"{self.name} stands behind the pivot, where nothing is undone and nothing waits: give it no {{}}"
            raise DefinitionError(msg.format(" and no ".join(sorted(p for p in self.actions if p != Phase.FORWARD))))
        action = self.actions[Phase.FORWARD]
        if action.retry is FORWARD_RETRY:
            self.actions[Phase.FORWARD] = replace(action, retry=FINISH_RETRY)


class Tcc(Step):
    """A step that reserves first: try, then confirm or cancel.

    Args:
        resource: what is reserved.
        queue: the RabbitMQ queue whose workers perform it.
        retry: policy of try.
        finish: policy of confirm and cancel.
        rejects: exception classes of the domain that mean "no", besides ``Rejected``.
        timeout: how long a run may take over try, waits and retries included; then it is undone.
        events: what its outcomes are called, where the saga publishes events; by default after the step.
        personal: what is personal in its results; see ``Step``.
        database: alias of the database in which the resource is, if it is not the engine's own.
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
        timeout: timedelta | None = None,
        events: Events | None = None,
        personal: Collection[str] | bool = (),
        database: str = "",
    ) -> None:
        super().__init__(
            resource.try_,
            confirm=resource.confirm,
            compensate=resource.cancel,
            queue=queue,
            retry=retry,
            finish=finish,
            rejects=rejects,
            timeout=timeout,
            events=events,
            personal=personal,
            database=database,
        )


class Parallel:
    """Steps that are performed at the same time: the run goes on when all are done, and turns back when one says no.

    >>> class Trip(Saga[TripRequest]):
    ...     booked = Parallel(hotel=Tcc(rooms, queue="hotels"), car=Tcc(cars, queue="cars"))

    A branch is a step like any other; it is named by its keyword. They are confirmed and undone one after the other.
    The steps are named, so the attribute's own name is for readers only.
    """

    def __init__(self, **branches: Step) -> None:
        if len(branches) < 2:
            msg = "Parallel: give at least two branches"
            raise DefinitionError(msg)
        given: dict[str, Any] = branches
        for name, step in given.items():
            if not isinstance(step, Step):
                msg = f"Parallel({name}=…): {step!r} is no step"
                raise DefinitionError(msg)
            step.__set_name__(type(self), name)
        self.branches = branches


class Confirmation:
    """Something from outside that must come in time: a payment, an approval.

    It is the pivot: once all have come, the run only goes forward. A step that stands after one, in the class, is
    performed then; a confirmation that stands before all steps comes after all of them.

    Args:
        within: how long after the run first starts; a RabbitMQ delay queue of this TTL carries the deadline.
        until: instead, when it is too late, computed from the request; the dispatcher's clock watches it.
        compensate: takes back a confirmation that did come (refunds a payment) when the run is undone for another
            cause. ``Call.results`` has what came with it, under its name.
        queue: the queue whose workers compensate, one of ``SAGAS["QUEUES"]``.
        finish: policy of compensate; by default 5 attempts, then a person is called.
        personal: what is personal in the data that comes with it; see ``Step``.
    """

    def __init__(
        self,
        *,
        within: timedelta | None = None,
        until: Callable[[Any], datetime] | None = None,
        compensate: Participant | None = None,
        queue: str = "",
        finish: Retry = FINISH_RETRY,
        personal: Collection[str] | bool = (),
    ) -> None:
        if (within is None) == (until is None):
            msg = "Confirmation: give within=, a time after the start, or until=, a function of the request"
            raise DefinitionError(msg)
        if within is not None and within < timedelta(milliseconds=1):
            msg = f"Confirmation(within={within}): a deadline lies in the future"
            raise DefinitionError(msg)
        if (compensate is None) != (not queue):
            msg = "Confirmation: compensate= and queue= belong together"
            raise DefinitionError(msg)
        self.name = ""
        self.within = within
        self.until = until
        self.refund = Refund(compensate, queue=queue, finish=finish) if compensate is not None else None
        self.personal = declared(personal)

    def __set_name__(self, _owner: type, name: str) -> None:
        """Take the attribute's name: it is what the confirmation is sent by."""
        self.name = self.name or name
        if self.refund is not None:
            self.refund.name = self.name

    @property
    def shape(self) -> ConfirmationShape:
        """What runs depend on in it."""
        within = None if self.within is None else self.within.total_seconds()
        return ConfirmationShape(self.name, within, self.personal, self.refund.shape if self.refund else None)

    @property
    def is_known_here(self) -> bool:
        """Whether this process can say when it is too late for it."""
        return self.until is not _no_deadline

    def deadline(self, started_at: datetime, request: Callable[[], Any]) -> datetime:
        """When it is too late for a run that began then; ``request`` loads what it was asked for."""
        if self.within is not None:
            return started_at + self.within
        assert self.until is not None
        return self.until(request())


class Refund(Step):
    """What takes a confirmation back: a step that has only an undo."""

    def __init__(self, compensate: Participant, *, queue: str, finish: Retry) -> None:
        super().__init__(compensate, compensate=compensate, queue=queue, finish=finish)
        del self.actions[Phase.FORWARD]


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
        pivot: position of the first step that only goes forward; by default there is none such.
        timeout: how long a run may take over all steps before the pivot.
        publishes: whether runs that start now publish domain events.
        carrier: how cohorts travel, unless ``SAGAS["CARRIERS"]`` says otherwise.
        locks: business keys that it must have to itself.
        personal: where personal data stands in the request.
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

    @cached_property
    def all_steps(self) -> tuple[Step, ...]:
        """The steps, and behind them what takes confirmations back: a position counts in this."""
        return self.steps + tuple(c.refund for c in self.confirmations if c.refund is not None)

    @cached_property
    def before_pivot(self) -> int:
        """Number of steps that can be undone, or are the pivot."""
        return min(self.pivot, len(self.steps))

    def stage(self, index: int) -> range:
        """The positions of the steps that are performed at the same time as this one, itself among them."""
        return next((fork for fork in self.forks if index in fork), range(index, index + 1))

    @cached_property
    def names(self) -> Names:
        """What its events are called. What is marked as personal in a step's results is not told with them."""
        first = {step.name: {path[0] if path else "" for path in step.personal} for step in self.all_steps}
        return Names(
            self.name,
            {s.name: replace(s.events, private=(*s.events.private, *sorted(first[s.name]))) for s in self.all_steps},
            hidden={name for name, members in first.items() if members & {"", "*", "**"}},
        )

    @cached_property
    def marks(self) -> Marks:
        """What is personal in its runs' data."""
        parts: tuple[Step | Confirmation, ...] = (*self.steps, *self.confirmations)
        return Marks(self.personal, {part.name: part.personal for part in parts if part.personal})

    @cached_property
    def databases(self) -> frozenset[str]:
        """Aliases of the databases besides the engine's own in which a step has its data."""
        return frozenset(step.database for step in self.all_steps if step.database)

    @cached_property
    def shape(self) -> Shape:
        """What runs depend on in it."""
        return Shape(
            tuple(step.shape for step in self.steps),
            tuple(confirmation.shape for confirmation in self.confirmations),
            self.forks,
            self.before_pivot,
            self.personal,
        )

    def index(self, step: str) -> int:
        """Position of the step of this name; ``UnknownStep`` if there is none."""
        for index, candidate in enumerate(self.all_steps):
            if candidate.name == step:
                return index
        msg = f"{self.name} has no step {step!r}"
        raise UnknownStep(msg)

    def action(self, index: int, phase: Phase) -> Action:
        """Who performs this phase of the step; ``UnknownStep`` if nobody does, or nobody in this process."""
        step = self.all_steps[index]
        action = step.actions.get(phase)
        if action is None or action.participant is _gone:
            why = "has nothing to" if action is None else "is not known here with something to"
            msg = f"{self.name}.{step.name} {why} {phase}"
            raise UnknownStep(msg)
        return action

    def has(self, index: int, phase: Phase) -> bool:
        """Whether the step takes part in this phase."""
        return phase in self.all_steps[index].actions

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

    def keys(self, stored: str) -> Keys:
        """Compute the keys that a run of this request locks; ``InvalidRequest`` for what is no key."""
        return keys_of(self.locks, self.load(stored)) if self.locks else Keys()


def _gone(_call: object) -> None:
    """Stand for a participant that this process has not; ``Definition.action`` never gives it out."""
    raise NotImplementedError


def _no_deadline(_request: object) -> datetime:
    """Stand for a computed deadline that this process has not; see ``Confirmation.is_known_here``."""
    raise NotImplementedError


def follow(name: str, version: int, shape: Shape, here: Definition | None) -> Definition:
    """Make the definition that a run of ``shape`` follows where the code has another, or none.

    Args:
        name: the saga's name.
        version: its version.
        shape: of the run: its steps in their order, with their operations, its forks and pivot, and no other.
        here: the code's definition of this name and version, which has the participants.
    """
    steps = {step.name: step for step in here.steps} if here else {}
    confirmations = {c.name: c for c in here.confirmations} if here else {}
    followed = tuple(_follow_step(s, steps.get(s.name) or Step(_gone, queue=s.queue)) for s in shape.steps)
    for step in followed[shape.pivot :]:
        step.only_goes_forward()
    return Definition(
        name,
        version,
        followed,
        tuple(_follow_confirmation(c, confirmations.get(c.name)) for c in shape.confirmations),
        here.requests if here else TypeAdapter(Any),
        shape.forks,
        shape.pivot,
        timeout=here.timeout if here else None,
        publishes=here.publishes if here else False,
        carrier=here.carrier if here else ORCHESTRATION,
        locks=here.locks if here else (),
        # What was marked when the run began stays so.
        personal=shape.personal | (here.personal if here else frozenset()),
    )


StepT = TypeVar("StepT", bound=Step)


def _follow_step(shape: StepShape, here: StepT) -> StepT:
    step = copy.copy(here)
    step.name = shape.name
    step.personal |= shape.personal
    # An effect that may be in another system is undone there, whatever the code has become since.
    step.elsewhere = here.elsewhere or shape.elsewhere
    # Code that has moved to another database would look for its effect where it is not: it is not this run's.
    step.database = shape.database
    step.actions = {
        phase: here.actions[phase]
        if phase in here.actions and here.actions[phase].operation == operation and here.database == shape.database
        else Action(operation, _gone, FINISH_RETRY)
        for phase, operation in shape.operations.items()
    }
    return step


def _follow_confirmation(shape: ConfirmationShape, here: Confirmation | None) -> Confirmation:
    if here is not None:
        confirmation = copy.copy(here)
    elif shape.within is not None:
        confirmation = Confirmation(within=timedelta(seconds=shape.within))
    else:
        confirmation = Confirmation(until=_no_deadline)
    confirmation.name = shape.name
    confirmation.personal |= shape.personal
    confirmation.refund = None
    if shape.refund is not None:
        known = here.refund if here else None
        gone = Refund(_gone, queue=shape.refund.queue, finish=FINISH_RETRY)
        confirmation.refund = _follow_step(shape.refund, known or gone)
    return confirmation


class Saga(Generic[RequestT]):
    """Base of all sagas. Subclass with the request's type (a dataclass or a pydantic model).

    >>> class PlaceOrder(Saga[OrderRequest]):
    ...     payment = Confirmation(within=timedelta(seconds=30))
    ...     create_order = Step(create, compensate=reject, queue="orders")
    ...     reserve = Tcc(stock, queue="inventory")

    Class attributes:
        version: raise it when a change of the steps must not meet runs that began before.
        timeout: how long a run may take over all steps that can be undone, from its beginning; then it is undone.
        publishes: whether its runs publish domain events; see ``sagas.events``.
        carrier: "orchestration" (Celery chains) or "choreography" (each step's events); the same runs, either way.
        locks: business keys that no other run may be at while this one is; see ``Lock``.
        name: ``app.Class`` by default; set it to keep the stored name when the class moves.
    """

    version: ClassVar[int] = 1
    timeout: ClassVar[timedelta | None] = None
    publishes: ClassVar[bool] = False
    carrier: ClassVar[str] = ORCHESTRATION
    locks: ClassVar[tuple[Lock, ...]] = ()
    name: ClassVar[str] = ""
    abstract: ClassVar[bool] = False
    definition: ClassVar[Definition]

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        """Read the class body; raise ``DefinitionError`` for what cannot be meant."""
        super().__init_subclass__(**kwargs)
        cls.abstract = abstract
        if abstract:
            return
        body = _Body(cls.__name__)
        for name, value in _attributes(cls).items():
            body.take(name, value)
        if not body.steps:
            msg = f"{cls.__name__} has no steps"
            raise DefinitionError(msg)
        cls.name = vars(cls).get("name") or f"{_app(cls.__module__)}.{cls.__name__}"
        if len(cls.name) > SAGA_NAME_LIMIT:
            msg = f"{cls.__name__}: a saga's name has at most {SAGA_NAME_LIMIT} characters"
            raise DefinitionError(msg)
        if type(cls.version) is not int or not 1 <= cls.version <= VERSION_LIMIT:
            msg = f"{cls.__name__}: version is {cls.version!r}; count from 1"
            raise DefinitionError(msg)
        if cls.timeout is not None and cls.timeout <= timedelta(0):
            msg = f"{cls.__name__}: timeout is {cls.timeout}; its steps need time"
            raise DefinitionError(msg)
        if cls.carrier not in CARRIERS:
            msg = f"{cls.__name__}: carrier is {cls.carrier!r}; give {' or '.join(CARRIERS)}"
            raise DefinitionError(msg)
        publishes: Any = cls.publishes
        if not isinstance(publishes, bool):
            msg = f"{cls.__name__}: publishes is {publishes!r}; give True or False"
            raise DefinitionError(msg)
        asked = _request_type(cls)
        cls.definition = Definition(
            cls.name,
            cls.version,
            tuple(body.steps),
            tuple(body.confirmations),
            TypeAdapter(asked),
            tuple(body.forks),
            body.pivot(),
            cls.timeout,
            cls.publishes,
            cls.carrier,
            check(cls.__name__, cls.locks),
            paths_of(asked),
        )
        # Under choreography, events are what moves the runs: they are routed even if nobody else gets them.
        cls.definition.names.check(publishes=cls.publishes or cls.carrier == CHOREOGRAPHY)
        register(cls.definition)

    def __new__(cls) -> Self:
        """Refuse instances: a saga is a definition, a run is its execution."""
        msg = f"{cls.__name__} is a definition; start a run with sagas.start({cls.__name__}, request)"
        raise TypeError(msg)


class _Body:
    """Reads the body of a saga, one attribute after the other."""

    def __init__(self, saga: str) -> None:
        self.saga = saga
        self.steps: list[Step] = []
        self.confirmations: list[Confirmation] = []
        self.forks: list[range] = []
        #: Number of steps before the last confirmation that stands behind a step.
        self.placed: int | None = None

    def take(self, name: str, value: object) -> None:
        """Take an attribute of the class, if it means anything to the engine."""
        if isinstance(value, Step):
            self._name("step", name, value)
            self.steps.append(value)
        elif isinstance(value, Confirmation):
            self._name("confirmation", name, value)
            self.confirmations.append(value)
            if self.steps:
                self.placed = len(self.steps)
        elif isinstance(value, Parallel):
            first = len(self.steps)
            for branch, step in value.branches.items():
                self._name("step", branch, step)
                self.steps.append(step)
            self.forks.append(range(first, len(self.steps)))

    def pivot(self) -> int:
        """Position of the first step that only goes forward; refuse a definition in which that cannot be meant."""
        marked = [index for index, step in enumerate(self.steps) if step.pivot]
        if marked and (self.confirmations or len(marked) > 1):
            msg = f"{self.saga}.{self.steps[marked[-1]].name}: a saga has one pivot, and a confirmation is one already"
            raise DefinitionError(msg)
        pivot = marked[0] + 1 if marked else self.placed
        if pivot is None:
            return sys.maxsize
        if marked and any(marked[0] in fork for fork in self.forks):
            msg = f"{self.saga}: a branch of a Parallel cannot be the pivot"
            raise DefinitionError(msg)
        for step in self.steps[pivot:]:
            step.only_goes_forward()
        return pivot

    def _name(self, what: str, name: str, value: Step | Confirmation) -> None:
        if name in RESERVED:
            msg = f"{self.saga}.{name}: sagas use this name for themselves; call the {what} otherwise"
            raise DefinitionError(msg)
        if value.name != name:
            # Not in __set_name__: Python 3.11 would wrap the error in another.
            msg = f"{self.saga}.{name}: this {what} is already {value.name!r}; make a new one"
            raise DefinitionError(msg)
        if len(name) > NAME_LIMIT:
            msg = f"{self.saga}.{name}: a {what}'s name has at most {NAME_LIMIT} characters"
            raise DefinitionError(msg)
        if name in {step.name for step in self.steps} | {c.name for c in self.confirmations}:
            msg = f"{self.saga}.{name}: there are two of this name"
            raise DefinitionError(msg)


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
