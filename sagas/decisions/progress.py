"""How far each step of a run has come, as its log says. Pure.

A row of the log says how one operation ended (DONE, REJECTED, FAULT), or that it was begun (INTENT, ACCEPTED). One
attempt may have several rows. When a person resumes a run, its attempts are counted from 1 again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from sagas.definition.participants import Operation
from sagas.states import FINAL, State


class StepState(StrEnum):
    """The state of a step, as people read it."""

    #: Nothing of it was begun.
    WAITING = "waiting"
    #: A call of a participant in another system is under way.
    CALLING = "being called"
    #: The participant has accepted it, and will report how it ended.
    ACCEPTED = "waiting for its report"
    #: Its effect is there.
    DONE = "done"
    #: What it asked for is held: neither confirmed nor cancelled.
    HELD = "held"
    #: Its effect is final.
    CONFIRMED = "confirmed"
    #: The participant has rejected it.
    REJECTED = "rejected"
    #: An attempt of it has failed. It is tried again, or the run is escalated.
    FAILING = "failing"
    #: It was given up, and the run is undone for this or for another reason.
    FAILED = "failed"
    #: Its effect is undone, or there was none.
    COMPENSATED = "compensated"
    #: The run has left it out from its start.
    SKIPPED = "skipped"
    #: It had not ended when a person resolved its run.
    RESOLVED = "ended by hand"


_AFTER = {
    Operation.FORWARD: StepState.DONE,
    Operation.TRY: StepState.HELD,
    Operation.CONFIRM: StepState.CONFIRMED,
    Operation.CANCEL: StepState.COMPENSATED,
    Operation.COMPENSATE: StepState.COMPENSATED,
}
_FORWARD = frozenset({Operation.FORWARD, Operation.TRY})
#: States that a late answer to a forward operation does not change.
_BEHIND_FORWARD = frozenset({StepState.DONE, StepState.HELD, StepState.CONFIRMED, StepState.COMPENSATED})
_OPEN = frozenset({StepState.CALLING, StepState.ACCEPTED, StepState.FAILING})
#: The state of a step, by the outcome of a row that says that an operation was begun.
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
    """How far one step of a run has come.

    Attributes:
        state: the state of the step.
        started_at: when its first operation was begun or performed.
        finished_at: when an operation of it last ended, with whatever outcome.
        attempts: number of attempts of all its operations.
        failed: number of failed attempts of the operation that is failing, since a person last resumed the run.
        error: data of the row that says why it was rejected, or why it is failing.
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
        """Take the next row of the step into account."""
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
        """Count attempts from 1 again: a person has resumed the run."""
        self._seen = set()
        self.failed = 0

    def ended(self, state: State, *, turned_back: bool) -> None:
        """Set the state of a step that has not ended, in a run that has ended or is being undone.

        Args:
            state: of the run.
            turned_back: whether the run is or was being undone, even if it is escalated now.
        """
        if self.state not in _OPEN:
            return
        forward = self.operation in _FORWARD
        if self.state is StepState.FAILING and forward and turned_back and state is not State.SUCCEEDED:
            # No attempts are left, or no time.
            self.state = StepState.FAILED
        elif state in FINAL:
            # A forward operation without a report, and with nothing to undo, is given up as well.
            given_up = forward and state is State.FAILED
            self.state = StepState.FAILED if given_up else StepState.RESOLVED


def of_steps(
    names: Iterable[str],
    entries: Iterable[Entry],
    state: State,
    *,
    turned_back: bool,
    skipped: Collection[str] = (),
) -> dict[str, Progress]:
    """Return how far each of these steps has come.

    Args:
        names: of the steps, in order.
        entries: the run's log, oldest first.
        state: of the run.
        turned_back: whether it is or was being undone.
        skipped: those of the steps that the run leaves out.
    """
    steps = {name: Progress(StepState.SKIPPED if name in skipped else StepState.WAITING) for name in names}
    for entry in entries:
        if entry.outcome == "EVENT":
            for step in steps.values() if entry.operation == "resume" else ():
                step.resumed()
        elif entry.step in steps:
            steps[entry.step].follow(entry)
    for step in steps.values():
        step.ended(state, turned_back=turned_back)
    return steps
