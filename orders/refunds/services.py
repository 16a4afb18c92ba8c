"""Writes: a confirmed order, or some of its lines, is refunded. The saga does the work itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import uuid4

import uuid_utils.compat
from django.db import transaction

import delivery.selectors
from orders.errors import OrderNotFound
from orders.models import Order, OrderLine, OrderRefund, OrderStatus
from orders.refunds.participants import NothingLeft, RefundOrderRequest, Returned, appraise
from orders.sagas import RefundOrder
from sagas import State
from sagas.models import Run

#: The key of a refund of everything that is left.
WHOLE = "whole"
#: The reason of a customer who gives none.
BY_CUSTOMER: Final = "wanted by the customer"


class NotRefundable(Exception):
    """The order cannot be refunded, or not so: the message says why.

    Attributes:
        code: a stable word for programs.
    """

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


def refund_order(
    *,
    order_no: str,
    reason: str,
    by: str,
    lines: Mapping[str, int] | None = None,
    customer_id: int | None = None,
    key: str | None = None,
    later: bool = False,
) -> OrderRefund:
    """Refund a confirmed order, by a run of ``RefundOrder``. A repeat under the same key gets the first refund.

    Money goes back at the price at which the cups were ordered, less their share of the discount. Place and coupon go
    back with the last cup; cups go back to the stock if the store has not begun with them. Of a member of a group buy,
    its place and its cups of the quota go back likewise, and only staff refund it: nobody leaves a formed group.

    Args:
        order_no: the order.
        reason: why, for the record; up to 500 characters.
        by: who wants it.
        lines: cups by SKU; by default everything that is left.
        customer_id: the customer who asks, who may do so until the slot's cut-off; ``None`` for staff, who always may.
        key: what makes a repeat of the request known; by default, a refund of everything is one, and one of lines is
            a new one each time.
        later: the money goes behind ordinary refunds.

    Raises:
        OrderNotFound: there is no such order, or it is not this customer's.
        NotRefundable: it is not confirmed, it is past the cut-off, the customer is a member of a group, or so much is
            not left of it.
    """
    key = key or (WHOLE if lines is None else str(uuid4()))
    with transaction.atomic():
        run_id = _order(order_no, customer_id).run_id
        # First the run, as everybody does who changes the order.
        states = Run.objects.select_for_update(no_key=True).filter(pk=run_id).values_list("state", flat=True)
        state = states.first()
        order = _order(order_no, customer_id)
        known = OrderRefund.objects.filter(order=order, key=key).first()
        if known is not None and not _has_failed(known):
            return known
        _check_confirmed(order, state)
        if customer_id is not None and order.campaign is not None:
            # A confirmed member's group has formed.
            raise NotRefundable("group-formed", "The group has formed: nobody leaves it any more.")
        fresh = delivery.selectors.is_before_cut_off(slot=order.slot)
        if customer_id is not None and not fresh:
            raise NotRefundable("too-late-to-refund", "The drinks are being made.")
        asked, amount, whole = _appraise(order, lines)
        refund = known or OrderRefund(order=order, key=key)
        # The step decides again, under the lock of the lines: another refund may be faster.
        refund.amount, refund.whole, refund.lines = amount, whole, asked
        refund.reason, refund.by, refund.run_id = reason[:500], by, uuid_utils.compat.uuid7()
        refund.save()
        request = RefundOrderRequest(
            order_no=order_no,
            order_run=run_id,
            customer_id=order.customer_id,
            lines=tuple(Returned(sku, quantity) for sku, quantity in asked.items()),
            fresh=fresh,
            coupon=order.coupon,
            by=by,
            reason=reason[:500],
            later=later,
            discount_cents=order.discount_cents,
            campaign=order.campaign,
        )
        RefundOrder.start(request, business_key=order_no, run_id=refund.run_id)
        refund.refresh_from_db()
        return refund


def _has_failed(refund: OrderRefund) -> bool:
    """Whether a refund came to nothing: another one was faster, or a person has cancelled it before it began."""
    return Run.objects.filter(pk=refund.run_id, state=State.FAILED).exists()


def _order(order_no: str, customer_id: int | None) -> Order:
    mine = {} if customer_id is None else {"customer_id": customer_id}
    order = Order.objects.filter(order_no=order_no, **mine).first()
    if order is None:
        raise OrderNotFound(order_no)
    return order


def _check_confirmed(order: Order, state: str | None) -> None:
    """Raise ``NotRefundable`` unless the order's effects are final. The run of an old order is gone."""
    if state is None and order.status == OrderStatus.CONFIRMED:
        return
    if state == State.CONFIRMING:
        raise NotRefundable("order-not-confirmed", "The order is being confirmed. Ask again in a moment.")
    if state != State.SUCCEEDED or order.status != OrderStatus.CONFIRMED:
        raise NotRefundable("order-not-confirmed", f"The order is {state or order.status}: it is not refunded.")


def _appraise(order: Order, wanted: Mapping[str, int] | None) -> tuple[dict[str, int], int, bool]:
    """The cups that are to be refunded, what they are worth, and whether nothing is left then."""
    lines = list(OrderLine.objects.filter(order=order).order_by("pk"))
    left = {line.sku: line.quantity - line.refunded_quantity for line in lines}
    if not any(left.values()):
        raise NotRefundable("nothing-left-to-refund", "All of the order is refunded.")
    asked = {sku: quantity for sku, quantity in left.items() if quantity} if wanted is None else dict(wanted)
    try:
        amount, whole = appraise(lines, asked)
    except NothingLeft as error:
        raise NotRefundable("nothing-left-to-refund", f"{error}.") from error
    return asked, amount, whole
