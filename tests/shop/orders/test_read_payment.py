"""The quick reading of a payment's body, and the quick writing of its answer, are the serializers', to the byte."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rest_framework.renderers import JSONRenderer

from orders.api import serializers
from orders.api.serializers import PaymentSerializer, ReceivedSerializer, read_payment, write_received
from sagas import State
from tests.shop.orders.test_read_order import CODES, JSON, told

PLAIN = st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True)
GOOD = st.fixed_dictionaries(
    {
        "order_no": PLAIN,
        "payment_id": st.from_regex(r"[A-Za-z0-9_-]{1,100}", fullmatch=True),
        "amount": st.integers(0, 2**63 - 1),
        "currency": st.from_regex(r"[A-Za-z]{3}", fullmatch=True),
        "status": PLAIN,
    },
    # Gateways add fields of their own.
    optional={"livemode": JSON},
)
BODIES = (
    GOOD
    | st.fixed_dictionaries(
        {},
        optional={
            "order_no": CODES | JSON,
            "payment_id": CODES | st.text(min_size=98, max_size=102) | JSON,
            "amount": st.sampled_from([-1, 2**63, True, 1.0, 1.5, "1", None, 10**400]) | JSON,
            "currency": st.sampled_from(["cny", "CN", "CNYX", " CN", "CN\u00df", "c y", "", None, 3]) | JSON,
            "status": CODES | JSON,
        },
    )
    | JSON
)

REFUNDS = st.tuples(
    st.uuids().map(str),
    st.integers(1, 2**63 - 1),
    st.sampled_from(["CNY", "EUR"]),
    st.sampled_from(["REQUESTED", "RETURNED"]),
    st.sampled_from(["undone", "too_late"]),
).map(lambda told: dict(zip(("refund_id", "refund_amount", "currency", "state", "reason"), told, strict=True)))


def by_the_serializer(body: Any) -> Any:
    serializer = PaymentSerializer(data=body)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


@settings(max_examples=300)
@given(body=BODIES)
@example(body={"order_no": "A", "payment_id": "p", "amount": 1, "currency": "cny", "status": "succeeded"})
@example(body={"order_no": "A\x00", "payment_id": "p", "amount": 1, "currency": "CNY", "status": "succeeded"})
@example(body={"order_no": "A", "payment_id": "p", "amount": True, "currency": "CNY", "status": "succeeded"})
def test_a_body_is_read_as_the_serializer_reads_it(body: Any) -> None:
    assert told(read_payment, body) == told(by_the_serializer, body)


@settings(max_examples=100)
@given(body=GOOD)
def test_a_plain_payment_needs_no_serializer(body: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serializers, "PaymentSerializer", None)
        read = read_payment(body)
    kept = {name: value for name, value in body.items() if name != "livemode"}
    assert read == {**kept, "currency": body["currency"].upper()}


@settings(max_examples=100)
@given(
    received_at=st.none() | st.floats(1.6e9, 3.8e9).map(lambda at: datetime.fromtimestamp(at, UTC)),
    is_confirmed=st.booleans(),
    state=st.none() | st.sampled_from(State),
    outcome=st.sampled_from(["taken", "settled", "not_paid"]),
    more=st.tuples(st.none() | st.integers(1, 2**63 - 1), st.none() | REFUNDS),
)
def test_an_answer_is_written_as_the_serializer_writes_it(
    received_at: datetime | None,
    is_confirmed: bool,
    state: State | None,
    outcome: str,
    more: tuple[int | None, dict[str, Any] | None],
) -> None:
    answer = {
        "order_no": "ORD-1",
        "payment_id": "p",
        "outcome": outcome,
        "order_state": state,
        "booking_id": more[0],
        "refund": more[1],
        "received_at": received_at,
        "confirmed_at": received_at if is_confirmed else None,
    }
    expected = JSONRenderer().render(ReceivedSerializer(answer).data)
    assert JSONRenderer().render(write_received(answer)) == expected
    assert list(json.loads(expected)) == list(answer)
