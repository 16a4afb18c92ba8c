"""Pure decisions: what comes next for a run. No database, no clock, no broker.

A run is seen as (state, cursor); see ``models.Run`` for what the cursor counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from sagas.definition import Definition
from sagas.messages import Link
from sagas.participant import Phase
from sagas.states import State, check_transition


class Due(Enum):
    """When the dispatcher looks at a run again. A number of seconds from now is given as a float."""

    #: Leave ``due_at`` unless the lease is half gone; then renew it. Most updates leave it, which is cheap.
    LEASE = auto()
    #: At the deadline and a grace, so that RabbitMQ's message comes first.
    DEADLINE = auto()
    #: Never: the run is final, or a person has it.
    NEVER = auto()


NOW = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run stands."""

    state: State
    cursor: int


@dataclass(frozen=True, slots=True)
class Move:
    """A change of place, guarded by where the run must stand before.

    Attributes:
        attempt: failed attempts of the operation at the new place.
        due: when the dispatcher looks at it again: a ``Due``, or seconds from now.
    """

    before: Place
    after: Place
    due: Due | float
    attempt: int = 0

    def __post_init__(self) -> None:
        """Refuse a move that the transition table does not know."""
        check_transition(self.before.state, self.after.state)


#: The state in which a phase is performed.
STATE_OF = {Phase.FORWARD: State.EXECUTING, Phase.CONFIRM: State.CONFIRMING, Phase.UNDO: State.COMPENSATING}
PHASE_OF = {State.PENDING: Phase.FORWARD, **{state: phase for phase, state in STATE_OF.items()}}


class Stand(Enum):
    """How a run stands to a delivery."""

    #: It stands at this step: perform it.
    HERE = auto()
    #: It stands right behind it: the delivery is a repeat, whose next link may have been lost. Pass it on.
    BEHIND = auto()
    #: Anything else: late, early, undone, finished. Drop it.
    ELSEWHERE = auto()


def stand(definition: Definition, place: Place, index: int, phase: Phase) -> Stand:
    """Say whether a delivery of ``phase`` of step ``index`` is for a run at ``place``."""
    if place.state is not STATE_OF[phase]:
        return Stand.ELSEWHERE
    if place == place_of(index, phase):
        return Stand.HERE
    following = _next_index(definition, index, phase)
    if following is not None and place == place_of(following, phase):
        return Stand.BEHIND
    return Stand.ELSEWHERE


def place_of(index: int, phase: Phase) -> Place:
    """Where a run stands when this phase of step ``index`` is what comes next."""
    return Place(STATE_OF[phase], index + 1 if phase is Phase.UNDO else index)


def links(definition: Definition, place: Place) -> tuple[Link, ...]:
    """The links that a run at ``place`` still has to go in its phase; none where nothing is left to do."""
    phase = PHASE_OF.get(place.state)
    if phase is None:
        return ()
    found: list[Link] = []
    number = definition.shape.number
    index = _first_index(definition, place.cursor, phase)
    while index is not None:
        step = definition.steps[index]
        operation = step.actions[phase].operation
        found.append(Link(definition.name, definition.version, step.name, phase, step.queue, operation, number))
        index = _next_index(definition, index, phase)
    return tuple(found)


def done(definition: Definition, index: int, phase: Phase, *, confirmed: bool) -> tuple[Place, Due | float]:
    """Where a run stands once this operation is done.

    Args:
        definition: the run's saga.
        index: the step that is done.
        phase: its phase.
        confirmed: whether all confirmations are in (read under the run's lock); matters after the last step.
    """
    following = _next_index(definition, index, phase)
    if following is not None:
        return place_of(following, phase), Due.LEASE
    if phase is Phase.UNDO:
        return Place(State.FAILED, 0), Due.NEVER
    if phase is Phase.CONFIRM:
        return Place(State.SUCCEEDED, len(definition.steps)), Due.NEVER
    if not confirmed:
        return Place(State.AWAITING_CONFIRM, len(definition.steps)), Due.DEADLINE
    return confirming(definition, before=State.EXECUTING)


def confirming(definition: Definition, *, before: State) -> tuple[Place, Due | float]:
    """Where a run goes when its last confirmation has come and all its steps are done."""
    first = _first_index(definition, 0, Phase.CONFIRM)
    if first is None and before is State.EXECUTING:
        return Place(State.SUCCEEDED, len(definition.steps)), Due.NEVER
    return Place(State.CONFIRMING, first or 0), NOW


def compensating(definition: Definition, place: Place) -> tuple[Place, Due | float]:
    """Where an undecided run goes when it is to be undone: to the last effect that can be undone."""
    applied = place.cursor if place.state is not State.PENDING else 0
    last = _first_index(definition, applied, Phase.UNDO)
    return Place(State.COMPENSATING, 0 if last is None else last + 1), NOW


def finished(place: Place) -> Place:
    """The final state of a run that has nothing left to do in its phase."""
    return Place(State.FAILED if place.state is State.COMPENSATING else State.SUCCEEDED, place.cursor)


def _first_index(definition: Definition, cursor: int, phase: Phase) -> int | None:
    """The step whose ``phase`` is next for a run with this cursor."""
    order = range(cursor - 1, -1, -1) if phase is Phase.UNDO else range(cursor, len(definition.steps))
    return next((index for index in order if definition.has(index, phase)), None)


def _next_index(definition: Definition, index: int, phase: Phase) -> int | None:
    """The step whose ``phase`` follows that of step ``index``."""
    return _first_index(definition, index if phase is Phase.UNDO else index + 1, phase)
