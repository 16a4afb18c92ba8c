"""The cases of the matrix: each operation of a saga with each fault that can occur around it. Pure.

A case is one run in which one operation has one fault. The case says how the run gets to that operation, and how the
run must end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from sagas.definition.definition import Definition
from sagas.definition.participants import Location, Phase
from sagas.definition.retry import Again
from sagas.definition.saga import Saga
from sagas.definition.variants import variant_without
from sagas.states import CARRIERS, State
from sagas.testing.scenario.faults import Broken


class InjectedFault(StrEnum):
    """What goes wrong. The values are used in the ids of cases."""

    REJECTS = "rejects"
    RAISES_ONCE = "raises-once"
    RAISES = "raises"
    #: The operation took effect, but its caller saw a fault.
    ANSWER_LOST_ONCE = "raises-once-after-the-effect"
    ANSWER_LOST = "raises-after-the-effect"
    KILLED_BEFORE = "killed-before-the-commit"
    KILLED_AFTER = "killed-after-the-commit"
    #: The same without a broker: the process performs a whole chain, no message comes again, and the lease lapses.
    LOST_BEFORE = "killed-before-the-commit-without-a-broker"
    LOST_AFTER = "killed-after-the-commit-without-a-broker"
    TWICE = "delivered-twice"
    #: A copy of the message comes after the run has ended: that of a forward operation, after its undo.
    LATE = "delivered-late"
    #: Messages for all other operations of the saga come first.
    OUT_OF_ORDER = "delivered-out-of-order"


#: A process is killed. Its commits must last, so these cases need a test that commits.
KILLING = (
    InjectedFault.KILLED_BEFORE,
    InjectedFault.KILLED_AFTER,
    InjectedFault.LOST_BEFORE,
    InjectedFault.LOST_AFTER,
)
#: Those without a broker.
WITHOUT_BROKER = (InjectedFault.LOST_BEFORE, InjectedFault.LOST_AFTER)
#: Faults that are injected into the participant, for the first attempt or for all attempts.
_ONCE = (InjectedFault.RAISES_ONCE, InjectedFault.ANSWER_LOST_ONCE)
_ALWAYS = (InjectedFault.RAISES, InjectedFault.ANSWER_LOST)


class RunPath(StrEnum):
    """How a run gets to an operation, if nothing goes wrong."""

    #: The run is confirmed.
    CONFIRMED = "confirmed"
    #: The run is cancelled while it waits for its confirmations.
    CANCELLED = "cancelled"
    #: The last step that can be undone is rejected.
    REJECTED = "rejected"
    #: The same, after the confirmations have come early.
    REFUNDED = "refunded"
    #: The last stage is parallel: its first branch fails once and is then rejected, when the other branches are done.
    BRANCH_REJECTED = "branch rejected"


@dataclass(frozen=True, slots=True)
class Case:
    """One operation with one fault.

    Attributes:
        definition: what its run follows: that of the saga, without the steps that the run skips.
        index: position of the step.
        phase: phase of the operation.
        fault: what goes wrong.
        carrier: how cohorts travel.
        path: how the run gets to the operation.
        final_state: the state in which the run must end.
        database: for a killed process: the database of the commit at which it is killed.
        commit: number of that commit, from 1.
    """

    definition: Definition
    index: int
    phase: Phase
    fault: InjectedFault
    carrier: str
    path: RunPath
    final_state: State
    database: str = DEFAULT_DB_ALIAS
    commit: int = 1

    @property
    def step(self) -> str:
        """Name of the step."""
        return self.definition.all_steps[self.index].name

    @property
    def operation(self) -> str:
        """Name of the operation."""
        return self.definition.all_steps[self.index].actions[self.phase].operation.value

    @property
    def fault_id(self) -> str:
        """The fault, with the commit and its database where they matter."""
        where = f"-in-{self.database}" if self.database != DEFAULT_DB_ALIAS else ""
        which = f"-{self.commit}" if self.commit > 1 else ""
        return f"{self.fault}{which}{where}"

    @property
    def attempts(self) -> int | None:
        """Number of attempts that fail; ``None`` for all."""
        return 1 if self.fault in _ONCE else None

    @property
    def escalates(self) -> bool:
        """Whether the run is escalated and must be resumed, because its operation always fails and cannot be undone."""
        forward = self.phase is Phase.FORWARD and self.index < self.definition.before_pivot
        return self.fault in _ALWAYS and not forward

    @property
    def reports_remnants(self) -> bool:
        """Whether rows that a failed run leaves are reported: in one case for each undone step and each path."""
        return self.final_state is State.FAILED and self.fault in {InjectedFault.REJECTS, InjectedFault.TWICE}

    @property
    def expected(self) -> str:
        """The expected end of the run, with an escalation if there must be one."""
        return f"ESCALATED; resumed: {self.final_state}" if self.escalates else str(self.final_state)

    @property
    def kills_process(self) -> bool:
        """Whether a process is killed."""
        return self.fault in KILLING

    @property
    def commits(self) -> bool:
        """Whether the test must commit, because a process is killed or another system is called."""
        return self.kills_process or has_remote(self.definition)

    def __str__(self) -> str:
        """The id of the case's test."""
        return f"{self.step}.{self.operation}-{self.fault_id}-{self.carrier}"


def cases(saga: type[Saga[Any]], *, carriers: Sequence[str] = CARRIERS, skips: Collection[str] = ()) -> list[Case]:
    """List every operation of a saga with every fault that is possible for it, under each carrier.

    ``skips`` names the steps that the runs skip.
    """
    definition = variant_without(saga.definition, skips)
    return [
        case
        for carrier in carriers
        for index, step in enumerate(definition.all_steps)
        for phase in step.actions
        for case in _cases_of_operation(definition, index, phase, carrier)
    ]


def _cases_of_operation(definition: Definition, index: int, phase: Phase, carrier: str) -> Iterator[Case]:
    undo_path = _undo_path(definition, index)
    compensatable = phase is Phase.FORWARD and index < definition.before_pivot
    path = undo_path if phase is Phase.UNDO else RunPath.CONFIRMED
    if path is None:
        return  # nothing undoes the last step of a saga without confirmations
    final_state = State.FAILED if phase is Phase.UNDO else State.SUCCEEDED
    for fault in InjectedFault:
        if fault is InjectedFault.REJECTS:
            if compensatable:
                yield Case(definition, index, phase, fault, carrier, RunPath.CONFIRMED, State.FAILED)
        elif fault in KILLING:
            commits = _commits(definition, index, phase)
            for database, commit in commits:
                if fault in WITHOUT_BROKER and commit > 1:
                    continue  # that of a remote call's answer, whatever the carrier
                yield Case(definition, index, phase, fault, carrier, path, final_state, database, commit)
        elif fault in _ALWAYS and compensatable:
            yield Case(definition, index, phase, fault, carrier, RunPath.CONFIRMED, State.FAILED)
        elif fault in _ONCE and not _is_tried_again(definition, index, phase):
            continue
        elif fault is InjectedFault.LATE and compensatable:
            if undo_path is not None:
                yield Case(definition, index, phase, fault, carrier, undo_path, State.FAILED)
        else:
            yield Case(definition, index, phase, fault, carrier, path, final_state)


def _undo_path(definition: Definition, index: int) -> RunPath | None:
    """Find a path on which a run undoes this step after the step is done."""
    last = definition.before_pivot - 1
    if index >= len(definition.steps):
        return RunPath.REFUNDED
    if index > last:
        return None
    if definition.confirmations:
        return RunPath.CANCELLED
    if index < last:
        return RunPath.REJECTED
    fork = definition.stages[last]
    return RunPath.BRANCH_REJECTED if len(fork) > 1 and _is_tried_again(definition, fork.start, Phase.FORWARD) else None


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
    """Whether a saga has a remote participant, whose effects cannot be rolled back."""
    return any(action.location is Location.REMOTE for step in definition.all_steps for action in step.actions.values())
