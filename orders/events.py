"""What customers' endpoints are told of orders. It is recorded in the transaction in which it happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.conf import settings

from delivery.models import Fulfilment
from orders.models import Order
from orders.requests import OrderRequest
from sagas import Call
from sagas.trace_context import TraceContext
from sagas.watching import announce
from webhooks.services import Fact, record

PLACED: Final = "order.placed"
CONFIRMED: Final = "order.confirmed"
REJECTED: Final = "order.rejected"
FULFILMENT: Final = "order.fulfilment"
#: What an endpoint may ask for.
KINDS: Final = (PLACED, CONFIRMED, REJECTED, FULFILMENT)


def tell(calls: Sequence[Call[OrderRequest]], kind: str) -> None:
    """Record this of the orders of these calls. Their runs are locked, so an order's events have one order."""
    if calls:
        record(_fact(call.request, kind, call.trace) for call in calls)


def tell_rejected(orders: Sequence[Order]) -> None:
    """Record of orders whose first step was never done, and which no participant has rejected, that they are."""
    if orders:
        record(_fact(order, REJECTED) for order in orders)


def tell_moved(work: Fulfilment) -> None:
    """Record how far a store has come with an order, and have those look who watch the order.

    The fulfilment is locked, by which an order's events have one order: those of its run are all recorded before there
    is a fulfilment.
    """
    customer = Order.objects.filter(run_id=work.run_id).values_list("customer_id", flat=True).first()
    if customer is not None:
        data = {
            "order_no": work.order_no,
            "state": work.state,
            "version": work.version,
            "at": work.changed_at.isoformat(),
            "due_at": work.due_at.isoformat(),
            "reason": work.reason,
        }
        record([Fact(customer, work.order_no, FULFILMENT, data)])
    announce([work.run_id])


def _fact(order: OrderRequest | Order, kind: str, trace: TraceContext | None = None) -> Fact:
    data = {
        "order_no": order.order_no,
        "total_amount": order.total_cents,
        "discount_amount": order.discount_cents,
        "currency": settings.CURRENCY,
        "slot": order.slot,
    }
    return Fact(order.customer_id, order.order_no, kind, data, trace)
