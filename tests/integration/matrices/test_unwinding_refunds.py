"""Refunds end wholly made, or were never begun, whatever goes wrong: at a real gateway, which refunds once."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from django.conf import settings as project
from django.db import transaction
from pytest_django import DjangoDbBlocker, Settings

from orders.models import Order
from orders.sagas import ChargeOrder
from payments import gateways, refunds
from payments.models import Outcome, Payment, PaymentState, Refund
from payments.sagas import RefundPayment, RefundPaymentLater
from sagas.testing import Ended
from tests.shop.conftest import SECRET
from tests.support.sandbox import TOKEN, Sandbox
from tests.support.unwinding import place, unwinds, wipe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty", "reached")]

#: Where the matrices find the gateway: they are declared before there is one.
_gateways: list[Sandbox] = []


@pytest.fixture(scope="module")
def empty(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock():
        wipe()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    gateway = Sandbox(tmp_path_factory.mktemp("gateway"), secret=SECRET)
    yield gateway
    gateway.stop()


@pytest.fixture
def reached(sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.GATEWAY_URL, settings.GATEWAY_TOKEN = sandbox.url, TOKEN
    # The cases say at which commit a process dies: a call that the lane postpones has one commit more.
    for lane in (gateways.refunds, gateways.later_refunds, gateways.charges, gateways.charge_refunds):
        monkeypatch.setattr(lane, "_interval", 0.001)
    sandbox.misbehave()
    _gateways[:] = [sandbox]


def due_back(*, later: bool = False) -> UUID:
    """A payment of 700 that pays for nothing; the run of its refund."""
    payment = Payment(
        gateway=project.PAYMENT_GATEWAY,
        payment_id=_gateways[0].paid("ORD-1", 700),
        order_no="ORD-1",
        amount=700,
        currency="CNY",
        state=PaymentState.DUE_BACK,
    )
    # The payment and its refund are of one commit, which the schema checks.
    with transaction.atomic():
        assert refunds.insert_owed(payment, because=Outcome.UNKNOWN_ORDER, later=later)
    run_id: UUID = payment.refunds.get().pk
    return run_id


def due_back_later() -> UUID:
    return due_back(later=True)


def it_is_refunded_once_or_due(ended: Ended) -> None:
    """The invariant: the gateway has made the refund once, and both say so; or nothing, and the money is still due."""
    refund = Refund.objects.select_related("payment").get(pk=ended.run_id)
    made = [amount for refund_id, amount in _gateways[0].refunds() if refund_id == str(ended.run_id)]
    if ended.succeeded:
        assert (made, refund.state, refund.payment.state) == ([700], "RETURNED", "RETURNED")
    else:
        assert (made, refund.state, refund.payment.state) == ([], "REQUESTED", "DUE_BACK")


def charge() -> UUID:
    """Two cups with a coupon, for which a card is charged."""
    return place(card="visa-4242")


def it_is_charged_once_or_not_at_all(ended: Ended) -> None:
    """The invariant: what the gateway keeps of the order is its price, or nothing."""
    order = Order.objects.get(run_id=ended.run_id)
    rows = [line.split(",") for line in _gateways[0].daily().splitlines() if f",{order.order_no}," in line]
    kept = sum(int(row[2]) if row[4] == "succeeded" else -int(row[7]) for row in rows)
    taken = [payment.amount for payment in Payment.objects.filter(run_id=ended.run_id, state="TAKEN")]
    assert (kept, taken) == ((2500, [2500]) if ended.succeeded else (0, []))


test_charge_order = unwinds(
    ChargeOrder,
    charge,
    invariant=it_is_charged_once_or_not_at_all,
    leaves=(
        "orders_order.status",
        "orders_orderline",
        "coupons_grant",
        "coupons_coupon.available",
        "coupons_coupon.sold",
        "coupons_coupon.settled",
    ),
)
test_refund_payment = unwinds(RefundPayment, due_back, invariant=it_is_refunded_once_or_due)
test_refund_payment_later = unwinds(RefundPaymentLater, due_back_later, invariant=it_is_refunded_once_or_due)
