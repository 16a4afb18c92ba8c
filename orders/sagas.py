"""The sagas of orders."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

import coupons.participants as coupons
import delivery.participants as delivery
import inventory.participants as inventory
from orders import participants as orders
from orders.requests import OrderRequest
from sagas import Confirmation, Retry, Saga, Step, Tcc


class PlaceOrder(Saga[OrderRequest]):
    """Confirm an order with its stock, coupon and delivery, or undo every part."""

    payment = Confirmation(within=timedelta(seconds=settings.CONFIRM_WITHIN_SECONDS))

    create_order = Step(
        orders.create_order, confirm=orders.confirm_order, compensate=orders.reject_order, queue="orders"
    )
    reserve_inventory = Tcc(inventory.stock, rejects=(inventory.OutOfStock,), queue="inventory")
    apply_coupon = Step(coupons.redeem, compensate=coupons.refund, queue="coupons")
    schedule_delivery = Tcc(delivery.slots, retry=Retry(attempts=3), queue="delivery")
