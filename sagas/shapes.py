"""What runs depend on in a definition: the steps in their order, what each does, and what the run waits for.

A run keeps the shape it began with, and says which it is by its number. Pure: whether code of one shape can serve a
run of another is decided here, and not stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Self

from sagas.participant import Operation, Phase
from sagas.personal import Path, Paths
from sagas.states import UNDECIDED, State


@dataclass(frozen=True, slots=True)
class StepShape:
    """One step: name, queue, its operation in each phase in which it takes part, what of its results is personal."""

    name: str
    queue: str
    operations: Mapping[Phase, Operation]
    personal: Paths = frozenset()


@dataclass(frozen=True, slots=True)
class ConfirmationShape:
    """One confirmation, how many seconds it may take, and what of its data is personal."""

    name: str
    within: float
    personal: Paths = frozenset()


@dataclass(frozen=True)
class Shape:
    """What a run depends on in its definition.

    Attributes:
        steps: in execution order.
        confirmations: all must come.
        personal: where personal data stands in the request.
    """

    steps: tuple[StepShape, ...]
    confirmations: tuple[ConfirmationShape, ...]
    personal: Paths = frozenset()

    @cached_property
    def number(self) -> int:
        """32 bits of a hash: what runs and messages name the shape by. Never 0, which stands for an unknown one.

        Queues, times and marks of personal data are no part of it: they may change under a run's feet.
        """
        essence = [
            [[step.name, sorted(step.operations.items())] for step in self.steps],
            [confirmation.name for confirmation in self.confirmations],
        ]
        digest = blake2b(json.dumps(essence).encode(), digest_size=4).digest()
        return int.from_bytes(digest, signed=True) or 1

    def dump(self) -> str:
        """Write it as JSON, for the table of definitions."""
        return json.dumps(
            {
                "steps": [
                    {"name": s.name, "queue": s.queue, "operations": dict(s.operations), "personal": _write(s.personal)}
                    for s in self.steps
                ],
                "confirmations": [
                    {"name": c.name, "within": c.within, "personal": _write(c.personal)} for c in self.confirmations
                ],
                "personal": _write(self.personal),
            }
        )

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """Read it from parsed JSON."""
        return cls(
            tuple(
                StepShape(
                    s["name"],
                    s["queue"],
                    {Phase(p): Operation(o) for p, o in s["operations"].items()},
                    _read(s["personal"]),
                )
                for s in stored["steps"]
            ),
            tuple(ConfirmationShape(c["name"], c["within"], _read(c["personal"])) for c in stored["confirmations"]),
            _read(stored["personal"]),
        )


def _write(paths: Paths) -> list[Path]:
    return sorted(paths)


def _read(stored: Sequence[Sequence[str]]) -> Paths:
    return frozenset(tuple(path) for path in stored)


def lacks(shape: Shape, here: Shape | None, state: State, cursor: int) -> list[str]:
    """Say what a run of ``shape`` that stands at (state, cursor) still needs and code of shape ``here`` has not.

    What lies behind the run is not missed: a step that is done, and needs neither confirm nor undo any more. A step
    that the code has added, or has in another place, is no problem: the run goes on by its own list.

    Args:
        shape: the run's.
        here: the code's; ``None`` where it does not know the saga at all.
        state: where the run stands; for an escalated run, where it stood before.
        cursor: see ``models.Run``.
    """
    mine = {step.name: step.operations for step in here.steps} if here else {}
    missing = [
        f"step {step.name} is gone"
        if step.name not in mine
        else f"step {step.name} has lost its {step.operations[phase]}"
        for step, phase in _needed(shape, state, cursor)
        if mine.get(step.name, {}).get(phase) != step.operations[phase]
    ]
    if state in UNDECIDED:
        known = {confirmation.name for confirmation in here.confirmations} if here else set()
        missing += [f"confirmation {c.name} is gone" for c in shape.confirmations if c.name not in known]
    return list(dict.fromkeys(missing))


def _needed(shape: Shape, state: State, cursor: int) -> Iterator[tuple[StepShape, Phase]]:
    """The operations that a run may still come by."""
    for index, step in enumerate(shape.steps):
        for phase in step.operations:
            match phase:
                case Phase.FORWARD:
                    ahead = state is State.PENDING or (state is State.EXECUTING and index >= cursor)
                case Phase.CONFIRM:
                    ahead = state in UNDECIDED or (state is State.CONFIRMING and index >= cursor)
                case Phase.UNDO:
                    ahead = state in UNDECIDED or (state is State.COMPENSATING and index < cursor)
            if ahead:
                yield step, phase
