"""The answer to a payment whose order has little time to live waits for the order's end, behind the commit."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings

import sagas
from delivery.models import Slot
from inventory.models import Batch
from orders import demo
from orders.api.protocol.deferred import DEFERS, Piece
from orders.models import Order
from payments.gateways import Gateway
from payments.models import Payment
from sagas.models import Run
from tests.shop.conftest import SECRET, Api, Shop, build_shop, paid, sign
from tests.support import tables
from tests.support.carrier import Carrier

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def shop(database: None, settings: Settings) -> Shop:
    settings.WEBHOOK_SECRET = SECRET
    tables.empty("payments_refund", "payments_payment", "payments_paymentevent", "orders_order", "orders_orderline")
    return build_shop()


def order(shop: Shop, *, minutes: float) -> str:
    """An order of a slot that ends so many minutes from now, whose steps are done."""
    ends = timezone.now() + timedelta(minutes=minutes)
    slot = Slot.objects.create(starts_at=ends - timedelta(minutes=5), ends_at=ends, available=5)
    order_no = str(Api(demo.token(customer=shop.customer)).order(shop, slot=slot.pk).body["order_no"])
    carry(order_no)
    return order_no


def run_of(order_no: str) -> UUID:
    run_id: UUID = Order.objects.get(order_no=order_no).run_id
    return run_id


def carry(order_no: str) -> None:
    Carrier().run([run_of(order_no)])


def send(order_no: str, *, defers: bool = True, **says: Any) -> Any:
    """A gateway's message, to a server that can defer its answer."""
    body = json.dumps(paid(order_no, f"pay_{order_no}", **says)).encode()
    path = "/api/v1/payments/webhook/main/"
    environ: dict[str, Any] = {DEFERS: defers}
    return Api().client.generic("POST", path, body, content_type="application/json", headers=sign(body), **environ)


def waits(response: Any) -> bool:
    return getattr(response, "is_deferred", False)


def told(piece: Piece | None) -> dict[str, Any]:
    assert piece is not None
    found: dict[str, Any] = json.loads(piece.data)
    return found


def test_the_payment_is_committed_before_its_answer_waits_and_a_repeat_is_answered_at_once(shop: Shop) -> None:
    # Given a payment of an order that is due soon
    order_no = order(shop, minutes=14)
    first = send(order_no)
    assert waits(first)
    assert first.resume(over=False) is None
    assert Payment.objects.get().state == "TAKEN"

    # When the gateway repeats it meanwhile
    again = send(order_no)

    # Then the repeat does not wait; and the first is answered once the order is confirmed
    assert not waits(again)
    assert again.json()["order_state"] == "CONFIRMING"
    carry(order_no)
    answer = told(first.resume(over=False))
    assert (answer["outcome"], answer["order_state"]) == ("settled", "SUCCEEDED")
    assert answer["booking_id"]
    assert Payment.objects.count() == 1


def test_when_the_time_is_over_the_gateway_is_told_that_the_payment_is_taken(shop: Shop) -> None:
    # Given an order that is paid before its steps are done
    ends = timezone.now() + timedelta(minutes=14)
    slot = Slot.objects.create(starts_at=ends - timedelta(minutes=5), ends_at=ends, available=5)
    order_no = str(Api(demo.token(customer=shop.customer)).order(shop, slot=slot.pk).body["order_no"])
    first = send(order_no)

    # Then
    answer = told(first.resume(over=True))
    assert (answer["outcome"], answer["order_state"]) == ("taken", "PENDING")


def test_a_gateway_that_waits_learns_that_its_payment_goes_back(shop: Shop) -> None:
    # Given a payment that came before the steps
    ends = timezone.now() + timedelta(minutes=14)
    slot = Slot.objects.create(starts_at=ends - timedelta(minutes=5), ends_at=ends, available=5)
    order_no = str(Api(demo.token(customer=shop.customer)).order(shop, slot=slot.pk).body["order_no"])
    first = send(order_no)

    # When the drink is sold out, and all is undone
    Batch.objects.filter(key=shop.tea.code).update(available=0)
    carry(order_no)

    # Then
    answer = told(first.resume(over=False))
    assert (answer["outcome"], answer["order_state"]) == ("undone", "FAILED")
    assert answer["refund"]["refund_amount"] == 2500


@pytest.mark.parametrize(
    ("minutes", "says", "defers"),
    [(16, {}, True), (14, {"status": "failed"}, True), (14, {"amount": 1}, True), (14, {}, False)],
    ids=["not urgent", "not paid", "not enough", "too many wait"],
)
def test_other_answers_do_not_wait(shop: Shop, minutes: float, says: dict[str, Any], defers: bool) -> None:
    response = send(order(shop, minutes=minutes), defers=defers, **says)
    assert response.status_code == 200
    assert not waits(response)


def test_no_payment_of_an_order_that_is_over_waits(shop: Shop) -> None:
    order_no = order(shop, minutes=14)
    sagas.cancel(run_of(order_no), reason="cancelled", by="test")
    assert Run.objects.get(pk=run_of(order_no)).state == "COMPENSATING"
    assert not waits(send(order_no))


@pytest.mark.parametrize(("patience", "longest"), [(60, 8), (10, 8), (5, 3), (2, 0), (1, 0)])
def test_an_answer_is_on_its_way_two_seconds_before_its_gateway_gives_up(patience: float, longest: float) -> None:
    assert Gateway("main", "", patience=patience).longest_answer == longest
