"""``Shape``: the part of a definition on which runs depend: steps, operations, confirmations. Pure.

A run keeps the shape with which it began, and stores its number. Whether code of one shape can perform a run of another
shape is decided here, and is not stored.
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
    """A step: its name, its queue, its operation in each phase, and what is personal in its results.

    ``in_other_database`` says whether its effect is in another database, and ``database`` in which.
    """

    name: str
    queue: str
    operations: Mapping[Phase, Operation]
    personal: Paths = frozenset()
    in_other_database: bool = False
    database: str = ""


@dataclass(frozen=True, slots=True)
class ConfirmationShape:
    """A confirmation: its name, its time in seconds, what is personal in its data, and the step that takes it back.

    ``within`` is ``None`` if the deadline is computed from the request, and if it is ``shared``: then there is none.
    """

    name: str
    within: float | None
    personal: Paths = frozenset()
    refund: StepShape | None = None
    shared: bool = False

    @property
    def essence(self) -> list[object]:
        """What is a part of the shape's number. Shapes of before, which have no shared decisions, keep theirs."""
        return [self.name, self.refund is not None, *([True] if self.shared else [])]


@dataclass(frozen=True)
class Shape:
    """The part of a definition on which a run depends.

    Attributes:
        steps: in execution order.
        confirmations: all must come.
        forks: the positions of steps that are performed at the same time.
        pivot: the number of steps that can be undone or are the pivot; the others only go forward.
        personal: the paths of personal data in the request.
        skipped: the steps that its runs leave out, each with its position among all that are declared.
    """

    steps: tuple[StepShape, ...]
    confirmations: tuple[ConfirmationShape, ...]
    forks: tuple[range, ...]
    pivot: int
    personal: Paths = frozenset()
    skipped: tuple[tuple[int, str], ...] = ()

    @cached_property
    def all_steps(self) -> tuple[StepShape, ...]:
        """The steps, and after them the steps that take confirmations back. Positions count in this tuple."""
        return self.steps + tuple(c.refund for c in self.confirmations if c.refund is not None)

    @cached_property
    def number(self) -> int:
        """32 bits of a hash, by which runs and messages name the shape. It is never 0, which means an unknown shape.

        Queues, times and marks of personal data are no part of it: they may change while runs are in progress.
        """
        essence = [
            [[step.name, sorted(step.operations.items()), step.database] for step in self.steps],
            [confirmation.essence for confirmation in self.confirmations],
            [[fork.start, fork.stop] for fork in self.forks],
            self.pivot,
            # Only where there are some: the shapes of sagas without them keep their numbers.
            *([[name for _, name in self.skipped]] if self.skipped else []),
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
                        "shared": c.shared,
                    }
                    for c in self.confirmations
                ],
                "forks": [[fork.start, fork.stop] for fork in self.forks],
                "pivot": self.pivot,
                "personal": _write(self.personal),
                "skipped": [list(one) for one in self.skipped],
            }
        )

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """Read it from parsed JSON."""
        return cls(
            tuple(_read_step(step) for step in stored["steps"]),
            tuple(
                ConfirmationShape(
                    c["name"],
                    c["within"],
                    _read(c["personal"]),
                    _read_step(c["refund"]) if c["refund"] else None,
                    c.get("shared", False),
                )
                for c in stored["confirmations"]
            ),
            tuple(range(start, stop) for start, stop in stored["forks"]),
            stored["pivot"],
            _read(stored["personal"]),
            tuple((position, name) for position, name in stored.get("skipped", ())),
        )


def _write_step(step: StepShape) -> dict[str, Any]:
    return {
        "name": step.name,
        "queue": step.queue,
        "operations": dict(step.operations),
        "personal": _write(step.personal),
        "elsewhere": step.in_other_database,
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
    """Say what a run that stands at (state, cursor, fork) still needs and the code lacks.

    A step that is done, and needs neither confirm nor undo any more, is not needed. A step that the code has added or
    moved is no problem: the run keeps its own list of steps.

    Args:
        shape: the run's shape.
        here: the code's shape; ``None`` if the code does not know the saga.
        state: the run's state; for an escalated run, its state before.
        cursor: see ``models.Run``.
        fork: see ``models.Run``.
    """
    # By name, and by whether it takes a confirmation back: a step may have got the name of a confirmation.
    mine = {_kind(here, index): step for index, step in enumerate(here.all_steps)} if here else {}
    missing: list[str] = []
    for index, phase in _needed(shape, state, cursor, fork):
        step, kind = shape.all_steps[index], _kind(shape, index)
        known = mine.get(kind)
        if known is not None and known.database != step.database:
            # Its undo would not find the effect in the other database, and would conclude that it never happened.
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
        there = {confirmation.name: confirmation for confirmation in here.confirmations} if here else {}
        missing += [lack for c in shape.confirmations if (lack := _lack(c, there.get(c.name)))]
    return list(dict.fromkeys(missing))


def _lack(mine: ConfirmationShape, here: ConfirmationShape | None) -> str:
    """What the code lacks to let this confirmation come, or be too late; '' if nothing."""
    if here is None:
        return f"confirmation {mine.name} is gone"
    if mine.shared and not here.shared:
        return f"confirmation {mine.name} is not decided by a key any more"
    if here.shared and not mine.shared and mine.within is None:
        return f"confirmation {mine.name} has lost its deadline"
    return ""


def _called(database: str) -> str:
    return f"the database {database!r}" if database else "the engine's database"


def _kind(shape: Shape, index: int) -> tuple[str, bool]:
    return shape.all_steps[index].name, index >= len(shape.steps)


def _needed(shape: Shape, state: State, cursor: int, fork: int) -> Iterator[tuple[int, Phase]]:
    """The operations that a run may still need. ``sagas.decisions.plan`` says which one is next."""
    for index, step in enumerate(shape.all_steps):
        # In COMPENSATING a bit means that the step is still to undo; else it means that the branch is done.
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
                    # An undecided run may still be undone, with every step that it does until then.
                    ahead = state in UNDECIDED or (state is State.COMPENSATING and (marked or index < cursor))
            if ahead:
                yield index, phase
