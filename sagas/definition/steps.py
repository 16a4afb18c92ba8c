"""The parts of a saga: steps, and the operations of each. ``Tcc`` and ``Parallel`` are other ways to write steps."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any, Generic

from django.db import DEFAULT_DB_ALIAS

from sagas.definition.events import Events
from sagas.definition.participants import (
    Location,
    Operation,
    Participant,
    Phase,
    Remote,
    RequestT_contra,
    TccResource,
    is_remote,
    participant_name,
    participant_problem,
)
from sagas.definition.personal_data import parse_personal
from sagas.definition.retry import Retry, check_duration
from sagas.definition.shapes import StepShape
from sagas.errors import DefinitionError, Rejected

#: A forward operation that fails is tried three times, then the run is compensated.
FORWARD_RETRY = Retry(attempts=3)

#: A confirm or an undo cannot be given up without a person, so it is tried more often first.
FINISH_RETRY = Retry(attempts=5)


@dataclass(frozen=True, slots=True)
class Action:
    """One operation of a step, the participant that performs it, and where that runs."""

    operation: Operation
    participant: Participant
    retry: Retry
    location: Location

    @property
    def remote(self) -> Remote:
        """The participant of a REMOTE operation."""
        assert is_remote(self.participant)
        return self.participant


class Step:
    """One part of a saga: how to do it, and how to confirm and undo it.

    Args:
        do: the participant of the forward operation.
        confirm: the participant that makes the effect final once the run is confirmed; none if it is final at once.
        compensate: the participant that undoes the effect, by key; none if there is nothing to undo.
        queue: the RabbitMQ queue whose workers perform the step, one of ``SAGAS["QUEUES"]``.
        retry: when the forward operation is tried again; by default 3 attempts.
        finish_retry: when confirm and compensate are tried again; by default 5 attempts, then a person is called.
        rejects: exception classes of the domain that mean a rejection, besides ``Rejected``.
        timeout: how long a run may take over the forward operation, with waits and retries; then the run is undone.
        when: a function of the request that says whether a run performs the step, ``True`` or ``False``. It is called
            once, at the start, and must be pure. A step that a run skips has no operation in it, none to undo either.
        pivot: the point of no return of a saga without a confirmation: the steps after it only go forward. It is done
            when its participant returns; ``Accepted`` is a fault.
        events: the names of the events of its outcomes, if the saga publishes events; by default after the step's name.
        personal: what is personal in its results: ``True`` for all, or paths such as ``("phone", "guests.*.name")``.
        database: the alias of the database in which its participants write, if it is not the engine's; see
            ``sagas.engine.outside.barrier``.

    Raises:
        DefinitionError: a participant cannot be called with a call or a set of calls, or is async; the time-out is not
            positive; the pivot can be undone or skipped, or is in another database or another system; ``when`` is no
            function, or is async.
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
        finish_retry: Retry = FINISH_RETRY,
        rejects: tuple[type[Exception], ...] = (),
        timeout: timedelta | None = None,
        when: Callable[[Any], bool] | None = None,
        pivot: bool = False,
        events: Events | None = None,
        personal: Collection[str] | bool = (),
        database: str = "",
    ) -> None:
        if not queue:
            msg = "a step needs a queue, one of SAGAS['QUEUES']"
            raise DefinitionError(msg)
        self.when = _check_when(when)
        if pivot and when is not None:
            # What is behind the pivot cannot be undone, and what is before it is. Neither may depend on a request.
            msg = "a pivot is the point of no return of every run: it cannot have when="
            raise DefinitionError(msg)
        if pivot and compensate is not None:
            msg = "a pivot is the point of no return: it cannot have compensate="
            raise DefinitionError(msg)
        if pivot and database:
            # Its effect may exist although the engine's database does not know, and then nothing could be undone.
            msg = f"Step(database={database!r}): a pivot must be in the engine's own database"
            raise DefinitionError(msg)
        if pivot and is_remote(do):
            # So may an effect in another system: a charge whose answer is lost would stay, and its run would be undone.
            msg = (
                f"{do!r} is in another system: it cannot be the pivot, because its answer may be lost although it took "
                "effect. Give it a compensation, or let a confirmation be the pivot"
            )
            raise DefinitionError(msg)
        if database == DEFAULT_DB_ALIAS:
            msg = f"Step(database={database!r}): that is the engine's own database; leave it out"
            raise DefinitionError(msg)
        self.name = ""
        self.queue = queue
        self.timeout = timeout
        self.pivot = pivot
        self.events = events or Events()
        self.personal = parse_personal(personal)
        self.database = database
        self.rejects: tuple[type[Exception], ...] = (Rejected, *rejects)
        self.actions: dict[Phase, Action] = {}
        # Any: callers without a type checker get an error, too.
        given: tuple[tuple[Phase, Operation, Any, Retry], ...] = (
            (Phase.FORWARD, self._forward, do, retry),
            (Phase.CONFIRM, Operation.CONFIRM, confirm, finish_retry),
            (Phase.UNDO, self._undo, compensate, finish_retry),
        )
        for phase, operation, participant, policy in given:
            if participant is None:
                continue
            if why := participant_problem(participant):
                msg = f"{operation}: {why}"
                raise DefinitionError(msg)
            if database and is_remote(participant):
                msg = f"Step(database={database!r}): {participant!r} is in another system, not in a database"
                raise DefinitionError(msg)
            self.actions[phase] = Action(operation, participant, policy, self._locate(participant))
        #: Where its effect is. An effect in OTHER_DATABASE may exist although the engine's database does not know.
        self.location = self._locate(do)
        if timeout is not None:
            # After the participants are checked: the step has no name yet, and the error names it by them.
            said = f"{type(self).__name__}({participant_name(do)}, timeout={timeout!r})"
            check_duration(said, timeout)
            if timeout <= timedelta(0):
                msg = f"{said}: give a positive time"
                raise DefinitionError(msg)

    def __set_name__(self, _owner: type, name: str) -> None:
        """Take the attribute's name, which the log stores."""
        self.name = self.name or name

    def _locate(self, participant: object) -> Location:
        """Where a participant of this step runs."""
        if is_remote(participant):
            return Location.REMOTE
        return Location.OTHER_DATABASE if self.database else Location.LOCAL

    @property
    def shape(self) -> StepShape:
        """The part of the declaration on which runs depend."""
        operations = {phase: action.operation for phase, action in self.actions.items()}
        outside = self.location is Location.OTHER_DATABASE
        return StepShape(self.name, self.queue, operations, self.personal, outside, self.database)

    def place_behind_pivot(self) -> None:
        """Place the step behind the pivot: it is tried until it is done, or a person is called."""
        if set(self.actions) != {Phase.FORWARD}:
            msg = f"{self.name} stands behind the pivot, where nothing is undone or confirmed: give it no {{}}"
            raise DefinitionError(msg.format(" and no ".join(sorted(p for p in self.actions if p != Phase.FORWARD))))
        action = self.actions[Phase.FORWARD]
        if action.retry is FORWARD_RETRY:
            self.actions[Phase.FORWARD] = replace(action, retry=FINISH_RETRY)


def _check_when(when: Any) -> Callable[[Any], bool] | None:
    if when is not None and (not callable(when) or iscoroutinefunction(when)):
        msg = f"when={when!r}: give a function of the request that returns True or False, and is not async"
        raise DefinitionError(msg)
    return when  # type: ignore[no-any-return]  # callers without a type checker get an error, too


class Tcc(Step, Generic[RequestT_contra]):
    """A step that reserves first: try, then confirm or cancel. The other arguments are those of ``Step``.

    ``Tcc[Request](resource, …)`` names the saga's request, and lets a type checker compare what the resource reads of
    it. Without the name everything is as well, and nothing is compared.

    Args:
        resource: what is reserved.
        queue: the RabbitMQ queue whose workers perform the step.
        retry: when try is tried again.
        finish_retry: when confirm and cancel are tried again.
        rejects: exception classes of the domain that mean a rejection, besides ``Rejected``.
        timeout: how long a run may take over try, with waits and retries; then the run is undone.
        when: a function of the request that says whether a run performs the step; see ``Step``.
        events: the names of the events of its outcomes.
        personal: what is personal in its results.
        database: the alias of the database in which the resource is, if it is not the engine's.

    Raises:
        DefinitionError: the resource lacks an operation; and as ``Step``.
    """

    _forward = Operation.TRY
    _undo = Operation.CANCEL

    def __init__(
        self,
        resource: TccResource[RequestT_contra],
        *,
        queue: str,
        retry: Retry = FORWARD_RETRY,
        finish_retry: Retry = FINISH_RETRY,
        rejects: tuple[type[Exception], ...] = (),
        timeout: timedelta | None = None,
        when: Callable[[Any], bool] | None = None,
        events: Events | None = None,
        personal: Collection[str] | bool = (),
        database: str = "",
    ) -> None:
        lacking = [name for name in ("try_", "confirm", "cancel") if getattr(resource, name, None) is None]
        if lacking:
            why = f"it has no {' and no '.join(lacking)}"
            msg = f"Tcc({resource!r}): {why}; give a TccResource, or Step(do, compensate=…)"
            raise DefinitionError(msg)
        super().__init__(
            resource.try_,
            confirm=resource.confirm,
            compensate=resource.cancel,
            queue=queue,
            retry=retry,
            finish_retry=finish_retry,
            rejects=rejects,
            timeout=timeout,
            when=when,
            events=events,
            personal=personal,
            database=database,
        )


class Parallel:
    """Steps that are performed at the same time. The run goes on when all are done, and is undone if one rejects.

    >>> class Trip(Saga[TripRequest]):
    ...     booked = Parallel(hotel=Tcc(rooms, queue="hotels"), car=Tcc(cars, queue="cars"))

    A branch is a step like any other, and its keyword is its name. Branches are confirmed and undone one after the
    other. The attribute's own name is stored nowhere.
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


class Refund(Step):
    """The step that takes a confirmation back. It has only an undo."""

    def __init__(self, compensate: Participant, *, queue: str, finish_retry: Retry) -> None:
        super().__init__(compensate, compensate=compensate, queue=queue, finish_retry=finish_retry)
        del self.actions[Phase.FORWARD]


def missing_participant(_call: object) -> None:
    """Stand in for a participant that this process lacks. ``Definition.action`` never returns it."""
    raise NotImplementedError
