"""What a step is shown as, for every history of its log and every state of its run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from sagas import State
from sagas.decisions.progress import Progress, StepState, of_steps
from sagas.definition.participants import Operation
from sagas.states import FINAL

EXECUTING, AWAITING, CONFIRMING = State.EXECUTING, State.AWAITING_CONFIRM, State.CONFIRMING
BACK, FAILED, SUCCEEDED, ESCALATED = State.COMPENSATING, State.FAILED, State.SUCCEEDED, State.ESCALATED
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Row:
    step: str
    operation: str
    outcome: str
    attempt: int
    at: datetime
    data: Any = None


def log(history: str) -> list[Row]:
    """Rows of "operation OUTCOME [attempt]", with commas between; "resume" is an event of the run."""
    rows = []
    for number, line in enumerate(part.split() for part in history.split(",") if part.strip()):
        at = START + timedelta(seconds=number)
        if line == ["resume"]:
            rows.append(Row("", "resume", "EVENT", 1, at))
        elif line[0] == "event":
            rows.append(Row("one", line[1], "EVENT", 1, at, {"outcome": "DONE", "operation": "forward"}))
        else:
            broke = {"kind": "fault", "code": "Boom", "detail": "boom"} if line[1] in {"FAULT", "REJECTED"} else None
            rows.append(Row("one", line[0], line[1], int(line[2]) if len(line) > 2 else 1, at, broke))
    return rows


def shown(history: str, state: State, *, back: bool | None = None) -> Progress:
    turned_back = state in {BACK, FAILED} if back is None else back
    return of_steps(["one"], log(history), state, turned_back=turned_back)["one"]


FIVE = ", ".join(f"compensate FAULT {n}" for n in range(1, 6))


@pytest.mark.parametrize(
    ("history", "state", "expected", "attempts", "failed"),
    [
        # Forward
        ("", State.PENDING, "waiting", 0, 0),
        ("", EXECUTING, "waiting", 0, 0),
        ("", FAILED, "waiting", 0, 0),
        ("forward DONE", EXECUTING, "done", 1, 0),
        ("try DONE", AWAITING, "held", 1, 0),
        ("forward REJECTED", BACK, "rejected", 1, 0),
        ("forward REJECTED", FAILED, "rejected", 1, 0),
        ("forward FAULT", EXECUTING, "failing", 1, 1),
        ("forward FAULT, forward FAULT 2", EXECUTING, "failing", 2, 2),
        ("forward FAULT, forward DONE 2", EXECUTING, "done", 2, 0),
        ("forward FAULT, forward FAULT 2", BACK, "failed", 2, 2),
        ("forward FAULT, forward FAULT 2", FAILED, "failed", 2, 2),
        # Accepted: one attempt, however many rows it has
        ("forward ACCEPTED", EXECUTING, "waiting for its report", 1, 0),
        ("forward ACCEPTED, forward DONE", EXECUTING, "done", 1, 0),
        ("try ACCEPTED, try DONE", EXECUTING, "held", 1, 0),
        ("forward ACCEPTED, forward REJECTED", FAILED, "rejected", 1, 0),
        ("forward ACCEPTED, forward FAULT", EXECUTING, "failing", 1, 1),
        ("forward ACCEPTED, forward FAULT, forward ACCEPTED 2", EXECUTING, "waiting for its report", 2, 1),
        ("forward ACCEPTED, forward FAULT, forward ACCEPTED 2, forward DONE 2", EXECUTING, "done", 2, 0),
        ("forward FAULT, forward ACCEPTED 2", EXECUTING, "waiting for its report", 2, 1),
        ("forward ACCEPTED", BACK, "waiting for its report", 1, 0),
        ("forward ACCEPTED", FAILED, "failed", 1, 0),
        ("forward ACCEPTED, compensate DONE", FAILED, "compensated", 2, 0),
        ("forward ACCEPTED, forward FAULT, forward DONE", EXECUTING, "done", 1, 0),
        ("try DONE, confirm ACCEPTED", CONFIRMING, "waiting for its report", 2, 0),
        ("try DONE, confirm ACCEPTED, confirm DONE", SUCCEEDED, "confirmed", 2, 0),
        ("try DONE, cancel ACCEPTED", BACK, "waiting for its report", 2, 0),
        ("try DONE, cancel ACCEPTED, cancel DONE", FAILED, "compensated", 2, 0),
        # A call of another system
        ("forward INTENT", EXECUTING, "being called", 1, 0),
        ("forward INTENT, forward DONE", EXECUTING, "done", 1, 0),
        ("forward INTENT, event not_yet, forward INTENT, forward DONE", EXECUTING, "done", 1, 0),
        ("forward INTENT, forward FAULT", EXECUTING, "failing", 1, 1),
        ("forward INTENT, forward FAULT, forward INTENT 2", EXECUTING, "being called", 2, 1),
        ("forward INTENT, forward FAULT, forward INTENT 2, forward DONE 1", EXECUTING, "done", 2, 0),
        ("forward INTENT, forward FAULT, forward INTENT 2", FAILED, "failed", 2, 1),
        ("forward INTENT", BACK, "being called", 1, 0),
        ("forward INTENT, forward FAULT, compensate INTENT", BACK, "being called", 2, 0),
        ("forward INTENT, forward FAULT, compensate INTENT, compensate DONE", FAILED, "compensated", 2, 0),
        # Undone, confirmed
        ("forward DONE, compensate DONE", FAILED, "compensated", 2, 0),
        ("try DONE, cancel DONE", BACK, "compensated", 2, 0),
        ("try DONE, confirm DONE", SUCCEEDED, "confirmed", 2, 0),
        ("forward DONE", BACK, "done", 1, 0),
        ("try DONE", BACK, "held", 1, 0),
        ("forward DONE, compensate FAULT", BACK, "failing", 2, 1),
        ("forward DONE, compensate FAULT, compensate DONE 2", FAILED, "compensated", 3, 0),
        ("try DONE, confirm FAULT", CONFIRMING, "failing", 2, 1),
        ("forward FAULT, compensate DONE", FAILED, "compensated", 2, 0),
        ("forward FAULT, compensate FAULT", BACK, "failing", 2, 1),
        # What comes late changes nothing
        ("forward DONE, compensate DONE, forward DONE 2", FAILED, "compensated", 3, 0),
        ("forward DONE, forward FAULT 2", EXECUTING, "done", 2, 0),
        ("try DONE, confirm DONE, try REJECTED 2", SUCCEEDED, "confirmed", 3, 0),
        ("event late_answer", ESCALATED, "waiting", 0, 0),
        # A person has it
        (f"forward DONE, {FIVE}", ESCALATED, "failing", 6, 5),
        (f"forward DONE, {FIVE}, resume", BACK, "failing", 6, 0),
        (f"forward DONE, {FIVE}, resume, compensate FAULT 1", BACK, "failing", 7, 1),
        (f"forward DONE, {FIVE}, resume, compensate DONE 1", FAILED, "compensated", 7, 0),
        (f"forward DONE, {FIVE}", FAILED, "ended by hand", 6, 5),
        ("try DONE, confirm FAULT", ESCALATED, "failing", 2, 1),
        ("try DONE, confirm FAULT", SUCCEEDED, "ended by hand", 2, 1),
        ("try DONE, confirm ACCEPTED", SUCCEEDED, "ended by hand", 2, 0),
        ("forward FAULT, forward FAULT 2", SUCCEEDED, "ended by hand", 2, 2),
        ("forward INTENT", SUCCEEDED, "ended by hand", 1, 0),
    ],
)
def test_each_step_has_the_expected_status(
    history: str, state: State, expected: str, attempts: int, failed: int
) -> None:
    step = shown(history, state)
    assert (step.state.value, step.attempts, step.failed) == (expected, attempts, failed)
    assert step.error is None or step.state in {
        StepState.REJECTED,
        StepState.FAILING,
        StepState.FAILED,
        StepState.RESOLVED,
    }


def test_a_step_out_of_attempts_keeps_its_status_during_an_escalation() -> None:
    assert shown("forward FAULT", ESCALATED, back=True).state is StepState.FAILED
    assert shown("forward FAULT", ESCALATED, back=False).state is StepState.FAILING


OUTCOMES = ["INTENT", "ACCEPTED", "DONE", "REJECTED", "FAULT"]
ROWS = [f"{operation.value} {outcome}" for operation in Operation for outcome in OUTCOMES]


@pytest.mark.parametrize("state", list(State))
def test_every_step_has_a_status_and_no_step_of_an_ended_run_is_under_way(state: State) -> None:
    for length in (1, 2, 3):
        for rows in product(ROWS, repeat=length):
            history = ", ".join(f"{row} {number}" for number, row in enumerate(rows, start=1))
            step = shown(history, state)
            assert step.attempts == length
            assert step.started_at == START
            under_way = {StepState.CALLING, StepState.ACCEPTED, StepState.FAILING}
            assert step.state is not StepState.WAITING
            assert state not in FINAL or step.state not in under_way, history
            # An attempt has one row or two, and counts once
            doubled = ", ".join(f"{row} 1" for row in (rows[0], rows[0]))
            assert shown(doubled, state).attempts == 1
        if length == 2 and state not in FINAL:
            break


def test_steps_without_a_log_row_are_waiting() -> None:
    steps = of_steps(["zero", "one"], log("forward DONE"), EXECUTING, turned_back=False)
    assert [(name, step.state.value) for name, step in steps.items()] == [("zero", "waiting"), ("one", "done")]
    assert (steps["one"].started_at, steps["one"].finished_at) == (START, START)
    begun = shown("forward ACCEPTED", EXECUTING)
    assert (begun.started_at, begun.finished_at) == (START, None)
