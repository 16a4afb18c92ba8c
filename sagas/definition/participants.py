"""What a participant is: code that owns a step's data and knows no saga.

A participant takes a ``Call`` and returns a result that JSON can represent, or ``None``. It raises ``Rejected`` if the
business says no; any other exception is a fault, and the call is tried again. If it needs more time, it returns
``Accepted``, and its outcome is reported later. A participant has one of these forms:

- a function of one call: ``def redeem(call: Call[Order]) -> dict | None``;
- a set-based function, marked ``@set_based``: ``def redeem(calls) -> Sequence[Outcome]``, which is called once for a
  whole cohort and returns an outcome for each call, in the order of the calls;
- an object with a method ``many`` that does the same.

A fourth form, ``Remote``, is in another system, and is called outside any transaction.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from types import MethodType
from typing import Any, Generic, Protocol, TypeGuard, TypeVar, overload, runtime_checkable
from uuid import UUID

from django.db.models import Model

from sagas import limits
from sagas.errors import Rejected
from sagas.trace_context import TraceContext


class Phase(StrEnum):
    """The phase of a run in which it calls a participant."""

    FORWARD = "forward"
    CONFIRM = "confirm"
    UNDO = "undo"


class Location(StrEnum):
    """Where a participant runs, and so in which transaction its effect is committed."""

    #: In the engine's database: effect, log and state are one commit.
    LOCAL = "local"
    #: In another PostgreSQL database, behind a barrier row.
    OTHER_DATABASE = "other database"
    #: In another system, called outside any transaction; see ``Remote``.
    REMOTE = "remote"
    #: It is a run of its own; see ``SubSaga``. A child that has not ended is asked again, and not given up.
    CHILD = "child"


class Operation(StrEnum):
    """What a participant is asked to do. The log stores the values."""

    FORWARD = "forward"
    COMPENSATE = "compensate"
    TRY = "try"
    CONFIRM = "confirm"
    CANCEL = "cancel"


# Covariant: a participant that needs stock takes the call of any request that wants stock.
RequestT_co = TypeVar("RequestT_co", covariant=True)
#: Of participants and resources: what takes the requests of one type takes those of its subtypes, too.
RequestT_contra = TypeVar("RequestT_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Call(Generic[RequestT_co]):
    """The call of a participant for one operation of one run.

    Attributes:
        run_id: the run's id, which is the global transaction id.
        step: the step's name.
        operation: what the participant is asked to do.
        attempt: the number of this attempt, from 1.
        request: the run's request.
        results: the results of the steps before, by step name.
        trace_id: the id of the run's trace, a UUID as text.
        trace_parent: the rest of its context, as the run keeps it.
    """

    run_id: UUID
    step: str
    operation: Operation
    attempt: int
    request: RequestT_co
    results: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str = ""
    trace_parent: str | None = None

    @property
    def trace(self) -> TraceContext | None:
        """The context of the run's trace; see ``sagas.trace_context``."""
        return TraceContext.of_run(UUID(self.trace_id), self.trace_parent) if self.trace_id else None

    @property
    def key(self) -> str:
        """The idempotency key ``<run>:<step>:<operation>``: the same on every attempt."""
        return f"{self.run_id}:{self.step}:{self.operation}"


@dataclass(frozen=True, slots=True)
class Done:
    """The operation has taken effect. Later steps and the log can read ``result``."""

    result: Any = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The operation has begun, and its outcome will be reported; see ``sagas.report``.

    Attributes:
        within: how long the report may take. After that the attempt counts as failed: the operation is tried again
            with the same key, and at last given up. Since it may have taken effect, it is then undone, too.
    """

    within: timedelta

    def __post_init__(self) -> None:
        if self.within <= timedelta(0):
            msg = f"Accepted(within={self.within}): a report takes time"
            raise ValueError(msg)
        if self.within > limits.WAIT:
            msg = f"Accepted(within={self.within}): give at most {limits.WAIT.days} days"
            raise ValueError(msg)


#: The answer of a set-based participant to one call. For a fault it raises.
Outcome = Done | Rejected | Accepted


#: Says which rows an operation locks, besides rows that belong to its own run: pairs of a model and a primary key.
RowKeys = Callable[[Call[Any]], Iterable[tuple[type[Model], Hashable]]]

ParticipantT = TypeVar("ParticipantT")


def locking(lock_keys: RowKeys) -> Callable[[ParticipantT], ParticipantT]:
    """Say which rows a participant locks, so that its step can be part of a saga with ``lifecycle = "compressed"``.

    >>> @locking(lambda call: [(Coupon, call.request.coupon)])
    ... @set_based
    ... def redeem(calls: Sequence[Call[Order]]) -> list[Outcome]: ...

    Args:
        lock_keys: a function of a call that returns ``(model, primary key)`` of each row that other runs may lock too.
            It must always return the same for a run, so it reads the request only: the results of steps in the same
            transaction are not there yet. A row that belongs to the run alone is left out: the run is locked.
            ``no_lock_keys`` is for a participant that has no others.
    """

    def mark(participant: ParticipantT) -> ParticipantT:
        if isinstance(participant, SetBasedFunction):
            return replace(participant, lock_keys=lock_keys)
        marked: Any = participant
        marked.lock_keys = lock_keys
        return participant

    return mark


def no_lock_keys(_call: Call[Any]) -> tuple[()]:
    """The lock keys of a participant that locks only rows of its own run."""
    return ()


def lock_keys_of(participant: object) -> RowKeys | None:
    """The function that says which rows a participant locks; ``None`` if it has none.

    A method has that of its object, so that a ``TccResource`` offers one for its three operations.
    """
    found: RowKeys | None = getattr(participant, "lock_keys", None)
    if found is None:
        function = participant.function if isinstance(participant, SetBasedFunction) else participant
        found = getattr(getattr(function, "__self__", None), "lock_keys", None)
    return found


@runtime_checkable
class SetBased(Protocol[RequestT_contra]):
    """A participant that is called once for a whole cohort."""

    def many(self, calls: Sequence[Call[RequestT_contra]], /) -> Sequence[Outcome]:
        """Return an outcome for each call, in the order of the calls. An exception is a fault of all of them."""
        ...


@dataclass(frozen=True, slots=True)
class SetBasedFunction(Generic[RequestT_contra]):
    """A set-based function or method; see ``set_based``."""

    function: Callable[..., Sequence[Outcome]]
    lock_keys: RowKeys | None = None

    def many(self, calls: Sequence[Call[RequestT_contra]], /) -> Sequence[Outcome]:
        """Return an outcome for each call, in the order of the calls."""
        return self.function(calls)

    def __get__(self, instance: object, owner: type | None = None) -> SetBasedFunction[RequestT_contra]:
        """Bind as a method does, so that ``@set_based`` also works in the body of a class."""
        return self if instance is None else replace(self, function=MethodType(self.function, instance))


@overload
def set_based(
    function: Callable[[Sequence[Call[RequestT_contra]]], Sequence[Outcome]],
) -> SetBasedFunction[RequestT_contra]: ...
@overload
def set_based(
    function: Callable[[Any, Sequence[Call[RequestT_contra]]], Sequence[Outcome]],
) -> SetBasedFunction[RequestT_contra]: ...
def set_based(function: Callable[..., Sequence[Outcome]]) -> SetBasedFunction[Any]:
    """Mark a function or method as a set-based participant: it is called once for all calls of a cohort."""
    return SetBasedFunction(function)


@dataclass(frozen=True, slots=True)
class NotYet:
    """A remote participant has no outcome yet. It is asked again, and this does not count as an attempt.

    Attributes:
        after: seconds until it is asked again.
    """

    after: float

    def __post_init__(self) -> None:
        if not 0 <= self.after <= limits.WAIT.total_seconds():
            msg = f"NotYet(after={self.after}): give seconds from 0 to {limits.WAIT.total_seconds():g}"
            raise ValueError(msg)


@runtime_checkable
class Remote(Protocol):
    """One operation of a participant in another system.

    The engine first commits that the call begins. Then a thread makes the call, outside any transaction. Then the
    engine commits the answer. So a call may be repeated, always with the same ``Call.key``, and must take effect once.
    """

    @property
    def lane(self) -> str:
        """The participant's name. All its operations share one limit of concurrent calls."""
        ...

    @property
    def concurrency(self) -> int:
        """How many calls one process makes at a time, for all operations of the participant."""
        ...

    @property
    def lease(self) -> float:
        """Seconds after which a call that has begun is certainly over, or its process is dead."""
        ...

    @property
    def patience(self) -> float:
        """Seconds after which ``NotYet`` counts as a failed attempt."""
        ...

    def admit(self, wanted: int) -> tuple[int, float]:
        """Say how many of ``wanted`` calls may be made now, and after how many seconds the others may ask again."""
        ...

    def call(self, call: Call[Any], *, repeated: bool) -> Done | Rejected | NotYet:
        """Call the participant.

        Args:
            call: the call.
            repeated: whether an earlier attempt may have taken effect although its answer was lost.

        Raises:
            NotSent: nothing was sent, so nothing has happened.
            Exception: any other exception means that the outcome is unknown.
        """
        ...


class AsyncRemote(Remote, Protocol):
    """One operation of a participant in another system, called by a coroutine in the process's event loop."""

    async def acall(self, call: Call[Any], *, repeated: bool) -> Done | Rejected | NotYet:
        """Call the participant; see ``Remote.call``."""
        ...


Participant = Callable[[Call[Any]], Any] | SetBased[Any] | Remote


class TccResource(Protocol[RequestT_contra]):
    """Something that can be reserved: ``try_`` holds it, ``confirm`` takes it, ``cancel`` gives it back.

    Each is a participant: a method that takes one call, or a method marked ``@set_based``. ``try_`` may raise
    ``Rejected``. ``confirm`` and ``cancel`` must succeed in the end.

    ``TccResource[T]`` reads requests of type ``T``, usually a protocol of its own domain. So it serves any saga whose
    request is a ``T``, and a type checker refuses ``Tcc[Request](resource, …)`` where the request is none.
    """

    @property
    def try_(self) -> Callable[[Call[RequestT_contra]], Any] | SetBased[RequestT_contra] | Remote:
        """Hold what the call asks for, or raise ``Rejected``. The result is on record, such as a reserve id."""
        ...

    @property
    def confirm(self) -> Callable[[Call[RequestT_contra]], Any] | SetBased[RequestT_contra] | Remote:
        """Turn the hold into a sale."""
        ...

    @property
    def cancel(self) -> Callable[[Call[RequestT_contra]], Any] | SetBased[RequestT_contra] | Remote:
        """Give the hold back."""
        ...


def is_set_based(participant: object) -> TypeGuard[SetBased[Any]]:
    """Whether a participant is called once for a whole cohort.

    Called several times for each delivery: ``isinstance`` with a protocol takes 20 µs and more to return ``False``.
    """
    return hasattr(participant, "many")


def is_remote(participant: object) -> TypeGuard[Remote]:
    """Whether a participant is in another system. The engine reads ``Action.location``, which is computed once."""
    return hasattr(participant, "lane") and isinstance(participant, Remote)


def is_async(participant: Remote) -> TypeGuard[AsyncRemote]:
    """Whether coroutines call a participant in another system."""
    return hasattr(participant, "acall")


def participant_problem(participant: object) -> str:
    """Say why an object can never be a participant; '' if it can.

    It is checked when a saga is declared. Otherwise each run would fail, be tried again, and be reported to operators.
    """
    if is_remote(participant):
        return ""
    takes = "the calls" if is_set_based(participant) else "the call"
    target: Any = participant.many if is_set_based(participant) else participant
    if isinstance(participant, SetBasedFunction):
        target = participant.function
    if not callable(target):
        return f"{participant!r} is no participant; give a function, or an object with many()"
    name = participant_name(target)
    if inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(type(target).__call__):
        return (
            f"{name} is async; give an ordinary function: it runs in the transaction of a worker. A coroutine that "
            "calls another system is an operation of a sagas.remote.AsyncParticipant"
        )
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return ""  # some functions written in C have no signature
    try:
        signature.bind(None)
    except TypeError:
        bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
        written = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
        return f"{name}{written} is called with {takes} and nothing else"
    return ""


def participant_name(participant: Participant) -> str:
    """The name of a participant, as the log shows it: ``module.name``; for a remote one its ``str()``."""
    if is_remote(participant):
        return str(participant)
    target: Any = participant.function if isinstance(participant, SetBasedFunction) else participant
    name = getattr(target, "__qualname__", type(target).__qualname__)
    return f"{target.__module__}.{name}"
