"""What the engine thinks a person should do."""

from __future__ import annotations

import json

import pytest

from sagas import State
from sagas.decisions.reasons import ReasonKind, write_reason
from sagas.decisions.remedies import CHILD_ENDED, NO_PROGRESS, UNKNOWN_SAGA, suggest

SECRET = "password=hunter2"


@pytest.mark.parametrize(
    ("state", "kind", "code", "said"),
    [
        (
            State.COMPENSATING,
            ReasonKind.FAULT,
            "Boom",
            "The undo of two.compensate keeps failing. Mend its cause, then resume",
        ),
        (State.CONFIRMING, ReasonKind.FAULT, "Boom", "past its confirmation and only goes forward"),
        (State.EXECUTING, ReasonKind.STUCK, NO_PROGRESS, "See that workers run and consume this step's queue"),
        (State.PENDING, ReasonKind.STUCK, UNKNOWN_SAGA, "Deploy it"),
        (State.COMPENSATING, ReasonKind.BREAKER, "Boom", "its breaker is open"),
        (State.COMPENSATING, ReasonKind.FAULT, CHILD_ENDED, "is confirmed; this run wants it undone"),
        (State.CONFIRMING, ReasonKind.FAULT, CHILD_ENDED, "is undone; this run wants it confirmed"),
        (State.PENDING, ReasonKind.UNREADABLE, "ValidationError", "its request does not load any more"),
        (State.EXECUTING, ReasonKind.REJECTED, "Odd", "Mend the cause of two.compensate, then resume."),
    ],
)
def test_a_remedy_names_the_repair_and_quotes_no_error_text(
    state: State, kind: ReasonKind, code: str, said: str
) -> None:
    suggestion = suggest(state, "two", "compensate", write_reason(kind, "two", code, SECRET))
    assert said in suggestion
    assert "resume" in suggestion
    assert SECRET not in suggestion


def test_a_remedy_exists_for_any_form_of_error() -> None:
    assert suggest(State.EXECUTING, "", "", "{}") == "Mend the cause of the step at which it stands, then resume."
    assert "then resume" in suggest(State.COMPENSATING, "", "", json.dumps("text"))
