"""The definition that a run follows if the code has changed since the run began."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import TypeAdapter

from sagas.definition.confirmations import Confirmation, missing_deadline, missing_key
from sagas.definition.definition import Definition
from sagas.definition.participants import Location
from sagas.definition.shapes import ConfirmationShape, Shape, StepShape
from sagas.definition.steps import FINISH_RETRY, Action, Refund, Step, missing_participant
from sagas.states import ORCHESTRATION


def definition_for_shape(name: str, version: int, shape: Shape, here: Definition | None) -> Definition:
    """Make the definition that a run of ``shape`` follows if the code has another shape, or does not know the saga.

    Args:
        name: the saga's name.
        version: the saga's version.
        shape: the run's shape: exactly its steps in their order, with their operations, its forks and its pivot.
        here: the code's definition of this name and version, which has the participants.
    """
    steps = {step.name: step for step in here.steps} if here else {}
    confirmations = {c.name: c for c in here.confirmations} if here else {}
    followed = tuple(
        _follow_step(s, steps.get(s.name) or Step(missing_participant, queue=s.queue)) for s in shape.steps
    )
    for step in followed[shape.pivot :]:
        step.place_behind_pivot()
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
        compressed=here.compressed if here else False,
        # Data that was marked as personal when the run began stays so.
        personal=shape.personal | (here.personal if here else frozenset()),
        skipped=shape.skipped,
    )


StepT = TypeVar("StepT", bound=Step)


def _follow_step(shape: StepShape, here: StepT) -> StepT:
    step = copy.copy(here)
    step.name = shape.name
    step.personal |= shape.personal
    # An effect that may be in another database is undone there, whatever the code has become since.
    if shape.in_other_database:
        step.location = Location.OTHER_DATABASE
    # If the code's step is in another database now, it would look for this run's effect in the wrong place: such an
    # operation is not taken over.
    step.database = shape.database
    step.actions = {
        phase: here.actions[phase]
        if phase in here.actions and here.actions[phase].operation == operation and here.database == shape.database
        else Action(operation, missing_participant, FINISH_RETRY, step.location)
        for phase, operation in shape.operations.items()
    }
    return step


def _follow_confirmation(shape: ConfirmationShape, here: Confirmation | None) -> Confirmation:
    if here is not None and here.is_shared == shape.shared:
        confirmation = copy.copy(here)
    elif shape.shared:
        confirmation = Confirmation(decided_by=missing_key)
    elif shape.within is not None:
        confirmation = Confirmation(within=timedelta(seconds=shape.within))
    else:
        confirmation = Confirmation(until=missing_deadline)
    confirmation.name = shape.name
    confirmation.personal |= shape.personal
    confirmation.refund = None
    if shape.refund is not None:
        known = here.refund if here else None
        gone = Refund(missing_participant, queue=shape.refund.queue, finish_retry=FINISH_RETRY)
        confirmation.refund = _follow_step(shape.refund, known or gone)
    return confirmation
