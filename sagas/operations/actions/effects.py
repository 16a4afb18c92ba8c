"""What the engine does from a place on: the operations, their participants, and where the run ends. Nothing is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from django.utils.translation import gettext

from sagas.decisions import plan
from sagas.decisions.plan import Place
from sagas.definition.definition import Definition
from sagas.definition.participants import Operation, participant_name
from sagas.states import FINAL, State


@dataclass(frozen=True, slots=True)
class Effect:
    """One operation that the engine would perform.

    Attributes:
        step: the step's name; of a confirmation that is given back, the confirmation's.
        operation: the operation.
        participant: who performs it, as the log names it.
    """

    step: str
    operation: str
    participant: str

    @property
    def words(self) -> str:
        """The step, with what is done in it: the participant's name, or the operation of a resource."""
        said = self.participant.rpartition(".")[2].replace("_", " ").strip()
        named = self.operation == Operation.COMPENSATE and said.isascii() and said.replace(" ", "").isalnum()
        return f"{self.step} ({said if named else gettext(self.operation)})"

    def as_json(self) -> dict[str, str]:
        """As the audit entry has it."""
        return asdict(self)


def effects_from(definition: Definition, place: Place) -> tuple[list[Effect], State]:
    """The operations from a place on, as long as the run stays in its state, and the state that follows.

    Branches that are performed at the same time are listed one after the other.
    """
    found: list[Effect] = []
    if place.state is State.PENDING:
        place = Place(State.EXECUTING, place.cursor)
    state = place.state
    while place.state is state and (operations := plan.operations_at(definition, place)):
        index, phase = operations[0]
        step = definition.all_steps[index]
        action = step.actions[phase]
        found.append(Effect(step.name, action.operation, participant_name(action.participant)))
        place, _ = plan.place_after(definition, place, index, phase, confirmed=False)
    if place.state is state and state not in {State.EXECUTING, State.AWAITING_CONFIRM}:
        return found, plan.final_place(place).state if state not in FINAL else state
    return found, place.state


def next_effects(definition: Definition, place: Place) -> list[Effect]:
    """The operations that the run performs next: one, one for each branch of a fork, or none."""
    return [
        Effect(link.step, link.operation, participant_name(definition.action(index, phase).participant))
        for index, phase in plan.operations_at(definition, place)
        for link in [plan.link(definition, index, phase)]
    ]


def refunds_of(definition: Definition, effects: Sequence[Effect]) -> list[Effect]:
    """Those of the effects that give back what has confirmed the run."""
    names = definition.confirmation_names
    return [effect for effect in effects if effect.step in names]
