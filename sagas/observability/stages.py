"""The stages of a saga in their order: on the way forward, and on the way back. Pure.

A stage is a kind of row of the log: an operation of a step (``step.operation``), an event in the life of a run, or
``claim``, the time until a worker took it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sagas.definition.definition import Definition
from sagas.definition.participants import Operation

#: Events that turn a run back.
_TURNS = ("expire", "refuse", "timeout", "cancel", "compensate")
_BEGINS = ("start", "claim")
_FORWARD = frozenset({Operation.FORWARD.value, Operation.TRY.value})
_BACKWARD = frozenset({Operation.COMPENSATE.value, Operation.CANCEL.value})


@dataclass(frozen=True, slots=True)
class Stages:
    """Names of stages, in the order in which a run comes to them."""

    forward: tuple[str, ...]
    backward: tuple[str, ...]


def in_order(names: Iterable[str], definition: Definition | None) -> Stages:
    """Put stages in order.

    Args:
        names: those that were counted. Steps that the definition does not have come last.
        definition: the saga; ``None`` if it is not known here.
    """
    steps = [step.name for step in definition.all_steps] if definition is not None else []
    places = {name: place for place, name in enumerate(steps)}
    forward: list[tuple[int, int, str]] = []
    backward: list[tuple[int, int, str]] = []
    for name in set(names):
        step, dot, operation = name.rpartition(".")
        place = places.get(step, len(steps))
        if not dot and name in _TURNS:
            backward.append((0, _TURNS.index(name), name))
        elif not dot:
            forward.append((0, _BEGINS.index(name), name) if name in _BEGINS else (2, 0, name))
        elif operation in _BACKWARD:
            # The last step is undone first.
            backward.append((1, -place, name))
        else:
            forward.append((1 if operation in _FORWARD else 3, place, name))
    return Stages(*(tuple(name for _, _, name in sorted(part)) for part in (forward, backward)))
