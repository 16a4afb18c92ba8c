"""Checks the log of an ended run: all or nothing."""

from __future__ import annotations

from uuid import UUID

from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.models import Log
from sagas.states import State


def all_or_nothing(definition: Definition, run_id: UUID, state: State) -> list[str]:
    """List violations in the log of an ended run: effects that are missing, doubled, not undone or out of order."""
    log = Log.objects.filter(run_id=run_id, outcome="DONE").order_by("id").values_list("step", "operation")
    phases = {
        (step.name, action.operation.value): (index, phase)
        for index, step in enumerate(definition.all_steps)
        for phase, action in step.actions.items()
    }
    done = [phases[effect] for effect in log]
    wrong = [f"{_name(definition, *effect)} took effect twice" for effect in {e for e in done if done.count(e) > 1}]
    forward = {index for index, phase in done if phase is Phase.FORWARD}
    undone = [index for index, phase in done if phase is Phase.UNDO]
    confirmed = {index for index, phase in done if phase is Phase.CONFIRM}
    everything = range(len(definition.steps))
    if state is State.SUCCEEDED:
        wrong += [f"{_name(definition, i, Phase.FORWARD)} is missing" for i in everything if i not in forward]
        needed = {i for i in everything if definition.has_operation(i, Phase.CONFIRM)}
        wrong += [f"{_name(definition, i, Phase.CONFIRM)} is missing" for i in sorted(needed - confirmed)]
        wrong += [f"{_name(definition, i, Phase.UNDO)} in a run that has succeeded" for i in undone]
        return wrong
    undoable = {i for i in forward if definition.has_operation(i, Phase.UNDO)}
    wrong += [f"{_name(definition, i, Phase.FORWARD)} was not undone" for i in sorted(undoable - set(undone))]
    wrong += [f"{_name(definition, i, Phase.CONFIRM)} in a run that has failed" for i in sorted(confirmed)]
    if undone != sorted(undone, reverse=True):
        wrong.append(f"undone in another order than backwards: {[definition.all_steps[i].name for i in undone]}")
    return wrong


def _name(definition: Definition, index: int, phase: Phase) -> str:
    step = definition.all_steps[index]
    return f"{step.name}.{step.actions[phase].operation}"
