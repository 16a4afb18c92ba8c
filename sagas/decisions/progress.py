"""How far each step of a run has come, by the run's log. Pure.

A row of the log says how one operation ended (DONE, REJECTED, FAULT), or that it was begun (INTENT, ACCEPTED). The
rows of one attempt are one attempt, however many there are; after a resume attempts are counted from 1 again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from sagas.definition.participants import Operation
from sagas.states import FINAL, State


class StepState(StrEnum):
    """What a step is, for people."""

    #: Nothing of it was begun.
    WAITING = "waiting"
    #: A call of a participant in another system is under way.
    CALLING = "being called"
    #: It was accepted, and somebody will report how it ended.
    ACCEPTED = "waiting for its report"
    #: Its effect is there.
    DONE = "done"
    #: What it asked for is held, and neither taken nor given back.
    HELD = "held"
    #: Its effect is final.
    CONFIRMED = "confirmed"
    #: It said no.
    REJECTED = "rejected"
    #: An attempt of it broke, and it is tried again, or a person has it.
    FAILING = "failing"
    #: It was given up, and the run is undone for it or for something else.
    FAILED = "failed"
    #: Its effect is taken back, or there was none.
    COMPENSATED = "compensated"
    #: It was not at an end when a person ended its run.
    RESOLVED = "ended by hand"


_AFTER = {
    Operation.FORWARD: StepState.DONE,
    Operation.TRY: StepState.HELD,
    Operation.CONFIRM: StepState.CONFIRMED,
    Operation.CANCEL: StepState.COMPENSATED,
    Operation.COMPENSATE: StepState.COMPENSATED,
}
_FORWARD = frozenset({Operation.FORWARD, Operation.TRY})
#: What no answer to a forward operation changes any more: it comes late.
_BEHIND_FORWARD = frozenset({StepState.DONE, StepState.HELD, StepState.CONFIRMED, StepState.COMPENSATED})
_OPEN = frozenset({StepState.CALLING, StepState.ACCEPTED, StepState.FAILING})
#: Outcomes of rows that say how an operation ended, or that it was begun.
_BEGUN = {"INTENT": StepState.CALLING, "ACCEPTED": StepState.ACCEPTED}


class Entry(Protocol):
    """A row of the log."""

    step: str
    operation: str
    outcome: str
    attempt: int
    at: datetime
    data: Any


@dataclass(slots=True)
class Progress:
    """One step of a run, as far as it came.

    Attributes:
        state: what it is.
        started_at: when its first operation was begun or performed.
        finished_at: when an operation of it last ended, one way or the other.
        attempts: attempts of its operations.
        failed: attempts of the operation that is failing which have failed, since a person has last resumed the run.
        error: data of the row that says why it was rejected, or is failing.
    """

    state: StepState = StepState.WAITING
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: int = 0
    failed: int = 0
    error: Mapping[str, Any] | None = None
    operation: str = ""
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def follow(self, entry: Entry) -> None:
        """Take the next row of the step's."""
        self.started_at = self.started_at or entry.at
        if (entry.operation, entry.attempt) not in self._seen:
            self._seen.add((entry.operation, entry.attempt))
            self.attempts += 1
        if entry.outcome not in _BEGUN:
            self.finished_at = entry.at
        if entry.operation in _FORWARD and self.state in _BEHIND_FORWARD:
            return
        if entry.operation != self.operation:
            self.operation, self.failed = entry.operation, 0
        self.error = None
        if entry.outcome == "DONE":
            self.state, self.failed = _AFTER[Operation(entry.operation)], 0
        elif entry.outcome in _BEGUN:
            self.state = _BEGUN[entry.outcome]
        else:
            self.state = StepState.REJECTED if entry.outcome == "REJECTED" else StepState.FAILING
            self.failed += self.state is StepState.FAILING
            self.error = entry.data

    def resumed(self) -> None:
        """A person has resumed the run: attempts are counted anew."""
        self._seen = set()
        self.failed = 0

    def ended(self, state: State, *, turned_back: bool) -> None:
        """Say what a step is that has not come to an end, in a run that has, or is on its way back.

        Args:
            state: of the run.
            turned_back: whether it was turned back, though a person may have it now.
        """
        if self.state not in _OPEN:
            return
        forward = self.operation in _FORWARD
        if self.state is StepState.FAILING and forward and turned_back and state is not State.SUCCEEDED:
            # Its attempts, or the run's time, are used up.
            self.state = StepState.FAILED
        elif state in FINAL:
            # What nobody has reported of a forward operation, where there is nothing to undo, is given up as well.
            given_up = forward and state is State.FAILED
            self.state = StepState.FAILED if given_up else StepState.RESOLVED


def of_steps(names: Iterable[str], entries: Iterable[Entry], state: State, *, turned_back: bool) -> dict[str, Progress]:
    """How far each of these steps has come.

    Args:
        names: of the steps, in order.
        entries: the run's log, oldest first.
        state: of the run.
        turned_back: whether it is or was being undone.
    """
    steps = {name: Progress() for name in names}
    for entry in entries:
        if entry.outcome == "EVENT":
            for step in steps.values() if entry.operation == "resume" else ():
                step.resumed()
        elif entry.step in steps:
            steps[entry.step].follow(entry)
    for step in steps.values():
        step.ended(state, turned_back=turned_back)
    return steps
