"""Every operation that is still ahead of a run, if nothing goes wrong from here. Pure.

``plan`` says what comes next. Here it is asked again and again, as if each operation were done and each confirmation
came.
"""

from __future__ import annotations

from dataclasses import dataclass

from sagas.decisions import plan
from sagas.decisions.plan import Place
from sagas.definition.definition import Definition
from sagas.states import FINAL, State

#: A definition has fewer operations: 63 steps, and three operations each at most.
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Ahead:
    """An operation that a run has not performed yet.

    Attributes:
        step: its step.
        operation: the operation.
        state: the state of the run in which it is performed.
    """

    step: str
    operation: str
    state: State


def operations_ahead(definition: Definition, place: Place) -> tuple[Ahead, ...]:
    """List what a run at ``place`` still has to do until it ends, in order; branches of a fork one after the other.

    The state of the place must be a live one: of an escalated run, that from which it was escalated.
    """
    found: list[Ahead] = []
    while place.state not in FINAL and len(found) < _MOST:
        if place.state is State.PENDING:
            place = Place(State.EXECUTING, place.cursor, place.fork)
        if place.state is State.AWAITING_CONFIRM:
            place, _ = plan.place_to_confirm(definition, before=State.AWAITING_CONFIRM)
        operations = plan.operations_at(definition, place)
        if not operations:
            place = _behind(definition, place)
            continue
        for index, phase in operations:
            step = definition.all_steps[index]
            found.append(Ahead(step.name, step.actions[phase].operation, place.state))
            place, _ = plan.place_after(definition, place, index, phase, confirmed=not definition.confirmations)
    return tuple(found)


def _behind(definition: Definition, place: Place) -> Place:
    """Where a run goes that has nothing to do where it stands: it skips all steps, or the next claim ends it."""
    if place.state is State.EXECUTING:
        return plan.place_at_pivot(definition, confirmed=not definition.confirmations)[0]
    return plan.final_place(place)
