"""What comes next for a run. Pure: no database, no clock, no broker.

A run is seen as its place: state, cursor and fork (``models.Run`` says what these count). Everything follows from two
functions: ``operations_at`` says which operations a run performs at a place, ``place_after`` where it stands after one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from sagas.decisions.messages import Link
from sagas.definition.definition import Definition
from sagas.definition.participants import Location, Phase
from sagas.states import State, check_transition


class Due(Enum):
    """When a run is due again. Seconds from now are given as a float instead."""

    #: Leave ``due_at`` unless the lease is half gone; then renew it. Most updates leave it, which is cheap.
    LEASE = auto()
    #: Leave ``due_at``, and what belongs to the wait for it.
    KEEP = auto()
    #: At the deadline and a grace, so that RabbitMQ's message comes first.
    DEADLINE = auto()
    #: Never: the run is final, or a person has it.
    NEVER = auto()


NOW = 0.0


@dataclass(frozen=True, slots=True)
class Branches:
    """Due as what is left of a fork wants it.

    That is when the first of its waits is over. Where a branch is under way, which waits for nothing, the run is due no
    later than it would be anyway: when the lease of that branch is over.

    Attributes:
        open: the branches that are not done.
    """

    open: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run stands.

    Attributes:
        state: of the run.
        cursor: see ``models.Run``.
        fork: bits of the positions of the branches that are done, or still to undo; see ``models.Run``.
    """

    state: State
    cursor: int
    fork: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """A change of place. The run must stand at ``before``.

    Attributes:
        attempt: failed attempts of the operation at the new place.
        due: when the run is due again: a ``Due``, or seconds from now.
    """

    before: Place
    after: Place
    due: Due | Branches | float
    attempt: int = 0

    def __post_init__(self) -> None:
        """Refuse a move that the transition table does not know."""
        check_transition(self.before.state, self.after.state)


#: The state in which a phase is performed, before the pivot.
STATE_OF = {Phase.FORWARD: State.EXECUTING, Phase.CONFIRM: State.CONFIRMING, Phase.UNDO: State.COMPENSATING}


def state_of(definition: Definition, index: int, phase: Phase) -> State:
    """The state in which a run performs this phase of the step."""
    if phase is Phase.FORWARD and index >= definition.before_pivot:
        return State.CONFIRMING
    return STATE_OF[phase]


class Stand(Enum):
    """Where a run stands, as a delivery sees it."""

    #: It stands at this step: perform it.
    HERE = auto()
    #: It stands right behind it: the delivery is a repeat, whose next link may have been lost. Pass it on.
    BEHIND = auto()
    #: Anything else: late, early, undone, finished. Drop it.
    ELSEWHERE = auto()


def stand(definition: Definition, place: Place, index: int, phase: Phase) -> Stand:
    """Say whether a delivery of ``phase`` of step ``index`` is for a run at ``place``."""
    if place.state is not state_of(definition, index, phase):
        return Stand.ELSEWHERE
    if (index, phase) in operations_at(definition, place):
        return Stand.HERE
    if phase is Phase.UNDO and _is_refund(definition, index) and not place.fork:
        # Refunds come before all steps.
        return Stand.BEHIND
    if place.fork and phase is Phase.UNDO:
        # The place does not say which branches were undone. But they are undone from the last to the first.
        return Stand.BEHIND if index >= place.fork.bit_length() else Stand.ELSEWHERE
    following = _behind(definition, index, phase)
    if following is not None and (place.state, place.cursor) == (following.state, following.cursor):
        return Stand.BEHIND
    if phase is Phase.UNDO and len(stage := definition.stages[index]) > 1:
        # It may be one of the branches that were never done, to which the chain of a redelivery leads as well.
        return Stand.BEHIND if place == _undoing(definition, stage.start, 0, Due.LEASE)[0] else Stand.ELSEWHERE
    return Stand.ELSEWHERE


def _behind(definition: Definition, index: int, phase: Phase) -> Place | None:
    """Where a run stands when this operation is done, if there is more to do in the same state."""
    before = place_of(definition, index, phase)
    stage = definition.stages[index]
    if phase is Phase.FORWARD and len(stage) > 1:
        before = replace(before, fork=_bits(stage) & ~(1 << index))
    after, _ = place_after(definition, before, index, phase, confirmed=False)
    return after if after.state is before.state else None


def place_of(definition: Definition, index: int, phase: Phase) -> Place:
    """Where a run stands when this phase of step ``index`` is next and nothing else of its stage is done."""
    if phase is Phase.UNDO:
        refund = _is_refund(definition, index)
        return Place(State.COMPENSATING, 0, 1 << index) if refund else Place(State.COMPENSATING, index + 1)
    cursor = definition.stages[index].start if phase is Phase.FORWARD else index
    return Place(state_of(definition, index, phase), cursor)


def operations_at(definition: Definition, place: Place) -> tuple[tuple[int, Phase], ...]:
    """The operations of a run at ``place``, as (position, phase): one, one a branch of a fork, or none."""
    match place.state:
        case State.PENDING | State.EXECUTING:
            return _branches(definition, place) if place.cursor < definition.before_pivot else ()
        case State.CONFIRMING:
            index = _confirms_from(definition, place.cursor)
            if index is not None:
                return ((index, Phase.CONFIRM),)
            behind = max(place.cursor, definition.before_pivot)
            if behind < len(definition.steps):
                return _branches(definition, Place(place.state, behind, place.fork))
        case State.COMPENSATING:
            if place.fork:
                return ((place.fork.bit_length() - 1, Phase.UNDO),)
            index = _undoes_below(definition, place.cursor)
            if index is not None:
                return ((index, Phase.UNDO),)
    return ()


def links_at(definition: Definition, place: Place) -> tuple[Link, ...]:
    """The links of the chain that begins at ``place``; none if the run stands at a fork or has nothing left to do."""
    found: list[Link] = []
    if place.state is State.PENDING:
        place = Place(State.EXECUTING, place.cursor)
    state = place.state
    while place.state is state:
        operations = operations_at(definition, place)
        if len(operations) != 1 or is_fork(definition, *operations[0]):
            break
        index, phase = operations[0]
        found.append(link(definition, index, phase))
        if _is_refund(definition, index):
            # What is undone next depends on where the run stood, which a delivery of the refund alone does not say.
            break
        place, _ = place_after(definition, place, index, phase, confirmed=False)
    return tuple(found)


def next_chains(definition: Definition, place: Place) -> list[tuple[Link, ...]]:
    """The chains to publish for runs at ``place``: one, or one for each branch; none if nothing is left to do."""
    sequence = links_at(definition, place)
    if sequence:
        return [sequence]
    return [(link(definition, index, phase),) for index, phase in operations_at(definition, place)]


def has_next_link(definition: Definition, index: int, phase: Phase) -> bool:
    """Whether the chain goes on after this operation.

    It ends before a fork, each branch of which has its own chain; and after a refund.
    """
    if is_fork(definition, index, phase) or _is_refund(definition, index):
        return False
    following = _behind(definition, index, phase)
    if following is None:
        return True
    return not any(is_fork(definition, *operation) for operation in operations_at(definition, following))


def is_fork(definition: Definition, index: int, phase: Phase) -> bool:
    """Whether this operation is performed at the same time as others of its run."""
    return phase is Phase.FORWARD and len(definition.stages[index]) > 1


def links_from(definition: Definition, index: int, phase: Phase) -> tuple[Link, ...]:
    """The chain that begins with this operation."""
    if is_fork(definition, index, phase):
        return (link(definition, index, phase),)
    return links_at(definition, place_of(definition, index, phase))


def link(definition: Definition, index: int, phase: Phase) -> Link:
    """The link of an operation, as messages carry it."""
    step = definition.all_steps[index]
    number, operation = definition.shape.number, step.actions[phase].operation
    return Link(definition.name, definition.version, step.name, phase, step.queue, operation, number)


def place_after(
    definition: Definition, place: Place, index: int, phase: Phase, *, confirmed: bool
) -> tuple[Place, Due | Branches | float]:
    """Where a run stands when this operation is done, and when it is due then.

    Args:
        definition: the run's saga.
        place: where it stands; the operation is one of ``operations_at``.
        index: the step that is done.
        phase: its phase.
        confirmed: whether all confirmations are in (read under the run's lock); matters after the last step.
    """
    if phase is Phase.UNDO:
        if place.fork:
            return _undoing(definition, place.cursor, place.fork & ~(1 << index), Due.LEASE)
        return _undoing(definition, index, 0, Due.LEASE)
    if phase is Phase.CONFIRM:
        return _confirming_from(definition, index + 1, Due.LEASE)
    stage = definition.stages[index]
    if len(stage) > 1:
        fork = place.fork | 1 << index
        if fork != _bits(stage):
            after = Place(place.state, place.cursor, fork)
            return after, branches_at(definition, after)
    if place.state is State.CONFIRMING:
        return _confirming_from(definition, stage.stop, Due.LEASE)
    if stage.stop < definition.before_pivot:
        return Place(place.state, stage.stop), Due.LEASE
    return place_at_pivot(definition, confirmed=confirmed)


def branches_at(definition: Definition, place: Place) -> Branches:
    """When a run is due that stands at a fork."""
    return Branches(len(operations_at(definition, place)))


def place_to_confirm(definition: Definition, *, before: State) -> tuple[Place, Due | float]:
    """Where a run goes when its last confirmation has come and all its steps before the pivot are done."""
    after, _ = _confirming_from(definition, 0, NOW)
    if after.state is State.CONFIRMING:
        return after, NOW
    # An AWAITING_CONFIRM run does not succeed at once: the next claim finds that nothing is left to do.
    return (after, Due.NEVER) if before is State.EXECUTING else (Place(State.CONFIRMING, 0), NOW)


def place_at_pivot(definition: Definition, *, confirmed: bool) -> tuple[Place, Due | float]:
    """Where a run goes that has all steps before the pivot behind it: done, or skipped."""
    if not confirmed:
        return Place(State.AWAITING_CONFIRM, definition.before_pivot), Due.DEADLINE
    return place_to_confirm(definition, before=State.EXECUTING)


def place_to_undo(definition: Definition, place: Place, more: int = 0) -> tuple[Place, Due | float]:
    """Where an undecided run goes when it is to be undone: to the last effect that can be undone.

    Args:
        definition: the run's saga.
        place: where it stands.
        more: bits of the positions of what is to be undone besides the steps that are done: what takes back a
            confirmation that came, operations that were begun.
    """
    applied = place.cursor if place.state is not State.PENDING else 0
    # Of a fork, what is done. Another database may have an effect of which nothing is known: it is undone by its key.
    fork = sum(
        1 << index
        for index in (definition.stages[applied] if applied < definition.before_pivot else ())
        if definition.has_operation(index, Phase.UNDO)
        and (place.fork >> index & 1 or (place.state is State.EXECUTING and _is_in_other_database(definition, index)))
    )
    after, _ = _undoing(definition, applied, fork | more, NOW)
    # A run becomes COMPENSATING before it becomes FAILED, even if the next claim finds nothing to undo.
    return (after if after.state is State.COMPENSATING else Place(State.COMPENSATING, 0)), NOW


def _is_refund(definition: Definition, index: int) -> bool:
    return index >= len(definition.steps)


def final_place(place: Place) -> Place:
    """The final state of a run that has nothing left to do in its phase."""
    return Place(State.FAILED if place.state is State.COMPENSATING else State.SUCCEEDED, place.cursor)


def _is_in_other_database(definition: Definition, index: int) -> bool:
    return definition.all_steps[index].location is Location.OTHER_DATABASE


def _branches(definition: Definition, place: Place) -> tuple[tuple[int, Phase], ...]:
    """The forward operations of the stage at the cursor that are not done."""
    return tuple((index, Phase.FORWARD) for index in definition.stages[place.cursor] if not place.fork >> index & 1)


def _bits(stage: range) -> int:
    return sum(1 << index for index in stage)


def _undoing(definition: Definition, below: int, fork: int, due: Due | float) -> tuple[Place, Due | float]:
    """Where a run stands that has to undo the steps of ``fork``, and then those that are done before ``below``."""
    if fork:
        return Place(State.COMPENSATING, below, fork), due
    last = _undoes_below(definition, below)
    return (Place(State.FAILED, 0), Due.NEVER) if last is None else (Place(State.COMPENSATING, last + 1), due)


def _confirming_from(definition: Definition, cursor: int, due: Due | float) -> tuple[Place, Due | float]:
    """Where a run stands whose steps before ``cursor`` are confirmed."""
    index = _confirms_from(definition, cursor)
    if index is None:
        index = max(cursor, definition.before_pivot)
    if index == len(definition.steps):
        return Place(State.SUCCEEDED, index), Due.NEVER
    return Place(State.CONFIRMING, index), due


def _confirms_from(definition: Definition, cursor: int) -> int | None:
    """The step that is confirmed next."""
    return next((index for index in definition.confirmed_steps if index >= cursor), None)


def _undoes_below(definition: Definition, cursor: int) -> int | None:
    """The step that is undone next, of those before ``cursor``, which are all done."""
    return next((index for index in definition.undone_steps if index < cursor), None)
