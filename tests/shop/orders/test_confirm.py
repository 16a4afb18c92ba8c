"""The payment's webhook: whom it believes, and that its answer is stable."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from payments.models import Payment
from sagas.models import Confirmation, Run
from tests.shop.conftest import ORDERS, SECRET, Api, Shop, confirm, paid, sign

NoTrace = Callable[[], None]

FORGED = f"whsec_{b64encode(b'another secret, of 32 bytes too..').decode()}"
#: What a run keeps of its payment.
PAID = {"payment_id": "pay_1", "amount": 2500, "currency": "CNY"}


@pytest.fixture
def order_no(api: Api, shop: Shop) -> str:
    return str(api.order(shop).body["order_no"])


def test_a_payment_confirms_its_order(order_no: str) -> None:
    reply = confirm(order_no)
    assert (reply.status, reply.body["order_no"], reply.body["payment_id"]) == (200, order_no, "pay_1")
    run = Run.objects.get(business_key=order_no)
    assert Confirmation.objects.get(run_id=run.id, name="payment").data == PAID


def test_a_repeated_payment_gets_the_same_answer(order_no: str) -> None:
    first, second = confirm(order_no), confirm(order_no, message="msg_2")
    assert (second.status, second.body) == (first.status, first.body)
    assert Confirmation.objects.count() == 1


def test_another_payment_for_a_confirmed_order_is_refused(order_no: str) -> None:
    confirm(order_no)
    reply = confirm(order_no, "pay_2")
    assert (reply.status, reply.problem) == (409, "payment-conflict")
    assert Confirmation.objects.get().data == PAID


def test_a_payment_after_the_cancel_is_refused(api: Api, order_no: str) -> None:
    api.post(f"{ORDERS}{order_no}/cancel/")
    reply = confirm(order_no)
    assert (reply.status, reply.problem) == (409, "order-undone")
    assert "COMPENSATING" in reply.body["detail"]
    assert not Confirmation.objects.exists()


def test_a_payment_for_an_unknown_order_is_not_found(shop: Shop) -> None:
    reply = confirm("ORD-20260101-00000000")
    assert (reply.status, reply.problem) == (404, "order-not-found")
    # It is kept, and due back
    assert (Payment.objects.get().state, Payment.objects.get().reason) == ("DUE_BACK", "unknown_order")


def test_an_unsigned_payment_does_not_reveal_which_orders_exist(shop: Shop, no_trace: NoTrace) -> None:
    assert confirm("ORD-20260101-00000000", secret=FORGED).status == 401
    no_trace()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": None},
        {"webhook-timestamp": None},
        {"webhook-signature": None},
        {"webhook-id": "another"},
        {"webhook-timestamp": "yesterday"},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "1e300"},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,not base64"},
        {"webhook-signature": "v1,ÿ"},
        {"webhook-signature": "v2,AAAA v1a,BBBB"},
        {"webhook-signature": "a,b,c"},
    ],
    ids=str,
)
def test_an_invalid_signature_is_refused(order_no: str, headers: dict[str, str | None]) -> None:
    body = json.dumps(paid(order_no)).encode()
    signed: dict[str, Any] = {**sign(body), **headers} if headers else {}
    sent = {name: value for name, value in signed.items() if value is not None}
    reply = Api().call("POST", f"{ORDERS}{order_no}/confirm/", body=body, headers=sent)
    assert (reply.status, reply.problem) == (401, "invalid-signature")
    assert not Confirmation.objects.exists()


def test_a_signature_by_another_secret_is_refused(order_no: str) -> None:
    assert confirm(order_no, secret=FORGED).problem == "invalid-signature"


def test_a_signature_of_another_body_is_refused(order_no: str) -> None:
    one, other = (json.dumps(paid(order_no, f"pay_{n}")).encode() for n in (1, 2))
    headers, body = sign(one), other
    assert Api().call("POST", f"{ORDERS}{order_no}/confirm/", body=body, headers=headers).status == 401


@pytest.mark.parametrize("minutes", [-6, 6, -60 * 24 * 365])
def test_a_signature_of_another_time_is_refused(order_no: str, minutes: int) -> None:
    reply = confirm(order_no, at=datetime.now(UTC) + timedelta(minutes=minutes))
    assert (reply.status, reply.problem) == (401, "invalid-signature")
    assert not Confirmation.objects.exists()


def test_a_customers_token_does_not_replace_a_signature(api: Api, order_no: str) -> None:
    assert api.post(f"{ORDERS}{order_no}/confirm/", paid(order_no)).status == 401


@pytest.mark.parametrize("payment_id", ["", None, 5, "a\x00b", "x" * 101, "\ud800", ["pay_1"]])
def test_an_invalid_payment_is_refused(order_no: str, payment_id: Any) -> None:
    reply = confirm(order_no, payment_id)
    assert (reply.status, reply.pointers) == (422, ["#/payment_id"])
    assert not Confirmation.objects.exists()


@pytest.mark.parametrize("first_is_paid", [True, False])
def test_a_signed_payment_of_one_order_confirms_no_other(
    api: Api, shop: Shop, order_no: str, first_is_paid: bool
) -> None:
    # Given a signed payment, which somebody on the way has seen
    another = str(api.order(shop).body["order_no"])
    body = json.dumps(paid(order_no)).encode()
    signed = sign(body)
    if first_is_paid:
        assert Api().call("POST", f"{ORDERS}{order_no}/confirm/", body=body, headers=signed).status == 200

    # When the very same request comes to the URL of another order
    reply = Api().call("POST", f"{ORDERS}{another}/confirm/", body=body, headers=signed)

    # Then
    assert (reply.status, reply.problem) == (409, "another-order")
    assert reply.body["detail"] == f"This payment is for order {order_no}, not for {another}."
    assert Confirmation.objects.count() == first_is_paid
    assert Run.objects.get(business_key=another).state == "PENDING"


@pytest.mark.parametrize("named", ["", None, 5, "a\x00b", "x" * 33, "missing"])
def test_a_payment_without_an_order_is_refused(order_no: str, named: Any) -> None:
    body = json.dumps(paid(... if named == "missing" else named)).encode()
    reply = Api().call("POST", f"{ORDERS}{order_no}/confirm/", body=body, headers=sign(body))
    assert (reply.status, reply.pointers) == (422, ["#/order_no"])
    assert not Confirmation.objects.exists()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"x" * 100_000])
def test_a_signed_body_that_is_not_a_payment_is_refused(order_no: str, body: bytes) -> None:
    # Signed as it stands; what is not UTF-8 cannot be, and is no signature.
    headers = sign(body) if body != b"\xff" else sign(b"")
    reply = Api().call("POST", f"{ORDERS}{order_no}/confirm/", body=body, headers=headers)
    assert reply.status in {400, 401, 413, 422}
    assert reply.problem
    assert not Confirmation.objects.exists()


def test_other_fields_of_the_provider_are_ignored(order_no: str) -> None:
    body = json.dumps(paid(order_no, type="payment.succeeded", card={"last4": "4242"})).encode()
    reply = Api().call("POST", f"{ORDERS}{order_no}/confirm/", body=body, headers=sign(body))
    assert reply.status == 200


@pytest.mark.parametrize("signed_by", [SECRET, FORGED])
def test_the_secret_is_rotated_without_losing_a_payment(order_no: str, settings: Settings, signed_by: str) -> None:
    # Given the time in which the gateway changes over
    settings.WEBHOOK_SECRET = f"{FORGED} {SECRET}"
    assert confirm(order_no, secret=signed_by).status == 200


@pytest.mark.parametrize("before", ["v1,AAAA", "v1", "v1,not base64", "nonsense", "v2,AAAA"])
def test_a_bad_entry_before_a_good_signature_is_skipped(order_no: str, before: str) -> None:
    body = json.dumps(paid(order_no)).encode()
    headers = sign(body)
    headers["webhook-signature"] = f"{before} {headers['webhook-signature']}"
    assert Api().call("POST", f"{ORDERS}{order_no}/confirm/", body=body, headers=headers).status == 200


@pytest.mark.parametrize("secret", ["whsec_", "whsec_YQ==", "", "whsec_?"])
def test_without_a_secret_payments_are_refused_until_the_gateway_repeats_them(
    order_no: str, settings: Settings, secret: str
) -> None:
    settings.WEBHOOK_SECRET = secret
    reply = confirm(order_no)
    assert (reply.status, reply.problem) == (503, "payments-unavailable")
    assert not Confirmation.objects.exists()


@pytest.mark.parametrize(
    ("says", "pointer"),
    [
        ({"amount": "25.00"}, "#/amount"),
        ({"amount": 25.5}, "#/amount"),
        ({"amount": -1}, "#/amount"),
        ({"amount": None}, "#/amount"),
        ({"amount": True}, "#/amount"),
        ({"amount": 2**63}, "#/amount"),
        ({"amount": ...}, "#/amount"),
        ({"currency": "YUAN"}, "#/currency"),
        ({"currency": ...}, "#/currency"),
        ({"currency": 156}, "#/currency"),
        ({"status": ...}, "#/status"),
        ({"status": "x" * 33}, "#/status"),
    ],
    ids=str,
)
def test_a_payment_without_an_amount_is_refused(order_no: str, says: dict[str, Any], pointer: str) -> None:
    reply = confirm(order_no, says=says)
    assert (reply.status, reply.pointers) == (422, [pointer])
    assert not Confirmation.objects.exists()


def test_a_currency_is_read_in_either_case(order_no: str) -> None:
    reply = confirm(order_no, says={"currency": "cny"})
    assert (reply.status, reply.body["outcome"]) == (200, "taken")
    assert Confirmation.objects.get().data == PAID
