"""Writes that need more than the delivery domain: a store refuses an order, a customer takes another slot."""

from __future__ import annotations

import logging

from django.db import transaction

import delivery.services
from delivery.errors import DeliveryError, NotInQueue, NotRebookable, NotSettled
from delivery.models import Fulfilment, FulfilmentState
from orders import events
from orders.errors import OrderNotFound
from orders.models import Order
from orders.refunds import services as refunds
from sagas import State
from sagas.models import Run
from sagas.watching import announce

logger = logging.getLogger(__name__)

__all__ = ["DeliveryError", "move", "rebook"]


def move(*, order_no: str, to: FulfilmentState, version: int, by: str, reason: str = "") -> Fulfilment:
    """Move an order in its store's queue, and tell its customer. What a store refuses is refunded, in the same commit.

    Raises:
        NotSettled: it is refused before it is confirmed with all its parts.
        DeliveryError: what ``delivery.services.move`` raises.
    """
    with transaction.atomic():
        run_id = Fulfilment.objects.filter(order_no=order_no).values_list("run_id", flat=True).first()
        if run_id is None:
            raise NotInQueue(order_no)
        # Whoever changes an order locks its run first. That of an old order is gone.
        states = Run.objects.select_for_update(no_key=True).filter(pk=run_id).values_list("state", flat=True)
        state = states.first()
        if to is FulfilmentState.REFUSED and state not in {None, State.SUCCEEDED}:
            msg = f"{order_no} is {state}, and cannot be refunded yet: try again in a moment"
            raise NotSettled(msg)
        moved = delivery.services.move(order_no=order_no, to=to, version=version, by=by, reason=reason)
        if to is FulfilmentState.REFUSED:
            _refund(moved, by=by, reason=reason)
        events.tell_moved(moved)
        return moved


def _refund(refused: Fulfilment, *, by: str, reason: str) -> None:
    """Refund what is left of a refused order, if anything is."""
    try:
        refunds.refund_order(order_no=refused.order_no, reason=reason or "the store has refused it", by=by)
    except (refunds.NotRefundable, OrderNotFound) as error:
        logger.warning("order %s was refused, and is not refunded: %s", refused.order_no, error)


def rebook(*, customer_id: int, order_no: str, slot: int) -> Order:
    """Move a customer's confirmed order to another slot of its store. A repeat changes nothing.

    Raises:
        OrderNotFound: the customer has no such order.
        NotRebookable: it is not confirmed, or its slot takes no changes any more.
        SlotUnusable: the new slot cannot be had.
    """
    found = Order.objects.filter(customer_id=customer_id, order_no=order_no).first()
    if found is None:
        raise OrderNotFound(order_no)
    with transaction.atomic():
        # The run is locked before any slot, as by its own steps.
        run = Run.objects.select_for_update(no_key=True).filter(pk=found.run_id).first()
        if run is None or run.state != State.SUCCEEDED:
            msg = f"{order_no} is {run.state if run else 'long over'}: only a confirmed order gets another slot"
            raise NotRebookable(msg)
        delivery.services.rebook(run_id=found.run_id, slot=slot)
        Order.objects.filter(pk=found.pk).update(slot=slot)
        announce([found.run_id])
    found.slot = slot
    return found
