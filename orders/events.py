"""What customers' endpoints are told of orders. It is recorded in the transaction in which it happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orders.models import Order
from orders.requests import OrderRequest
from sagas import Call
from webhooks.services import Fact, record

PLACED: Final = "order.placed"
CONFIRMED: Final = "order.confirmed"
REJECTED: Final = "order.rejected"
#: What an endpoint may ask for.
KINDS: Final = (PLACED, CONFIRMED, REJECTED)


def tell(calls: Sequence[Call[OrderRequest]], kind: str) -> None:
    """Record this of the orders of these calls. Their runs are locked, so an order's events have one order."""
    if calls:
        record(_fact(call.request, kind) for call in calls)


def tell_rejected(orders: Sequence[Order]) -> None:
    """Record of orders whose first step was never done, and which no participant has rejected, that they are."""
    if orders:
        record(_fact(order, REJECTED) for order in orders)


def _fact(order: OrderRequest | Order, kind: str) -> Fact:
    data = {
        "order_no": order.order_no,
        "total_amount": order.total_cents,
        "discount_amount": order.discount_cents,
        "slot": order.slot,
    }
    return Fact(order.customer_id, order.order_no, kind, data)
