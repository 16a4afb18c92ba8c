"""The quick reading of an order's body is the serializer's, to the byte of every problem."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from orders.api import serializers
from orders.api.protocol.problems import exception_handler
from orders.api.serializers import PlaceOrderSerializer, read_order

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=5,
)
#: Plain codes, and such as are trimmed, too long, not ASCII, or not printable.
CODES = (
    st.from_regex(r"[A-Z0-9-]{1,32}", fullmatch=True)
    | st.sampled_from(["", " ", " A", "A ", "A\x00", "\ud800", "ü", "A\tB", "A B", "A" * 32, "A" * 33, " " + "A" * 32])
    | st.text(max_size=34)
)
QUANTITIES = st.integers(1, 1000) | st.sampled_from([0, 1001, -1, True, 2.0, 2.5, "2", None, 10**400])
ITEMS = st.fixed_dictionaries({"sku": CODES | JSON, "quantity": QUANTITIES}) | JSON
SLOTS = st.integers(1, 2**63 - 1) | st.sampled_from([0, 2**63, 1.0, "1", False, None, -5])
GOOD = st.fixed_dictionaries(
    {
        "items": st.lists(
            st.fixed_dictionaries(
                {"sku": st.from_regex(r"[A-Z0-9-]{1,32}", fullmatch=True), "quantity": st.integers(1, 1000)}
            ),
            min_size=1,
            max_size=4,
            unique_by=lambda item: item["sku"],
        ),
        "slot": st.integers(1, 2**63 - 1),
    },
    optional={
        "coupon": st.none() | st.from_regex(r"[A-Z0-9]{1,32}", fullmatch=True),
        "expected_total_amount": st.none() | st.integers(0, 2**63 - 1),
    },
)
BODIES = (
    GOOD
    | st.fixed_dictionaries(
        {},
        optional={
            "items": st.lists(ITEMS, max_size=4) | JSON,
            "slot": SLOTS | JSON,
            "coupon": CODES | JSON,
            "expected_total_amount": st.integers(-1, 2**64) | JSON,
            "slots": JSON,
        },
    )
    | st.lists(ITEMS, min_size=49, max_size=52).map(lambda items: {"items": items, "slot": 1})
    | JSON
)


def told(read: Any, body: Any) -> bytes:
    """What a client is told, or what is read, as JSON."""
    try:
        found = read(body)
    except ValidationError as error:
        request = SimpleNamespace(path="/api/v1/orders/")
        answer = exception_handler(error, {"request": request})
        assert answer is not None
        return json.dumps([answer.status_code, answer.data]).encode("utf-8", "surrogatepass")
    return json.dumps(found, sort_keys=True).encode("utf-8", "surrogatepass")


def by_the_serializer(body: Any) -> Any:
    serializer = PlaceOrderSerializer(data=body)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


@settings(max_examples=300)
@given(body=BODIES)
@example(body={"items": [{"sku": "A", "quantity": 1}, {"sku": "A", "quantity": 2}], "slot": 1})
@example(body={"items": [{"sku": "A", "quantity": 1, "extra": 1}], "slot": 1})
@example(body={"items": [{"sku": "A", "quantity": True}], "slot": 1})
@example(body={"items": [{"sku": "A\n", "quantity": 1}], "slot": 1})
@example(body={"items": [], "slot": 1})
@example(body={"items": [{"sku": "A", "quantity": 1}], "slot": 1, "coupon": ""})
def test_a_body_is_read_as_the_serializer_reads_it(body: Any) -> None:
    assert told(read_order, body) == told(by_the_serializer, body)


@settings(max_examples=100)
@given(body=GOOD)
def test_a_plain_order_needs_no_serializer(body: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serializers, "PlaceOrderSerializer", None)
        read = read_order(body)
    assert read == {"coupon": None, "expected_total_amount": None, **body}
