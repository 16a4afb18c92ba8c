"""What the customer is told of what broke."""

from __future__ import annotations

import json

import pytest

from orders.api.serializers import ReasonSerializer
from sagas import Rejected
from sagas.decisions.reasons import ReasonKind, public_reason, write_rejection


@pytest.mark.parametrize("kind", ["fault", "breaker"])
def test_the_details_of_a_fault_are_for_operators_only(kind: str) -> None:
    told = ReasonSerializer({"kind": kind, "code": "OperationalError", "detail": "password=hunter2"}).data
    assert told == {"kind": "fault", "code": "Fault", "detail": "Something broke on our side."}


def test_a_resolution_by_an_operator_is_shown() -> None:
    reason = {"kind": "resolved", "code": "ResolvedByHand", "detail": "Somebody has ended this by hand."}
    assert ReasonSerializer(reason).data == reason


INSIDE = {"step": "one", "code": "OperationalError", "detail": "password=hunter2"}
BROKE = {"kind": "fault", "code": "Fault", "detail": "Something broke on our side."}


@pytest.mark.parametrize("kind", list(ReasonKind))
def test_the_api_documents_every_kind_of_reason(kind: ReasonKind) -> None:
    told = ReasonSerializer({"kind": kind.value, **INSIDE}).data
    assert told["kind"] in ReasonSerializer().fields["kind"].choices  # type: ignore[attr-defined]
    assert told["detail"]
    # What a participant has said no with is the only detail that is for customers as it is
    leaks = {ReasonKind.REJECTED, ReasonKind.TIMEOUT}
    assert ("hunter2" in told["detail"]) is (kind in leaks)


@pytest.mark.parametrize("kind", ["fault", "breaker", "stuck", "unreadable", "something newer", ""])
def test_a_customer_learns_of_a_fault_without_its_details(kind: str) -> None:
    reason = {"kind": kind, **INSIDE, "message": "password=hunter2"}
    assert ReasonSerializer(reason).data == BROKE


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ({"kind": "rejected", "detail": "sold out"}, "sold out"),
        ({"kind": "rejected", "detail": "score 93", "message": "declined"}, "declined"),
        ({"kind": "timeout", "detail": "two took too long; the last attempt: KeyError: 'x'"}, "two took too long"),
        ({"kind": "timeout", "detail": "no payment came within 30 s"}, "no payment came within 30 s"),
        ({"kind": "cancelled", "detail": "the customer is a fraud"}, "It was cancelled."),
        ({"kind": "cancelled", "detail": "by phone", "message": "as you wished"}, "as you wished"),
        ({"kind": "refused", "detail": "score 93"}, "It was refused."),
        ({"kind": "resolved", "detail": "refunded by hand"}, "Somebody has ended this by hand."),
        ({"kind": "rejected", "detail": ""}, "It was not possible."),
    ],
)
def test_customers_read_only_texts_written_for_customers(reason: dict[str, str], told: str) -> None:
    assert public_reason({"code": "Code", "step": "one", **reason})["detail"] == told


def test_a_rejection_may_have_a_note_for_operators() -> None:
    no = Rejected("Your card was declined.", code="Declined", note="fraud score 93")
    stored = json.loads(write_rejection(no, "pay", lambda text: text))
    assert stored == {
        "kind": "rejected",
        "step": "pay",
        "code": "Declined",
        "detail": "fraud score 93",
        "message": "Your card was declined.",
    }
