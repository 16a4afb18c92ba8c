"""What a participant is: code that owns a step's data and knows no saga.

A participant takes a ``Call`` and returns a JSON-able result (or ``None``), or raises: ``Rejected``
(the business says no) or anything else (a fault: it is tried again). One that needs longer returns
``Accepted``, and the outcome is reported later. Three shapes are accepted:

- a function of one call: ``def redeem(call: Call[Order]) -> dict | None``;
- a set-based function, marked ``@set_based``: ``def redeem(calls) -> Sequence[Outcome]``, called once for a
  whole cohort and answering each call in its place;
- any object with a ``many`` method, as ``TccResource`` has.

A fourth, ``Remote``, is in another system, and is called outside any transaction.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MethodType
from typing import Any, Generic, Protocol, TypeGuard, TypeVar, runtime_checkable
from uuid import UUID

from sagas import limits
from sagas.errors import Rejected


class Phase(StrEnum):
    """Which way a run is going when it calls a participant."""

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
    """The words of the log: what was asked of a participant."""

    FORWARD = "forward"
    COMPENSATE = "compensate"
    TRY = "try"
    CONFIRM = "confirm"
    CANCEL = "cancel"


RequestT = TypeVar("RequestT")


@dataclass(frozen=True, slots=True)
class Call(Generic[RequestT]):
    """One run asking one operation of one participant.

    Attributes:
        run_id: the run, which is the global transaction id.
        step: name of the step in the saga.
        operation: what is asked.
        attempt: number of this attempt, from 1.
        request: the run's validated request.
        results: what the steps before returned, by step name.
        trace_id: id of the run's trace, a UUID as text.
    """

    run_id: UUID
    step: str
    operation: Operation
    attempt: int
    request: RequestT
    results: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str = ""

    @property
    def key(self) -> str:
        """The idempotency key ``<run>:<step>:<operation>``: the same on every attempt."""
        return f"{self.run_id}:{self.step}:{self.operation}"


@dataclass(frozen=True, slots=True)
class Done:
    """The effect is there; ``result`` is what later steps and the log may read."""

    result: Any = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The operation was begun, and somebody will report how it ended; see ``sagas.report``.

    Attributes:
        within: until when. Without a report by then the attempt counts as failed: it is tried again with the same
            key, then given up; since it may have taken effect all the same, it is undone then, too.
    """

    within: timedelta

    def __post_init__(self) -> None:
        """Refuse what nobody can wait for."""
        if self.within <= timedelta(0):
            msg = f"Accepted(within={self.within}): a report takes time"
            raise ValueError(msg)
        if self.within > limits.WAIT:
            msg = f"Accepted(within={self.within}): nobody waits for more than {limits.WAIT.days} days"
            raise ValueError(msg)


#: How a set-based participant answers one call. It raises for a fault.
Outcome = Done | Rejected | Accepted


@runtime_checkable
class SetBased(Protocol):
    """A participant that serves a whole cohort in one call."""

    def many(self, calls: Sequence[Call[Any]], /) -> Sequence[Outcome]:
        """Answer each call in its place; raise only for a fault of the whole set."""
        ...


@dataclass(frozen=True, slots=True)
class SetBasedFunction:
    """A set-based function or method; see ``many``."""

    function: Callable[..., Sequence[Outcome]]

    def many(self, calls: Sequence[Call[Any]], /) -> Sequence[Outcome]:
        """Answer each call in its place."""
        return self.function(calls)

    def __get__(self, instance: object, owner: type | None = None) -> SetBasedFunction:
        """Bind as a method does, so that ``@set_based`` works in the body of a class too."""
        return self if instance is None else SetBasedFunction(MethodType(self.function, instance))


def set_based(function: Callable[..., Sequence[Outcome]]) -> SetBasedFunction:
    """Mark a function or method as a set-based participant: called once for all calls of a cohort."""
    return SetBasedFunction(function)


@dataclass(frozen=True, slots=True)
class NotYet:
    """A remote participant cannot do it now, or cannot say yet. Not an attempt: it is asked again.

    Attributes:
        after: seconds until then.
    """

    after: float

    def __post_init__(self) -> None:
        """Refuse what is no length of time."""
        if not 0 <= self.after <= limits.WAIT.total_seconds():
            msg = f"NotYet(after={self.after}): give seconds from 0 to {limits.WAIT.total_seconds():g}"
            raise ValueError(msg)


@runtime_checkable
class Remote(Protocol):
    """One operation of a participant in another system.

    That it is begun is committed first; then a thread calls it, outside any transaction; then what it answered is
    committed. So a call may be repeated, always with the same ``Call.key``, and must take effect once.
    """

    @property
    def lane(self) -> str:
        """Whose calls share one bound: the participant's name."""
        ...

    @property
    def concurrency(self) -> int:
        """How many calls one process makes at a time, over all operations of the lane."""
        ...

    @property
    def lease(self) -> float:
        """Seconds after which a call that was begun has surely ended, or its process is gone."""
        ...

    @property
    def patience(self) -> float:
        """Seconds after which ``NotYet`` counts as a failed attempt."""
        ...

    def admit(self, wanted: int) -> tuple[int, float]:
        """How many of ``wanted`` calls may be made now, and after how many seconds the others may ask again."""
        ...

    def call(self, call: Call[Any], *, repeated: bool) -> Done | Rejected | NotYet:
        """Call it.

        Args:
            call: what is asked.
            repeated: whether an earlier attempt may have taken effect without our knowing.

        Raises:
            NotSent: nothing was sent, so nothing has happened.
            Exception: anything else: whether it took effect is not known.
        """
        ...


Participant = Callable[[Call[Any]], Any] | SetBased | Remote


class TccResource(Protocol):
    """Something that can be reserved: ``try_`` holds it, ``confirm`` takes it, ``cancel`` gives it back.

    Each is a participant: a method of one call, or one marked ``@set_based``. ``try_`` may raise ``Rejected``;
    ``confirm`` and ``cancel`` must in the end succeed.
    """

    @property
    def try_(self) -> Participant:
        """Hold what the call asks for, or reject."""
        ...

    @property
    def confirm(self) -> Participant:
        """Turn the hold into a sale."""
        ...

    @property
    def cancel(self) -> Participant:
        """Give the hold back."""
        ...


def is_set_based(participant: object) -> TypeGuard[SetBased]:
    """Whether it serves a whole cohort in one call.

    Asked several times of every delivery: ``isinstance`` of a protocol takes 20 µs and more to say no.
    """
    return hasattr(participant, "many")


def is_remote(participant: object) -> TypeGuard[Remote]:
    """Whether it is in another system. The engine reads ``Action.location``, which is computed once."""
    return hasattr(participant, "lane") and isinstance(participant, Remote)


def participant_problem(participant: object) -> str:
    """Say why it can never serve as a participant; '' if it may.

    Found when a saga is declared: as a fault of each run it would be tried again, and told to whoever did not write it.
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
        return f"{name} is async; give an ordinary function: it runs in the transaction of a worker"
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return ""  # some of what is written in C does not say
    try:
        signature.bind(None)
    except TypeError:
        bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
        written = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
        return f"{name}{written} is called with {takes} and nothing else"
    return ""


def participant_name(participant: Participant) -> str:
    """Say ``module.name`` of a participant, as the log shows it; of a remote one, what it says of itself."""
    if is_remote(participant):
        return str(participant)
    target: Any = participant.function if isinstance(participant, SetBasedFunction) else participant
    name = getattr(target, "__qualname__", type(target).__qualname__)
    return f"{target.__module__}.{name}"
