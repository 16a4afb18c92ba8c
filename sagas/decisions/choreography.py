"""Choreography: which event leads to which operation. Pure.

Here no dispatcher says what comes next. The outcome of each operation is an event on a topic exchange, and each
domain's queue is bound to the events that its operations react to, forward and back. An event may reach queues that
have nothing to do for it: where the runs stand decides, as for every delivery.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache

from sagas.decisions.plan import link
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.errors import UnknownStep

#: One operation of a step: its position, and the phase.
Op = tuple[int, Phase]


def binding_key(definition: Definition, event: str) -> str:
    """The key that queues are bound with: ``<app>.<Saga>.<version>.<Event>``."""
    return f"{definition.name}.{definition.version}.{event}"


def done(definition: Definition, index: int, phase: Phase) -> str:
    """The event that an operation is done."""
    return definition.event_names.done(definition.all_steps[index].name, phase)


def rejected(definition: Definition, index: int) -> str:
    """The event that a step was rejected."""
    return definition.event_names.rejected(definition.all_steps[index].name)


def trigger(definition: Definition, index: int, phase: Phase) -> str:
    """The event that leads to an operation, for runs that begin, are decided or turned back, or were lost."""
    return _triggers(definition, index, phase)[0]


def reactions(definition: Definition) -> dict[str, list[Op]]:
    """For each event the operations that react to it."""
    return _reactions(definition)


def reacting(definition: Definition, event: str) -> list[Op]:
    """The operations that react to an event; ``UnknownStep`` if there is none."""
    try:
        return reactions(definition)[event]
    except KeyError:
        msg = f"nothing in {definition.name} version {definition.version} reacts to {event!r}"
        raise UnknownStep(msg) from None


def bindings(definition: Definition) -> set[tuple[str, str]]:
    """The bindings of the queues, as (queue, routing key), for runs that skip steps too."""
    return {
        (link(variant, index, phase).queue, binding_key(variant, event))
        for variant in definition.variants.values()
        for event, operations in reactions(variant).items()
        for index, phase in operations
    }


@cache
def _reactions(definition: Definition) -> dict[str, list[Op]]:
    found: dict[str, list[Op]] = defaultdict(list)
    for index, step in enumerate(definition.all_steps):
        for phase in step.actions:
            for event in _triggers(definition, index, phase):
                if (index, phase) not in found[event]:
                    found[event].append((index, phase))
    return dict(found)


def _triggers(definition: Definition, index: int, phase: Phase) -> list[str]:
    """The events that an operation reacts to. The first always comes before it."""
    if phase is Phase.UNDO:
        return [definition.event_names.turned_back, *_before_undo(definition, index)]
    if phase is Phase.CONFIRM:
        before = [i for i in range(index) if definition.has_operation(i, Phase.CONFIRM)]
        return [done(definition, before[-1], Phase.CONFIRM)] if before else [definition.event_names.confirmed]
    first = definition.stages[index].start
    if first == definition.before_pivot:
        before = [i for i in range(first) if definition.has_operation(i, Phase.CONFIRM)]
        return [done(definition, before[-1], Phase.CONFIRM)] if before else [definition.event_names.confirmed]
    if first == 0:
        return [definition.event_names.started]
    # The last branch of a fork that is done leads on.
    return [done(definition, i, Phase.FORWARD) for i in definition.stages[first - 1]]


def _before_undo(definition: Definition, index: int) -> list[str]:
    """The events of the rejections and undos that may come right before an undo."""
    events: list[str] = []
    refund = index >= len(definition.steps)
    for other in range(definition.before_pivot):
        stage = definition.stages[other]
        if refund or index in stage or index == _highest_below(definition, stage.start):
            events.append(rejected(definition, other))
    for other in range(index + 1, len(definition.all_steps)):
        if not definition.has_operation(other, Phase.UNDO):
            continue
        stage = definition.stages[other]
        if (
            other >= len(definition.steps)
            or (len(stage) > 1 and index in stage)
            or index == _highest_below(definition, stage.start)
        ):
            events.append(done(definition, other, Phase.UNDO))
    return events


def _highest_below(definition: Definition, index: int) -> int | None:
    return next((i for i in range(index - 1, -1, -1) if definition.has_operation(i, Phase.UNDO)), None)
