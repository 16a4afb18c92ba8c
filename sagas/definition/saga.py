"""``Saga``: the base class by which a saga is declared.

Reading order is execution order, the attribute's name is the step's stored name, and a wrong declaration fails when the
class is made. The engine and the admin read ``PlaceOrder.definition``.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar, get_args, get_origin
from uuid import UUID

from asgiref.sync import sync_to_async
from pydantic import TypeAdapter

from sagas import limits
from sagas.definition.confirmations import Confirmation
from sagas.definition.definition import Definition
from sagas.definition.locks import Lock, check_locks
from sagas.definition.objectives import Objective, check_objectives
from sagas.definition.participants import Location, lock_keys_of, participant_name
from sagas.definition.personal_data import personal_paths
from sagas.definition.registry import register
from sagas.definition.retry import check_duration
from sagas.definition.steps import Parallel, Step
from sagas.definition.variants import check_conditions
from sagas.errors import DefinitionError
from sagas.states import CARRIERS, CHOREOGRAPHY, COMPRESSED, LIFECYCLES, ORCHESTRATION, ORDINARY

RequestT = TypeVar("RequestT")

#: Attributes of every saga. A step cannot have such a name.
RESERVED = frozenset(
    {
        "name",
        "version",
        "timeout",
        "publishes",
        "carrier",
        "lifecycle",
        "locks",
        "objectives",
        "rerunnable",
        "abstract",
        "astart",
        "definition",
        "start",
        "starter",
    }
)


#: What a start does that finds a run of its business key: it raises ``RunExists``, or returns that run's id.
Unique = Literal["reject", "attach"]


class Starter(Protocol):
    """What starts a run: ``sagas.start``."""

    def __call__(
        self,
        saga: type[Saga[Any]],
        request: object,
        *,
        business_key: str = "",
        run_id: UUID | None = None,
        unique: Unique | None = None,
    ) -> UUID:
        """Start a run of a saga."""
        ...


class Saga(Generic[RequestT]):
    """The base of all sagas. Subclass it with the type of the request, a dataclass or a pydantic model.

    >>> class PlaceOrder(Saga[OrderRequest]):
    ...     payment = Confirmation(within=timedelta(seconds=30))
    ...     create_order = Step(create, compensate=reject, queue="orders")
    ...     reserve = Tcc(stock, queue="inventory")

    Class attributes:
        version: raise it for a change of the steps that must not apply to runs that began before.
        timeout: how long a run may take over all steps that can be undone, from its begin; then it is undone.
        publishes: whether its runs publish domain events; see ``sagas.definition.events``.
        carrier: "orchestration" (Celery chains) or "choreography" (each step's events). The runs are the same.
        lifecycle: "ordinary" (a commit a step) or "compressed" (one commit for all forward steps, one for all confirms,
            one for all undos). The runs and their log are the same; see ``check_compressible``.
        locks: the business keys that a run locks; see ``Lock``.
        objectives: its service levels; see ``Objective``. A change of them is no change of the saga.
        rerunnable: whether a person may run a FAILED run again, as a new run with the same request and another id. Its
            participants must take the request anew: what they key by the run's id is new, what they key by the request
            is what the undo has left.
        name: the stored name, by default ``app.Class``. Set it to keep the name when the class moves.
    """

    version: ClassVar[int] = 1
    timeout: ClassVar[timedelta | None] = None
    publishes: ClassVar[bool] = False
    carrier: ClassVar[str] = ORCHESTRATION
    lifecycle: ClassVar[str] = ORDINARY
    locks: ClassVar[tuple[Lock, ...]] = ()
    objectives: ClassVar[tuple[Objective, ...]] = ()
    rerunnable: ClassVar[bool] = False
    name: ClassVar[str] = ""
    abstract: ClassVar[bool] = False
    definition: ClassVar[Definition]
    #: ``sagas.api`` sets it: what declares a saga does not import what executes it.
    starter: ClassVar[Starter]

    @classmethod
    def start(
        cls,
        request: RequestT | dict[str, Any],
        *,
        business_key: str = "",
        run_id: UUID | None = None,
        unique: Unique | None = None,
    ) -> UUID:
        """Start a run of this saga; see ``sagas.start``."""
        return Saga.starter(cls, request, business_key=business_key, run_id=run_id, unique=unique)

    @classmethod
    async def astart(
        cls,
        request: RequestT | dict[str, Any],
        *,
        business_key: str = "",
        run_id: UUID | None = None,
        unique: Unique | None = None,
    ) -> UUID:
        """Start a run of this saga in a coroutine; see ``sagas.astart``."""
        return await sync_to_async(cls.start)(request, business_key=business_key, run_id=run_id, unique=unique)

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        """Read the class body; raise ``DefinitionError`` if it is wrong."""
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
        if len(cls.name) > limits.SAGA_NAME:
            msg = f"{cls.__name__}: a saga's name has at most {limits.SAGA_NAME} characters"
            raise DefinitionError(msg)
        if type(cls.version) is not int or not 1 <= cls.version <= limits.SMALLINT:
            msg = f"{cls.__name__}: version is {cls.version!r}; give a whole number from 1 to {limits.SMALLINT:,}"
            raise DefinitionError(msg)
        if cls.timeout is not None:
            check_duration(f"{cls.__name__}: timeout is {cls.timeout!r}", cls.timeout)
        if cls.timeout is not None and cls.timeout <= timedelta(0):
            msg = f"{cls.__name__}: timeout is {cls.timeout}; give a positive time"
            raise DefinitionError(msg)
        if cls.carrier not in CARRIERS:
            msg = f"{cls.__name__}: carrier is {cls.carrier!r}; give {' or '.join(CARRIERS)}"
            raise DefinitionError(msg)
        if cls.lifecycle not in LIFECYCLES:
            msg = f"{cls.__name__}: lifecycle is {cls.lifecycle!r}; give {' or '.join(LIFECYCLES)}"
            raise DefinitionError(msg)
        _check_flags(cls)
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
            check_locks(cls.__name__, cls.locks),
            personal_paths(asked),
            f"{cls.__module__}.{cls.__qualname__}",
            compressed=cls.lifecycle == COMPRESSED,
            objectives=check_objectives(cls.__name__, cls.objectives),
            rerunnable=cls.rerunnable,
        )
        if len(cls.definition.all_steps) > limits.STEPS:
            msg = (
                f"{cls.__name__} has {len(cls.definition.all_steps)} steps and confirmations with compensate=; a saga "
                f"has at most {limits.STEPS}. Make some of them a SubSaga"
            )
            raise DefinitionError(msg)
        if cls.definition.compressed:
            check_compressible(cls.__name__, cls.definition, carrier=cls.carrier)
        check_conditions(cls.definition)
        # With choreography, events move the runs: they are routed even if the saga does not publish.
        cls.definition.event_names.check(publishes=cls.publishes or cls.carrier == CHOREOGRAPHY)
        register(cls.definition)

    def __new__(cls) -> Self:
        """Refuse to make an instance: a saga is a definition, and a run is its execution."""
        msg = f"{cls.__name__} is a definition; start a run with {cls.__name__}.start(request)"
        raise TypeError(msg)


def _check_flags(cls: type[Saga[Any]]) -> None:
    for name in ("publishes", "rerunnable"):
        given: Any = getattr(cls, name)
        if not isinstance(given, bool):
            msg = f"{cls.__name__}: {name} is {given!r}; give True or False"
            raise DefinitionError(msg)


def check_compressible(saga: str, definition: Definition, *, carrier: str) -> None:
    """Refuse a compressed lifecycle where steps cannot share a commit, or where their rows cannot be locked in order.

    Raises:
        DefinitionError: the saga is choreographed or has a fork; a step is in another database or system, or a child;
            or a participant does not say which rows it locks.
    """
    why = f'{saga}: lifecycle = "compressed" is not for'
    if carrier == CHOREOGRAPHY:
        msg = f"{why} a choreographed saga, in which each step has an event and a commit of its own"
        raise DefinitionError(msg)
    if definition.forks:
        branches = " and ".join(definition.steps[index].name for index in definition.forks[0])
        msg = f"{why} a Parallel, whose branches ({branches}) are performed at the same time"
        raise DefinitionError(msg)
    for step in definition.all_steps:
        for action in step.actions.values():
            if action.location is not Location.LOCAL:
                what = {
                    Location.CHILD: "is a saga of its own",
                    Location.OTHER_DATABASE: "is in another database",
                    Location.REMOTE: "is in another system",
                }[action.location]
                msg = f"{why} {step.name}.{action.operation}, which {what}"
                raise DefinitionError(msg)
            if not callable(lock_keys_of(action.participant)):
                msg = (
                    f"{why} {step.name}.{action.operation}: {participant_name(action.participant)} does not say which "
                    "rows it locks. Give it lock_keys(call), for example by @sagas.locking(sagas.no_lock_keys)"
                )
                raise DefinitionError(msg)


class _Body:
    """Reads the body of a saga's class, one attribute after the other."""

    def __init__(self, saga: str) -> None:
        self.saga = saga
        self.steps: list[Step] = []
        self.confirmations: list[Confirmation] = []
        self.forks: list[range] = []
        #: The number of steps before the last confirmation that stands after a step.
        self.placed: int | None = None

    def take(self, name: str, value: object) -> None:
        """Read an attribute of the class; ignore it if it is no part of a saga."""
        if isinstance(value, Step):
            self._name("step", name, value)
            self.steps.append(value)
        elif isinstance(value, Confirmation):
            self._name("confirmation", name, value)
            if value.is_shared and any(other.is_shared for other in self.confirmations):
                msg = f"{self.saga}.{name}: a saga has at most one confirmation with decided_by="
                raise DefinitionError(msg)
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
        """The position of the first step that only goes forward; ``DefinitionError`` if the pivot is wrong."""
        marked = [index for index, step in enumerate(self.steps) if step.pivot]
        if marked and (self.confirmations or len(marked) > 1):
            name = self.steps[marked[-1]].name
            msg = f"{self.saga}.{name}: a saga has one pivot, and a confirmation is a pivot already"
            raise DefinitionError(msg)
        pivot = marked[0] + 1 if marked else self.placed
        if pivot is None:
            return sys.maxsize
        if marked and any(marked[0] in fork for fork in self.forks):
            msg = f"{self.saga}: a branch of a Parallel cannot be the pivot"
            raise DefinitionError(msg)
        for step in self.steps[pivot:]:
            step.place_behind_pivot()
        return pivot

    def _name(self, what: str, name: str, value: Step | Confirmation) -> None:
        if name in RESERVED:
            msg = f"{self.saga}.{name}: the class Saga has this attribute; give the {what} another name"
            raise DefinitionError(msg)
        if value.name != name:
            # Not in __set_name__: Python 3.11 would wrap the error in another.
            msg = f"{self.saga}.{name}: this {what} is already declared as {value.name!r}; make a new one"
            raise DefinitionError(msg)
        if len(name) > limits.STEP_NAME:
            msg = f"{self.saga}.{name}: a {what}'s name has at most {limits.STEP_NAME} characters"
            raise DefinitionError(msg)
        if name in {step.name for step in self.steps} | {c.name for c in self.confirmations}:
            msg = f"{self.saga}.{name}: two steps or confirmations have this name"
            raise DefinitionError(msg)


def _attributes(cls: type) -> dict[str, Any]:
    """The attributes of the class and of its abstract bases, in reading order, the first base first."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is cls or vars(base).get("abstract"):
            found |= vars(base)
        elif "definition" in vars(base):
            msg = f"{cls.__name__}: {base.__name__} is a saga itself; share steps by an abstract saga"
            raise DefinitionError(msg)
    return found


def _app(module: str) -> str:
    """The name of the app: "orders" for both "orders.sagas" and "shop.orders.sagas"."""
    parts = module.split(".")
    return parts[-2] if len(parts) > 1 and parts[-1] == "sagas" else parts[0]


def _request_type(cls: type) -> Any:
    for base in getattr(cls, "__orig_bases__", ()):
        if get_origin(base) is Saga:
            return get_args(base)[0]
    msg = f"{cls.__name__}: give the type of its request, as in class {cls.__name__}(Saga[MyRequest])"
    raise DefinitionError(msg)
