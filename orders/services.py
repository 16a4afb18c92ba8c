"""Writes: place, confirm and cancel an order. The saga does the work itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

import coupons.selectors
import delivery.selectors
import inventory.selectors
import payments.services
import sagas
from delivery.selectors import Standing
from orders.errors import Fault, OrderNotFound, OrderNumberTaken, OrderRefused
from orders.models import Order, OrderStatus
from orders.requests import Item, OrderRequest
from orders.sagas import PlaceOrder
from orders.selectors import state_without_run
from payments.services import Answer, Bill, Message
from sagas import State
from sagas.models import Run


@dataclass(frozen=True, slots=True)
class Wanted:
    """A quantity of one SKU, as the customer asks for it."""

    sku: str
    quantity: int


#: One code and one text, whether a coupon does not exist, has expired, is switched off, or is another customer's:
#: otherwise codes could be guessed.
COUPON_NOT_USABLE = "coupon-not-usable"


def place_order(
    *,
    order_no: str,
    customer_id: int,
    items: Sequence[Wanted],
    slot: int,
    coupon: str | None = None,
    address: str | None = None,
) -> UUID:
    """Accept an order: price it, and insert it and its run. Nothing is reserved or redeemed yet.

    Prices and discount are fixed now. An order that costs nothing is confirmed at once. Call it in a transaction, so
    that the order, the run and the caller's own rows commit together.

    Returns:
        The id of the run.

    Raises:
        OrderRefused: a SKU, the slot or the coupon cannot be used, which is known at once.
        sagas.Overloaded: the backlog is too old; nothing new is accepted.
        OrderNumberTaken: draw another number, in a new transaction.
    """
    request = _check(order_no=order_no, customer_id=customer_id, items=items, slot=slot, coupon=coupon)
    sagas.check_admission()
    run_id = PlaceOrder.start(request, business_key=order_no)
    with connection.cursor() as cursor:
        # Not by the ORM: a number that is taken must not break the caller's transaction.
        cursor.execute(
            "INSERT INTO orders_order (order_no, run_id, customer_id, status, slot, coupon, discount_cents, "
            "total_cents, address) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (order_no) DO NOTHING",
            [
                order_no,
                run_id,
                customer_id,
                OrderStatus.RECEIVED,
                slot,
                coupon,
                request.discount_cents,
                request.total_cents,
                address,
            ],
        )
        if not cursor.rowcount:
            raise OrderNumberTaken(order_no)
    if not request.total_cents:
        # Nothing is to be paid, so it does not wait for a payment. No payment id comes with it.
        data = {"payment_id": None, "amount": 0, "currency": settings.CURRENCY}
        sagas.confirm(run_id, payments.services.CONFIRMATION, data)
    return run_id


def _check(*, order_no: str, customer_id: int, items: Sequence[Wanted], slot: int, coupon: str | None) -> OrderRequest:
    """Check what is known at once, and fix prices and discount."""
    faults: list[Fault] = []
    known = inventory.selectors.skus(codes=[item.sku for item in items])
    for index, item in enumerate(items):
        pointer = f"/items/{index}/sku"
        if item.sku not in known:
            faults.append(Fault("unknown-sku", f"There is no SKU {item.sku}.", pointer))
        elif not known[item.sku].active:
            faults.append(Fault("inactive-sku", f"{item.sku} is not on the menu any more.", pointer))
    standing = delivery.selectors.standing(slot=slot)
    if standing is None:
        faults.append(Fault("unknown-slot", f"There is no slot {slot}.", "/slot"))
    elif standing is Standing.BEGUN:
        faults.append(Fault("past-slot", f"Slot {slot} has begun already.", "/slot"))
    elif standing is Standing.INACTIVE:
        faults.append(Fault("inactive-slot", f"Slot {slot} takes no more orders.", "/slot"))
    discount = 0
    if coupon is not None:
        try:
            discount = coupons.selectors.discount(code=coupon, customer_id=customer_id)
        except sagas.Rejected:
            faults.append(Fault(COUPON_NOT_USABLE, "The coupon cannot be used.", "/coupon"))
    if faults:
        raise OrderRefused(faults)
    priced = tuple(Item(item.sku, item.quantity, known[item.sku].price_cents) for item in items)
    # No more than the price of the order, so that lines less discount are the total in every record.
    discount = min(discount, sum(item.quantity * item.unit_price_cents for item in priced))
    return OrderRequest(order_no, customer_id, priced, slot, coupon, discount)


def receive_payment(*, message: Message) -> Answer:
    """Keep a signed message of the gateway, and take its payment if it is what the order costs.

    A repeat gets the present state of payment and order. No signed message is refused: a payment that does not pay
    the order is due back, and the answer says why.
    """
    found = Order.objects.filter(order_no=message.order_no).values_list("run_id", "status", "total_cents").first()
    if found is None:
        return payments.services.receive(message, None)
    run_id, status, total_cents = found
    bill = Bill(run_id, _total(run_id) if total_cents is None else total_cents, settings.CURRENCY)
    answer = payments.services.receive(message, bill)
    if answer.state is None:
        # Its run is pruned.
        return replace(answer, state=state_without_run(status))
    return answer


def _total(run_id: UUID) -> int:
    """The price of an order from before totals were stored. Orders of pruned runs cannot be paid."""
    request = Run.objects.filter(pk=run_id).values_list("request", flat=True).first()
    return PlaceOrder.definition.load(json.dumps(request)).total_cents if request else 0


def cancel_order(*, customer_id: int, order_no: str) -> State:
    """Cancel a customer's own order, if it is not confirmed. A repeat gets the same answer.

    Raises:
        OrderNotFound: the customer has no such order.
        sagas.AlreadyDecided: it is confirmed.
    """
    run_id, status = _run_of(customer_id=customer_id, order_no=order_no)
    with transaction.atomic():
        try:
            state = sagas.cancel(
                run_id,
                reason="cancelled by the customer",
                message="cancelled by the customer",
                by=f"customer {customer_id}",
            )
        except sagas.RunNotFound:
            if (ended := state_without_run(status)) is State.FAILED:
                return ended
            raise sagas.AlreadyDecided(_PRUNED, ended) from None
        # No step has handled the order, so no compensation will mark it. The run is locked, and will not begin.
        Order.objects.filter(run_id=run_id, status=OrderStatus.RECEIVED).update(status=OrderStatus.REJECTED)
    return state


#: The reason that is shown for an order whose run was pruned (docs/how-to/operate.md, "Old runs").
_PRUNED = "it has ended long ago, and its record is gone"


def _run_of(**which: Any) -> tuple[UUID, str]:
    """The run and the status of an order; ``OrderNotFound`` if there is none."""
    found = Order.objects.filter(**which).values_list("run_id", "status").first()
    if found is None:
        raise OrderNotFound(which["order_no"])
    return found
