"""What the customer is told of what broke."""

from __future__ import annotations

import pytest

from orders.api.serializers import ReasonSerializer


@pytest.mark.parametrize("kind", ["fault", "breaker"])
def test_the_inside_of_a_fault_is_for_operators(kind: str) -> None:
    told = ReasonSerializer({"kind": kind, "code": "OperationalError", "detail": "password=hunter2"}).data
    assert told == {"kind": "fault", "code": "Fault", "detail": "Something broke on our side."}


def test_that_a_person_has_ended_it_is_told() -> None:
    reason = {"kind": "resolved", "code": "ResolvedByHand", "detail": "Somebody has ended this by hand."}
    assert ReasonSerializer(reason).data == reason
