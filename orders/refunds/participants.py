"""The steps of the saga that refunds a confirmed order: money, place, coupon and cups go back. It only goes forward.

The request is kept with the run as JSON, so changed code must still read old requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

from annotated_types import Gt, MaxLen

import coupons.participants as coupons
import delivery.services
import inventory.services
import payments.refunds
from orders import events
from orders.models import Order, OrderLine
from payments.models import Payment, PaymentState
from sagas import Call, Done, Operation, Rejected


def worth(*, cents: int, quantity: int, refunded: int, more: int) -> int:
    """What ``more`` cups of a line are worth, of which some may be refunded: all parts add up to the line.

    Args:
        cents: what the line cost, less its share of the discount.
        quantity: its cups.
        refunded: how many of them are refunded already.
        more: how many are to be refunded now.
    """
    return cents * (refunded + more) // quantity - cents * refunded // quantity


@dataclass(frozen=True, slots=True)
class Returned:
    """Cups of one SKU that go back."""

    sku: Annotated[str, MaxLen(32)]
    quantity: Annotated[int, Gt(0)]


@dataclass(frozen=True, slots=True)
class RefundOrderRequest:
    """A refund that was accepted.

    Attributes:
        order_no: the order.
        order_run: its run.
        customer_id: whose order it is.
        lines: the cups that go back.
        fresh: whether they are not made, so that they go back to the stock.
        coupon: the order's, which goes back with the last cup.
        by: who wants it.
        reason: why.
        later: its money goes behind ordinary refunds.
        discount_cents: of the order; for the coupon's participant, which asks for it.
    """

    order_no: str
    order_run: UUID
    customer_id: int
    lines: tuple[Returned, ...]
    fresh: bool
    coupon: str | None
    by: str
    reason: str
    later: bool = False
    discount_cents: int = 0


class NothingLeft(Rejected):
    """So much is not left of the order: another refund was faster."""


class NoPayment(Exception):
    """The order has no payment that pays it: a person must look."""


def begin(call: Call[RefundOrderRequest]) -> dict[str, Any]:
    """Note on the order what is refunded of it. From here on the refund only goes forward.

    The result is ``{"amount": minor units, "whole": whether nothing of the order is left}``.
    """
    order = Order.objects.select_for_update(no_key=True).get(run_id=call.request.order_run)
    lines = list(OrderLine.objects.select_for_update().filter(order=order).order_by("pk"))
    amount, whole = appraise(lines, {one.sku: one.quantity for one in call.request.lines})
    for line in lines:
        line.save(update_fields=["refunded_quantity"])
    order.refunded_cents += amount
    order.save(update_fields=["refunded_cents"])
    return {"amount": amount, "whole": whole}


def appraise(lines: Sequence[OrderLine], wanted: Mapping[str, int]) -> tuple[int, bool]:
    """Take cups from what is left of these lines, in memory; return what they are worth, and whether nothing is left.

    Raises:
        NothingLeft: so much is not left.
    """
    left = {line.sku: line.quantity - line.refunded_quantity for line in lines}
    for sku, quantity in wanted.items():
        if not 0 < quantity <= left.get(sku, 0):
            raise NothingLeft(f"{quantity} of {sku} are to be refunded, of which {left.get(sku, 0)} are left")
    amount = 0
    for line in lines:
        if more := wanted.get(line.sku, 0):
            cents = line.quantity * line.unit_price_cents - line.discount_cents
            amount += worth(cents=cents, quantity=line.quantity, refunded=line.refunded_quantity, more=more)
            line.refunded_quantity += more
    return amount, all(line.refunded_quantity == line.quantity for line in lines)


def return_money(call: Call[RefundOrderRequest]) -> dict[str, str] | None:
    """Start the refund of the order's payment, in this commit. What cost nothing has none."""
    asked, amount = call.request, call.results["begin"]["amount"]
    if not amount:
        return None
    pays = Payment.objects.filter(
        run_id=asked.order_run,
        reason="",
        state__in=[PaymentState.TAKEN, PaymentState.RETURNING, PaymentState.PARTLY_RETURNED],
    )
    payment = pays.select_for_update().order_by("id").first()
    if payment is None:
        msg = f"no payment pays order {asked.order_no}, of which {amount} are to be returned"
        raise NoPayment(msg)
    refund = payments.refunds.request_refund(payment, amount, by=asked.by, note=asked.reason, later=asked.later)
    return {"refund_id": str(refund.pk)}


def give_back_place(call: Call[RefundOrderRequest]) -> None:
    """Free the order's place in its slot, if nothing is left of the order."""
    if _is_whole(call):
        refused = delivery.services.give_back(run_id=call.request.order_run)
        if refused is not None:
            events.tell_moved(refused)


def give_back_coupon(call: Call[RefundOrderRequest]) -> None:
    """Undo the use of the order's coupon, if nothing is left of the order, as an undo of the order would."""
    if _is_whole(call) and call.request.coupon is not None:
        undo: Call[RefundOrderRequest] = replace(
            call, run_id=call.request.order_run, step="apply_coupon", operation=Operation.COMPENSATE, results={}
        )
        (answer,) = coupons.refund.many([undo])
        assert isinstance(answer, Done)


def give_back_cups(call: Call[RefundOrderRequest]) -> None:
    """Put the cups back that are not made."""
    for cups in sorted(call.request.lines, key=lambda one: one.sku) if call.request.fresh else ():
        inventory.services.give_back(
            run_id=call.request.order_run, by_run=call.run_id, step=call.step, sku=cups.sku, quantity=cups.quantity
        )


def _is_whole(call: Call[RefundOrderRequest]) -> bool:
    return bool(call.results["begin"]["whole"])
