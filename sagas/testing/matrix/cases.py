"""The cases of the matrix: each operation of a saga with each trouble that can occur around it. Pure.

A case is one run in which one operation has one trouble. The case says how the run gets to that operation, and how the
run must end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from sagas.definition.definition import Definition
from sagas.definition.participants import Location, Phase
from sagas.definition.retry import Again
from sagas.definition.saga import Saga
from sagas.states import CARRIERS, State
from sagas.testing.scenario.faults import Broken


class Trouble(StrEnum):
    """What goes wrong. The values are used in the ids of cases."""

    REJECTS = "rejects"
    RAISES_ONCE = "raises-once"
    RAISES = "raises"
    #: The operation took effect, but its caller saw a fault.
    ANSWER_LOST_ONCE = "raises-once-after-the-effect"
    ANSWER_LOST = "raises-after-the-effect"
    DIES_BEFORE = "dies-before-the-commit"
    DIES_AFTER = "dies-after-the-commit"
    TWICE = "delivered-twice"
    #: A copy of the message comes after the run has ended: that of a forward operation, after its undo.
    LATE = "delivered-late"
    #: Messages for all other operations of the saga come first.
    OUT_OF_ORDER = "delivered-out-of-order"


#: A process is killed. Its commits must last, so these cases need a test that commits.
DEADLY = (Trouble.DIES_BEFORE, Trouble.DIES_AFTER)
#: Faults that are injected into the participant, for the first attempt or for all attempts.
_ONCE = (Trouble.RAISES_ONCE, Trouble.ANSWER_LOST_ONCE)
_ALWAYS = (Trouble.RAISES, Trouble.ANSWER_LOST)


class Way(StrEnum):
    """How a run gets to an operation, if nothing goes wrong."""

    #: The run is confirmed.
    GOES_ON = "goes on"
    #: The run is cancelled while it waits for its confirmations.
    CANCELLED = "cancelled"
    #: The last step that can be undone is rejected.
    REFUSED = "refused"
    #: The same, after the confirmations have come early.
    REFUNDED = "refunded"
    #: The last stage is parallel: its first branch fails once and is then rejected, when the other branches are done.
    BRANCHED_OFF = "branched off"


@dataclass(frozen=True, slots=True)
class Case:
    """One operation with one trouble.

    Attributes:
        saga: the saga.
        index: position of the step.
        phase: phase of the operation.
        trouble: what goes wrong.
        carrier: how cohorts travel.
        way: how the run gets to the operation.
        ends: the state in which the run must end.
        database: for a killed process: the database of the commit at which it is killed.
        commit: number of that commit, from 1.
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
        """The trouble, with the commit and its database where they matter."""
        where = f"-in-{self.database}" if self.database != DEFAULT_DB_ALIAS else ""
        which = f"-{self.commit}" if self.commit > 1 else ""
        return f"{self.trouble}{which}{where}"

    @property
    def attempts(self) -> int | None:
        """Number of attempts that fail; ``None`` for all."""
        return 1 if self.trouble in _ONCE else None

    @property
    def calls_a_person(self) -> bool:
        """Whether the run is escalated and must be resumed: its operation always fails, and cannot be turned back."""
        forward = self.phase is Phase.FORWARD and self.index < self.saga.definition.before_pivot
        return self.trouble in _ALWAYS and not forward

    @property
    def shows_what_is_left(self) -> bool:
        """Whether rows that a failed run leaves are reported: in one case for each undone step and each way."""
        return self.ends is State.FAILED and self.trouble in {Trouble.REJECTS, Trouble.TWICE}

    @property
    def story(self) -> str:
        """The expected end of the run, with an escalation if there must be one."""
        return f"ESCALATED; resumed: {self.ends}" if self.calls_a_person else str(self.ends)

    @property
    def deadly(self) -> bool:
        """Whether a process is killed."""
        return self.trouble in DEADLY

    @property
    def commits(self) -> bool:
        """Whether the test must commit, because a process is killed or another system is called."""
        return self.deadly or has_remote(self.saga.definition)

    def __str__(self) -> str:
        """The id of the case's test."""
        return f"{self.step}.{self.operation}-{self.what}-{self.carrier}"


def cases(saga: type[Saga[Any]], *, carriers: Sequence[str] = CARRIERS) -> list[Case]:
    """List every operation of a saga with every trouble that is possible for it, under each carrier."""
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
    compensatable = phase is Phase.FORWARD and index < definition.before_pivot
    way = back if phase is Phase.UNDO else Way.GOES_ON
    if way is None:
        return  # nothing undoes the last step of a saga without confirmations
    ends = State.FAILED if phase is Phase.UNDO else State.SUCCEEDED
    for trouble in Trouble:
        if trouble is Trouble.REJECTS:
            if compensatable:
                yield Case(saga, index, phase, trouble, carrier, Way.GOES_ON, State.FAILED)
        elif trouble in DEADLY:
            for database, commit in _commits(definition, index, phase):
                yield Case(saga, index, phase, trouble, carrier, way, ends, database, commit)
        elif trouble in _ALWAYS and compensatable:
            yield Case(saga, index, phase, trouble, carrier, Way.GOES_ON, State.FAILED)
        elif trouble in _ONCE and not _is_tried_again(definition, index, phase):
            continue
        elif trouble is Trouble.LATE and compensatable:
            if back is not None:
                yield Case(saga, index, phase, trouble, carrier, back, State.FAILED)
        else:
            yield Case(saga, index, phase, trouble, carrier, way, ends)


def _way_back(definition: Definition, index: int) -> Way | None:
    """Find a way in which a run undoes this step after the step is done."""
    last = definition.before_pivot - 1
    if index >= len(definition.steps):
        return Way.REFUNDED
    if index > last:
        return None
    if definition.confirmations:
        return Way.CANCELLED
    if index < last:
        return Way.REFUSED
    fork = definition.stages[last]
    return Way.BRANCHED_OFF if len(fork) > 1 and _is_tried_again(definition, fork.start, Phase.FORWARD) else None


def _is_tried_again(definition: Definition, index: int, phase: Phase) -> bool:
    retry = definition.all_steps[index].actions[phase].retry
    return isinstance(retry.decide(1, Broken(), spread=0), Again)


def _commits(definition: Definition, index: int, phase: Phase) -> list[tuple[str, int]]:
    """List the commits of one delivery of an operation, each as database and number."""
    step = definition.all_steps[index]
    if step.actions[phase].location is Location.REMOTE:
        return [(DEFAULT_DB_ALIAS, 1), (DEFAULT_DB_ALIAS, 2)]
    return [(step.database, 1)] * bool(step.database) + [(DEFAULT_DB_ALIAS, 1)]


def has_remote(definition: Definition) -> bool:
    """Whether a saga has a remote participant, whose effects no rollback takes back."""
    return any(action.location is Location.REMOTE for step in definition.all_steps for action in step.actions.values())
