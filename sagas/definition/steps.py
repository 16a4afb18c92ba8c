"""What a saga is made of: steps, and the operations of each. ``Tcc`` and ``Parallel`` are ways to write them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from sagas.definition.events import Events
from sagas.definition.participants import (
    Location,
    Operation,
    Participant,
    Phase,
    Remote,
    TccResource,
    is_remote,
    participant_name,
    participant_problem,
)
from sagas.definition.personal_data import parse_personal
from sagas.definition.retry import Retry, check_duration
from sagas.definition.shapes import StepShape
from sagas.errors import DefinitionError, Rejected

#: A business step that breaks is tried three times, then the run is compensated.
FORWARD_RETRY = Retry(attempts=3)

#: Confirming and compensating cannot be given up without a person: they try longer first.
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

    The one kind there is: ``Tcc`` is another way to write it.

    Args:
        do: the participant of the forward operation.
        confirm: called once the run is confirmed; none where the effect is final at once.
        compensate: undoes the effect, by key; none where there is nothing to undo.
        queue: the RabbitMQ queue whose workers perform it, one of ``SAGAS["QUEUES"]``.
        retry: policy of the forward operation; by default 3 attempts.
        finish_retry: policy of confirm and compensate; by default 5 attempts, then a person is called.
        rejects: exception classes of the domain that mean "no", besides ``Rejected``.
        timeout: how long a run may take over the forward operation, waits and retries included; then it is undone.
        pivot: the point of no return of a saga without a confirmation: what comes after it only goes forward. It is
            done when its participant returns: one that answers ``Accepted`` has broken.
        events: what its outcomes are called, where the saga publishes events; by default after the step.
        personal: what is personal in its results: ``True`` for all, or paths such as ``("phone", "guests.*.name")``.
        database: alias of the database in which its participants write, if it is not the engine's own; see
            ``sagas.engine.barrier``.

    Raises:
        DefinitionError: a participant that cannot be called with a call or a set of them, or is async; a time-out
            that is over at once; a pivot that can be undone, or is in another database or another system.
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
        pivot: bool = False,
        events: Events | None = None,
        personal: Collection[str] | bool = (),
        database: str = "",
    ) -> None:
        if not queue:
            msg = "a step needs a queue, one of SAGAS['QUEUES']"
            raise DefinitionError(msg)
        if pivot and compensate is not None:
            msg = "a pivot is the point of no return: it has nothing to compensate"
            raise DefinitionError(msg)
        if pivot and database:
            # Its effect may be there although this database does not know, and then nothing could be undone.
            msg = f"Step(database={database!r}): a pivot must be in the engine's own database"
            raise DefinitionError(msg)
        if pivot and is_remote(do):
            # The same of another system: a charge whose answer is lost would stay, and its run be undone around it.
            msg = (
                f"{do!r} is in another system: it cannot be the pivot, for it may take effect and nobody here learn "
                "of it. Give it a compensation, or have a confirmation be the pivot"
            )
            raise DefinitionError(msg)
        if database == DEFAULT_DB_ALIAS:
            msg = f"Step(database={database!r}): that is the engine's own; leave it out"
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
        # Any: whoever calls this without a type checker gets an error all the same.
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
        #: Where its effect is: OTHER_DATABASE may have it although the engine's database does not know.
        self.location = self._locate(do)
        if timeout is not None:
            # Behind the participants: the step has no name yet, so they must name it.
            said = f"{type(self).__name__}({participant_name(do)}, timeout={timeout!r})"
            check_duration(said, timeout)
            if timeout <= timedelta(0):
                msg = f"{said}: a step needs time"
                raise DefinitionError(msg)

    def __set_name__(self, _owner: type, name: str) -> None:
        """Take the attribute's name: it is what the log stores."""
        self.name = self.name or name

    def _locate(self, participant: object) -> Location:
        """Where a participant of this step runs."""
        if is_remote(participant):
            return Location.REMOTE
        return Location.OTHER_DATABASE if self.database else Location.LOCAL

    @property
    def shape(self) -> StepShape:
        """What runs depend on in it."""
        operations = {phase: action.operation for phase, action in self.actions.items()}
        elsewhere = self.location is Location.OTHER_DATABASE
        return StepShape(self.name, self.queue, operations, self.personal, elsewhere, self.database)

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
        finish_retry: policy of confirm and cancel.
        rejects: exception classes of the domain that mean "no", besides ``Rejected``.
        timeout: how long a run may take over try, waits and retries included; then it is undone.
        events: what its outcomes are called, where the saga publishes events; by default after the step.
        personal: what is personal in its results; see ``Step``.
        database: alias of the database in which the resource is, if it is not the engine's own.

    Raises:
        DefinitionError: the resource lacks an operation; and as ``Step``.
    """

    _forward = Operation.TRY
    _undo = Operation.CANCEL

    def __init__(
        self,
        resource: TccResource,
        *,
        queue: str,
        retry: Retry = FORWARD_RETRY,
        finish_retry: Retry = FINISH_RETRY,
        rejects: tuple[type[Exception], ...] = (),
        timeout: timedelta | None = None,
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


class Refund(Step):
    """What takes a confirmation back: a step that has only an undo."""

    def __init__(self, compensate: Participant, *, queue: str, finish_retry: Retry) -> None:
        super().__init__(compensate, compensate=compensate, queue=queue, finish_retry=finish_retry)
        del self.actions[Phase.FORWARD]


def missing_participant(_call: object) -> None:
    """Stand for a participant that this process has not; ``Definition.action`` never gives it out."""
    raise NotImplementedError
