"""The sagas of orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings

import coupons.participants as coupons
import delivery.participants as delivery
import inventory.participants as inventory
import payments.participants as payments
from orders import participants as orders
from orders.requests import OrderRequest
from sagas import Confirmation, Events, Retry, Saga, State, Step, Tcc, Transition, on_transition


class PlaceOrder(Saga[OrderRequest]):
    """Confirm an order with its stock, coupon and delivery, or undo every part."""

    publishes = settings.PUBLISH_EVENTS

    payment = Confirmation(
        within=timedelta(seconds=settings.CONFIRM_WITHIN_SECONDS), compensate=payments.give_back, queue="payments"
    )

    create_order = Step(
        orders.create_order,
        confirm=orders.confirm_order,
        compensate=orders.reject_order,
        queue="orders",
        events=Events(
            done="OrderCreated",
            rejected="OrderRefused",
            failed="OrderNotCreated",
            undone="OrderRejected",
            confirmed="OrderConfirmed",
        ),
    )
    reserve_inventory = Tcc(
        inventory.stock,
        rejects=(inventory.OutOfStock,),
        queue="inventory",
        events=Events(
            done="InventoryReserved",
            rejected="InventoryRejected",
            failed="InventoryNotReserved",
            undone="InventoryReleased",
            confirmed="InventoryTaken",
        ),
    )
    apply_coupon = Step(
        coupons.redeem,
        compensate=coupons.refund,
        queue="coupons",
        events=Events(
            done="CouponRedeemed", rejected="CouponRejected", failed="CouponNotRedeemed", undone="CouponRefunded"
        ),
    )
    schedule_delivery = Tcc(
        delivery.slots,
        retry=Retry(attempts=3),
        queue="delivery",
        events=Events(
            done="DeliveryScheduled",
            rejected="DeliveryRejected",
            failed="DeliveryNotScheduled",
            undone="DeliveryReleased",
            confirmed="DeliveryConfirmed",
        ),
    )


@on_transition(saga=PlaceOrder, target=State.FAILED, many=True)
def mark_unplaced(transitions: Sequence[Transition]) -> None:
    """Reject the orders that failed before their first step, which no compensation marks.

    A hook may be lost. Then such an order keeps the status RECEIVED; its run, which the API shows, is FAILED.
    """
    orders.reject_unplaced([transition.run_id for transition in transitions])
