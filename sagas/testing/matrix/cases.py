"""What can go wrong around one operation of a saga, and the cases which that makes. Pure.

A case is one run in which one operation meets with one trouble. It says by which way the run comes to the operation,
and how it must end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from sagas.definition.definition import Definition
from sagas.definition.participants import Phase, is_remote
from sagas.definition.retry import Again
from sagas.definition.saga import Saga
from sagas.states import CARRIERS, State
from sagas.testing.scenario.faults import Broken


class Trouble(StrEnum):
    """What goes wrong. The words are those of the cases' ids."""

    REJECTS = "rejects"
    RAISES_ONCE = "raises-once"
    RAISES = "raises"
    #: The effect was made, and whoever asked for it saw a fault.
    ANSWER_LOST_ONCE = "raises-once-after-the-effect"
    ANSWER_LOST = "raises-after-the-effect"
    DIES_BEFORE = "dies-before-the-commit"
    DIES_AFTER = "dies-after-the-commit"
    TWICE = "delivered-twice"
    #: A copy comes when the run has ended: of a forward operation, after its undo.
    LATE = "delivered-late"
    #: Messages for every other operation of the saga come before it.
    OUT_OF_ORDER = "delivered-out-of-order"


#: A process is killed: what it has committed must last, so these cases need a test that commits.
DEADLY = (Trouble.DIES_BEFORE, Trouble.DIES_AFTER)
#: The fault that is put around the participant, and whether it hits every attempt.
_ONCE = (Trouble.RAISES_ONCE, Trouble.ANSWER_LOST_ONCE)
_ALWAYS = (Trouble.RAISES, Trouble.ANSWER_LOST)


class Way(StrEnum):
    """How a run comes by an operation, and where it ends if nothing goes wrong."""

    #: Everything is confirmed.
    GOES_ON = "goes on"
    #: It is cancelled while it waits for its confirmations.
    CANCELLED = "cancelled"
    #: The last step that can be undone says no.
    REFUSED = "refused"
    #: The same, after its confirmations have come early.
    REFUNDED = "refunded"
    #: The first branch of the fork at the end breaks, and says no at its next attempt, when the others are done.
    BRANCHED_OFF = "branched off"


@dataclass(frozen=True, slots=True)
class Case:
    """One operation that meets with one trouble.

    Attributes:
        saga: the saga.
        index: position of the step.
        phase: of the operation.
        trouble: what goes wrong.
        carrier: how cohorts travel.
        way: how the run comes there.
        ends: how it must end.
        database: of a process that dies: at a commit in which database.
        commit: at which one, from 1.
    """

    saga: type[Saga[Any]]
    index: int
    phase: Phase
    trouble: Trouble
    carrier: str
    way: Way
    ends: State
    database: str = DEFAULT_DB_ALIAS
    commit: int = 1

    @property
    def step(self) -> str:
        """Name of the step."""
        return self.saga.definition.all_steps[self.index].name

    @property
    def operation(self) -> str:
        """Name of the operation."""
        return self.saga.definition.all_steps[self.index].actions[self.phase].operation.value

    @property
    def what(self) -> str:
        """What goes wrong, in words that tell commits apart."""
        where = f"-in-{self.database}" if self.database != DEFAULT_DB_ALIAS else ""
        which = f"-{self.commit}" if self.commit > 1 else ""
        return f"{self.trouble}{which}{where}"

    @property
    def attempts(self) -> int | None:
        """How many attempts break; ``None`` for all."""
        return 1 if self.trouble in _ONCE else None

    @property
    def calls_a_person(self) -> bool:
        """Whether somebody has to mend it and resume the run: it breaks for good where nothing can be turned back."""
        forward = self.phase is Phase.FORWARD and self.index < self.saga.definition.before_pivot
        return self.trouble in _ALWAYS and not forward

    @property
    def shows_what_is_left(self) -> bool:
        """Whether what a run that has failed leaves is looked for: once for each step that is undone, and each way."""
        return self.ends is State.FAILED and self.trouble in {Trouble.REJECTS, Trouble.TWICE}

    @property
    def story(self) -> str:
        """How the run must end, and by whom it must be helped."""
        return f"ESCALATED; resumed: {self.ends}" if self.calls_a_person else str(self.ends)

    @property
    def deadly(self) -> bool:
        """Whether a process is killed."""
        return self.trouble in DEADLY

    @property
    def commits(self) -> bool:
        """Whether the test must commit: for a process that is killed, or around a call of another system."""
        return self.deadly or has_remote(self.saga.definition)

    def __str__(self) -> str:
        """Name it as a test is called."""
        return f"{self.step}.{self.operation}-{self.what}-{self.carrier}"


def cases(saga: type[Saga[Any]], *, carriers: Sequence[str] = CARRIERS) -> list[Case]:
    """Every operation of a saga with every trouble that it can meet with, under each carrier."""
    definition = saga.definition
    return [
        case
        for carrier in carriers
        for index, step in enumerate(definition.all_steps)
        for phase in step.actions
        for case in _of(saga, index, phase, carrier)
    ]


def _of(saga: type[Saga[Any]], index: int, phase: Phase, carrier: str) -> Iterator[Case]:
    definition = saga.definition
    back = _way_back(definition, index)
    may_turn_back = phase is Phase.FORWARD and index < definition.before_pivot
    way = back if phase is Phase.UNDO else Way.GOES_ON
    if way is None:
        return  # the last step of a saga without a confirmation: nothing undoes it
    ends = State.FAILED if phase is Phase.UNDO else State.SUCCEEDED
    for trouble in Trouble:
        if trouble is Trouble.REJECTS:
            if may_turn_back:
                yield Case(saga, index, phase, trouble, carrier, Way.GOES_ON, State.FAILED)
        elif trouble in DEADLY:
            for database, commit in _commits(definition, index, phase):
                yield Case(saga, index, phase, trouble, carrier, way, ends, database, commit)
        elif trouble in _ALWAYS and may_turn_back:
            yield Case(saga, index, phase, trouble, carrier, Way.GOES_ON, State.FAILED)
        elif trouble in _ONCE and not _is_tried_again(definition, index, phase):
            continue
        elif trouble is Trouble.LATE and may_turn_back:
            if back is not None:
                yield Case(saga, index, phase, trouble, carrier, back, State.FAILED)
        else:
            yield Case(saga, index, phase, trouble, carrier, way, ends)


def _way_back(definition: Definition, index: int) -> Way | None:
    """How a run can be made to undo what this step has done."""
    last = definition.before_pivot - 1
    if index >= len(definition.steps):
        return Way.REFUNDED
    if index > last:
        return None
    if definition.confirmations:
        return Way.CANCELLED
    if index < last:
        return Way.REFUSED
    fork = definition.stage(last)
    return Way.BRANCHED_OFF if len(fork) > 1 and _is_tried_again(definition, fork.start, Phase.FORWARD) else None


def _is_tried_again(definition: Definition, index: int, phase: Phase) -> bool:
    retry = definition.all_steps[index].actions[phase].retry
    return isinstance(retry.decide(1, Broken(), spread=0), Again)


def _commits(definition: Definition, index: int, phase: Phase) -> list[tuple[str, int]]:
    """The commits of one delivery of an operation: the database of each, and its number there."""
    step = definition.all_steps[index]
    if is_remote(step.actions[phase].participant):
        return [(DEFAULT_DB_ALIAS, 1), (DEFAULT_DB_ALIAS, 2)]
    return [(step.database, 1)] * bool(step.database) + [(DEFAULT_DB_ALIAS, 1)]


def has_remote(definition: Definition) -> bool:
    """Whether another system has a part in a saga: what is asked of it cannot be taken back with a transaction."""
    return any(is_remote(action.participant) for step in definition.all_steps for action in step.actions.values())
