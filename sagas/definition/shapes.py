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

from sagas.definition.participants import Operation, Phase
from sagas.definition.personal_data import Path, Paths
from sagas.states import UNDECIDED, State


@dataclass(frozen=True, slots=True)
class StepShape:
    """One step: name, queue, its operation in each phase in which it takes part, what of its results is personal.

    ``elsewhere``: whether its effect is in another system; see ``Step``. ``database``: in which, if not the engine's.
    """

    name: str
    queue: str
    operations: Mapping[Phase, Operation]
    personal: Paths = frozenset()
    elsewhere: bool = False
    database: str = ""


@dataclass(frozen=True, slots=True)
class ConfirmationShape:
    """One confirmation, how many seconds it may take, what of its data is personal, and what takes it back.

    ``within`` is ``None`` where the time is computed from the request.
    """

    name: str
    within: float | None
    personal: Paths = frozenset()
    refund: StepShape | None = None


@dataclass(frozen=True)
class Shape:
    """What a run depends on in its definition.

    Attributes:
        steps: in execution order.
        confirmations: all must come.
        forks: the positions of steps that are performed at the same time.
        pivot: how many steps can be undone, or are the pivot: the others only go forward.
        personal: where personal data stands in the request.
    """

    steps: tuple[StepShape, ...]
    confirmations: tuple[ConfirmationShape, ...]
    forks: tuple[range, ...]
    pivot: int
    personal: Paths = frozenset()

    @cached_property
    def all_steps(self) -> tuple[StepShape, ...]:
        """The steps, and behind them what takes confirmations back: a position counts in this."""
        return self.steps + tuple(c.refund for c in self.confirmations if c.refund is not None)

    @cached_property
    def number(self) -> int:
        """32 bits of a hash: what runs and messages name the shape by. Never 0, which stands for an unknown one.

        Queues, times and marks of personal data are no part of it: they may change under a run's feet.
        """
        essence = [
            [[step.name, sorted(step.operations.items()), step.database] for step in self.steps],
            [[confirmation.name, confirmation.refund is not None] for confirmation in self.confirmations],
            [[fork.start, fork.stop] for fork in self.forks],
            self.pivot,
        ]
        digest = blake2b(json.dumps(essence).encode(), digest_size=4).digest()
        return int.from_bytes(digest, signed=True) or 1

    def dump(self) -> str:
        """Write it as JSON, for the table of definitions."""
        return json.dumps(
            {
                "steps": [_write_step(step) for step in self.steps],
                "confirmations": [
                    {
                        "name": c.name,
                        "within": c.within,
                        "personal": _write(c.personal),
                        "refund": c.refund and _write_step(c.refund),
                    }
                    for c in self.confirmations
                ],
                "forks": [[fork.start, fork.stop] for fork in self.forks],
                "pivot": self.pivot,
                "personal": _write(self.personal),
            }
        )

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """Read it from parsed JSON."""
        return cls(
            tuple(_read_step(step) for step in stored["steps"]),
            tuple(
                ConfirmationShape(
                    c["name"], c["within"], _read(c["personal"]), _read_step(c["refund"]) if c["refund"] else None
                )
                for c in stored["confirmations"]
            ),
            tuple(range(start, stop) for start, stop in stored["forks"]),
            stored["pivot"],
            _read(stored["personal"]),
        )


def _write_step(step: StepShape) -> dict[str, Any]:
    return {
        "name": step.name,
        "queue": step.queue,
        "operations": dict(step.operations),
        "personal": _write(step.personal),
        "elsewhere": step.elsewhere,
        "database": step.database,
    }


def _read_step(stored: Mapping[str, Any]) -> StepShape:
    operations = {Phase(phase): Operation(operation) for phase, operation in stored["operations"].items()}
    return StepShape(
        stored["name"],
        stored["queue"],
        operations,
        _read(stored["personal"]),
        stored["elsewhere"],
        stored.get("database", ""),
    )


def _write(paths: Paths) -> list[Path]:
    return sorted(paths)


def _read(stored: Sequence[Sequence[str]]) -> Paths:
    return frozenset(tuple(path) for path in stored)


def missing_parts(shape: Shape, here: Shape | None, state: State, cursor: int, fork: int = 0) -> list[str]:
    """Say what a run of ``shape`` that stands at (state, cursor, fork) still needs and code of shape ``here`` has not.

    What lies behind the run is not missed: a step that is done, and needs neither confirm nor undo any more. A step
    that the code has added, or has in another place, is no problem: the run goes on by its own list.

    Args:
        shape: the run's.
        here: the code's; ``None`` where it does not know the saga at all.
        state: where the run stands; for an escalated run, where it stood before.
        cursor: see ``models.Run``.
        fork: see ``models.Run``.
    """
    # By name and whether it takes a confirmation back: a step may have taken a confirmation's name.
    mine = {_kind(here, index): step for index, step in enumerate(here.all_steps)} if here else {}
    missing: list[str] = []
    for index, phase in _needed(shape, state, cursor, fork):
        step, kind = shape.all_steps[index], _kind(shape, index)
        known = mine.get(kind)
        if known is not None and known.database != step.database:
            # Its undo would look for the effect where it is not, and take it for one that never happened.
            missing.append(f"step {step.name} was in {_called(step.database)}, and is in {_called(known.database)}")
        elif known is not None and known.operations.get(phase) == step.operations[phase]:
            continue
        elif kind[1]:
            missing.append(f"confirmation {step.name} has lost its {step.operations[phase]}")
        elif known is None:
            missing.append(f"step {step.name} is gone")
        else:
            missing.append(f"step {step.name} has lost its {step.operations[phase]}")
    if state in UNDECIDED:
        names = {confirmation.name for confirmation in here.confirmations} if here else set()
        missing += [f"confirmation {c.name} is gone" for c in shape.confirmations if c.name not in names]
    return list(dict.fromkeys(missing))


def _called(database: str) -> str:
    return f"the database {database!r}" if database else "the engine's database"


def _kind(shape: Shape, index: int) -> tuple[str, bool]:
    return shape.all_steps[index].name, index >= len(shape.steps)


def _needed(shape: Shape, state: State, cursor: int, fork: int) -> Iterator[tuple[int, Phase]]:
    """The operations that a run may still come by; ``sagas.decisions.plan`` says which of them is next."""
    for index, step in enumerate(shape.all_steps):
        # While COMPENSATING it is to be undone; else it is done, and the branches beside it are not.
        marked = bool(fork >> index & 1)
        behind_pivot = index >= shape.pivot
        for phase in step.operations:
            match phase:
                case Phase.FORWARD:
                    ahead = (
                        state is State.PENDING
                        or (state is State.EXECUTING and index >= cursor and not marked)
                        or (state is State.AWAITING_CONFIRM and behind_pivot)
                        or (state is State.CONFIRMING and behind_pivot and index >= cursor and not marked)
                    )
                case Phase.CONFIRM:
                    ahead = state in UNDECIDED or (state is State.CONFIRMING and index >= cursor)
                case Phase.UNDO:
                    # An undecided run may be turned back: whatever it has done by then is undone.
                    ahead = state in UNDECIDED or (state is State.COMPENSATING and (marked or index < cursor))
            if ahead:
                yield index, phase
