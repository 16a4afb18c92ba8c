"""One sentence about a run, for every state and every cause, in both languages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import translation

from sagas.decisions.ahead import Ahead
from sagas.decisions.reasons import ReasonKind
from sagas.operations.summary import Situation, Words, cause, summarise
from sagas.states import State

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
WORDS = Words(span=lambda length: f"{length.total_seconds():.0f} s", clock=lambda at: f"{at:%H:%M:%S}")
REJECTED = {"kind": "rejected", "step": "coupon", "code": "Used", "detail": "the coupon is used"}


def told(state: State, **more: Any) -> str:
    return summarise(Situation(state=state, age=timedelta(seconds=3), **more), WORDS)


def ahead(*places: str, state: State = State.EXECUTING) -> tuple[Ahead, ...]:
    return tuple(Ahead(step, operation, state) for step, operation in (place.split() for place in places))


@pytest.mark.parametrize(
    ("state", "more", "sentence"),
    [
        (
            State.PENDING,
            {"ahead": ahead("stock try")},
            "It was accepted 3 s ago and has not begun; next is stock try.",
        ),
        (
            State.PENDING,
            {"ahead": ahead("stock try"), "held_up": "waits in line at SKU-1"},
            "It was accepted 3 s ago and has not begun; before stock try it waits in line at SKU-1.",
        ),
        (
            State.PENDING,
            {"is_known": False},
            "It was accepted 3 s ago and has not begun; what comes next is not known here, because its saga is not "
            "declared.",
        ),
        (
            State.EXECUTING,
            {"done": 1, "count": 4, "ahead": ahead("a forward", "b forward"), "together": 2},
            "1 of 4 steps are done; next is a forward and b forward.",
        ),
        (
            State.EXECUTING,
            {
                "done": 1,
                "count": 4,
                "ahead": ahead("courier forward"),
                "failed": 2,
                "attempts": 3,
                "error": "Timeout: no answer",
                "next_attempt_at": NOON,
            },
            "1 of 4 steps are done; courier forward has failed 2 of 3 times (Timeout: no answer) and is tried again at "
            "12:00:00.",
        ),
        (
            State.EXECUTING,
            {"done": 1, "count": 1, "ahead": ahead("courier forward"), "calling_since": NOON},
            "1 of 1 step is done; courier forward has been under way in another system since 12:00:00.",
        ),
        (
            State.EXECUTING,
            {"done": 1, "count": 2, "ahead": ahead("courier forward"), "accepted_since": NOON},
            "1 of 2 steps are done; courier forward was accepted at 12:00:00, and its report is to come.",
        ),
        (
            State.AWAITING_CONFIRM,
            {"missing": ("payment",), "deadline": NOON},
            "All steps before its confirmation are done; it waits for payment until 12:00:00, and is undone if that "
            "does not come.",
        ),
        (
            State.AWAITING_CONFIRM,
            {"missing": ("payment", "group")},
            "All steps before its confirmation are done; it waits for payment and group.",
        ),
        (
            State.AWAITING_CONFIRM,
            {"is_child": True},
            "All steps before its confirmation are done; it waits for the run that it is a step of.",
        ),
        (
            State.CONFIRMING,
            {"done": 1, "count": 3, "ahead": ahead("stock confirm", state=State.CONFIRMING)},
            "It only goes forward now, and 1 of 3 operations of that are done; next is stock confirm.",
        ),
        (
            State.CONFIRMING,
            {"done": 3, "count": 3},
            "It only goes forward now, and 3 of 3 operations of that are done; a worker ends it when it looks at it "
            "next.",
        ),
        (
            State.COMPENSATING,
            {"reason": REJECTED, "done": 0, "count": 2, "ahead": ahead("stock cancel"), "failed": 1, "error": "Boom"},
            "coupon said no (the coupon is used), so it is being undone: 0 of 2 is undone; stock cancel has failed 1 "
            "times (Boom) and is tried again soon.",
        ),
        (
            State.ESCALATED,
            {"stopped_at": ("stock", "cancel"), "escalation": {"kind": "fault", "step": "stock", "code": "Boom"}},
            "It stopped at stock cancel: stock kept failing (Boom: Boom); it waits for a person, and nobody has taken "
            "it.",
        ),
        (
            State.ESCALATED,
            {"escalation": {"kind": "stuck"}, "assignee": "mei"},
            "No worker made progress with it; mei sees to it, and nothing moves until a person resumes or resolves it.",
        ),
        (State.SUCCEEDED, {}, "It succeeded after 3 s; nothing is left to do."),
        (
            State.SUCCEEDED,
            {"resolved_by": "mei", "note": "paid\nby hand"},
            "mei has ended it as succeeded (paid by hand); nothing is left to do.",
        ),
        (
            State.FAILED,
            {"reason": REJECTED, "has_undone": True},
            "coupon said no (the coupon is used), and everything that was done is undone; nothing is left to do.",
        ),
        (
            State.FAILED,
            {"reason": {"kind": "cancelled", "detail": "by the customer"}},
            "It was cancelled (by the customer), and there was nothing to undo; nothing is left to do.",
        ),
        (
            State.FAILED,
            {"resolved_by": "mei", "note": "refunded"},
            "mei has ended it as failed (refunded); nothing is left to do.",
        ),
    ],
)
def test_a_sentence_says_what_happened_and_what_is_next(state: State, more: dict[str, Any], sentence: str) -> None:
    assert told(state, **more) == sentence


CAUSES = [
    ({"kind": "rejected", "step": "stock", "detail": "sold out"}, "stock said no (sold out)"),
    ({"kind": "fault", "step": "stock", "code": "Boom", "detail": "x"}, "stock kept failing (Boom: x)"),
    ({"kind": "timeout", "step": "payment"}, "payment did not come in time"),
    ({"kind": "timeout", "step": "stock"}, "stock took too long"),
    ({"kind": "timeout", "step": ""}, "Its steps took too long"),
    ({"kind": "cancelled", "step": ""}, "It was cancelled"),
    ({"kind": "refused", "step": "payment", "detail": "no money"}, "payment was declined (no money)"),
    ({"kind": "resolved", "detail": "by hand"}, "A person has ended it (by hand)"),
    ({"kind": "breaker", "step": "stock", "detail": "x"}, "stock failed while its breaker was open (x)"),
    ({"kind": "stuck"}, "No worker made progress with it"),
    ({"kind": "unreadable", "detail": "x"}, "The engine cannot tell what comes next (x)"),
    ({"kind": "lost"}, "Its escalation was deleted and opened again"),
    ({"kind": "of a later version"}, "It was turned back"),
]


@pytest.mark.parametrize(("reason", "clause"), CAUSES, ids=[clause for _, clause in CAUSES])
def test_each_cause_is_a_clause(reason: dict[str, Any], clause: str) -> None:
    situation = Situation(state=State.COMPENSATING, age=timedelta(), reason=reason, confirmations=("payment",))
    assert cause(situation) == clause
    with translation.override("zh-hans"):
        assert not cause(situation).isascii()


def test_every_kind_of_reason_is_looked_at() -> None:
    assert {reason["kind"] for reason, _ in CAUSES} >= set(ReasonKind)


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_a_sentence_in_chinese(state: State) -> None:
    with translation.override("zh-hans"):
        sentence = told(state, ahead=ahead("stock try"), missing=("payment",), deadline=NOON, reason=REJECTED)
    assert sentence.endswith("。")
    # Names, times and what a participant wrote stay; none of the engine's English does
    assert not any(word in sentence for word in ("it ", "It ", "next", "done", "undone"))


def test_a_long_error_does_not_drown_the_sentence() -> None:
    sentence = told(State.EXECUTING, ahead=ahead("a forward"), failed=1, error="x" * 5_000)
    assert len(sentence) < 400
