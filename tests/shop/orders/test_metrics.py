"""What the shop counts of orders, and what it says of its stock, slots and coupons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

import coupons.metrics
import delivery.metrics
import inventory.metrics
from coupons.models import Coupon
from delivery.models import Slot
from inventory.models import Batch
from orders.models import Order, OrderStatus
from orders.participants import reject_order
from orders.sagas import PlaceOrder
from sagas import Call
from sagas.definition.participants import Operation
from sagas.metrics.sums import Sums
from sagas.models import Run
from tests.shop.conftest import Api, Shop, confirm
from tests.support.metrics import counted, counting


@pytest.fixture
def sums(settings: Settings) -> Iterator[Sums]:
    settings.SAGAS = {**settings.SAGAS, "METRICS": True}
    with counting() as own:
        yield own


def test_a_repeated_order_is_counted(sums: Sums, api: Api, shop: Shop) -> None:
    for _ in range(3):
        assert api.order(shop, key="once").status == 202
    assert counted(sums)["shop_idempotent_replays_total"] == {(): 2}


def test_a_webhook_that_nobody_has_signed_is_counted(sums: Sums, api: Api, shop: Shop) -> None:
    order_no = api.order(shop).body["order_no"]
    forged = confirm(order_no, secret="whsec_" + "A" * 43 + "=")
    assert forged.status == 401
    assert counted(sums)["shop_webhooks_refused_total"] == {(): 1}


def test_the_fate_of_an_order_is_counted_once(
    sums: Sums, api: Api, shop: Shop, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    # Given an order that was accepted and placed
    api.order(shop)
    run = Run.objects.latest("created_at")
    Order.objects.filter(run_id=run.pk).update(status=OrderStatus.PLACED)
    request = PlaceOrder.definition.load(json.dumps(run.request))
    call = Call(run.pk, "create_order", Operation.COMPENSATE, 1, request)
    # When its undo comes twice
    with django_capture_on_commit_callbacks(execute=True):
        reject_order.many([call])
        reject_order.many([call])
    # Then
    assert counted(sums)["shop_orders_total"] == {("rejected",): 1}


def test_gauges_are_what_the_tables_have(shop: Shop) -> None:
    Batch.objects.update(available=0, held=0, sold=0)
    Batch.objects.filter(pk=shop.tea.pk).update(available=7, held=2, sold=1)
    assert inventory.metrics.stock() == {("available",): 7, ("held",): 2, ("sold",): 1}
    # Of the slots only those that begin within a day: of these two neither
    Slot.objects.exclude(pk__in=[shop.slot.pk, shop.past.pk]).update(available=0, held=0, sold=0)
    assert delivery.metrics.places() == {("available",): 0, ("held",): 0, ("sold",): 0}
    now = timezone.now()
    Slot.objects.filter(pk=shop.slot.pk).update(
        starts_at=now + timedelta(hours=1), closes_at=None, ends_at=now + timedelta(hours=2), available=3, held=1
    )
    assert delivery.metrics.places() == {("available",): 3, ("held",): 1, ("sold",): 0}
    Coupon.objects.all().delete()
    shop.coupon()
    shop.coupon(used=True)
    uses = coupons.metrics.uses()
    assert uses["sold",] == 1
