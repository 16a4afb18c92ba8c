"""Placing an order over HTTP: one transaction for the idempotency key, the order and its run."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.urls import reverse

from orders import numbers, open_orders, services
from orders.api import idempotency
from orders.api.idempotency import Answer, Key
from orders.errors import OrderNumberTaken
from orders.services import Wanted
from sagas import State

#: Attempts to draw an order number. If all are taken, the random source is broken.
_DRAWS = 3


def place(
    *,
    customer_id: int,
    address: str | None,
    key: Key | None,
    items: Sequence[Wanted],
    slot: int,
    coupon: str | None,
) -> Answer:
    """Place an order, or find the stored answer to the same request.

    It raises what ``place_order`` and ``open_orders`` raise.
    """
    open_orders.refuse_too_large([item.quantity for item in items])
    for _ in range(_DRAWS):
        order_no = numbers.draw()
        body = {"order_no": order_no, "state": State.PENDING.value, "confirm_deadline": None}
        answer = Answer(202, body, reverse("api:order", args=[order_no]))
        try:
            with transaction.atomic():
                if key and (first := idempotency.claim(customer_id=customer_id, key=key, answer=answer)):
                    return first
                services.place_order(
                    order_no=order_no, customer_id=customer_id, items=items, slot=slot, coupon=coupon, address=address
                )
                open_orders.check(customer_id=customer_id, address=address)
                return answer
        except OrderNumberTaken:
            continue
    raise OrderNumberTaken
