"""The steps of the saga that refunds a confirmed order: money, place, coupon and cups go back. It only goes forward.

The request is kept with the run as JSON, so changed code must still read old requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

from annotated_types import Gt, MaxLen

import campaigns.returns
import coupons.participants as coupons
import delivery.services
import inventory.services
import payments.refunds
from campaigns.returns import Cups
from orders import events
from orders.groups import stock
from orders.models import Order, OrderLine
from payments.models import Payment, PaymentState
from sagas import Call, Done, Operation, Outcome, Rejected, set_based

#: What stands before the reason of a refund where a store reads it.
REFUNDED: Final = "refunded: "


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
        fresh: whether it was accepted before the slot's cut-off; see ``_is_unmade``.
        coupon: the order's, which goes back with the last cup.
        by: who wants it.
        reason: why.
        later: its money goes behind ordinary refunds.
        discount_cents: of the order; for the coupon's participant, which asks for it.
        campaign: id of the group buy whose member the order has made of its customer.
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
    campaign: int | None = None


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


def give_back_place(call: Call[RefundOrderRequest]) -> dict[str, bool | None]:
    """Take the cups out of the store's queue, and free the order's place in its slot if nothing of it is left.

    The result is ``{"unmade": whether the store had not begun}``; ``None`` of an order that no store has.
    """
    returned = delivery.services.give_back(
        run_id=call.request.order_run,
        cups={one.sku: one.quantity for one in call.request.lines},
        whole=_is_whole(call),
        reason=f"{REFUNDED}{call.request.reason}",
    )
    if returned.moved is not None:
        events.tell_moved(returned.moved)
    return {"unmade": returned.are_unmade}


def give_back_coupon(call: Call[RefundOrderRequest]) -> None:
    """Undo the use of the order's coupon, if nothing is left of the order, as an undo of the order would."""
    if _is_whole(call) and call.request.coupon is not None:
        undo: Call[RefundOrderRequest] = replace(
            call, run_id=call.request.order_run, step="apply_coupon", operation=Operation.COMPENSATE, results={}
        )
        (answer,) = coupons.refund.many([undo])
        assert isinstance(answer, Done)


def is_of_campaign(request: RefundOrderRequest) -> bool:
    """Whether the order is that of a member of a group buy."""
    return request.campaign is not None


@set_based
def leave_campaign(calls: Sequence[Call[RefundOrderRequest]]) -> list[Outcome]:
    """Free the members' places in their campaigns, and end their memberships, where nothing of the order is left."""
    campaigns.returns.end_memberships(run_ids=[call.request.order_run for call in calls if _is_whole(call)])
    return [Done() for _ in calls]


@set_based
def give_back_cups(calls: Sequence[Call[RefundOrderRequest]]) -> list[Outcome]:
    """Put the cups back that the store has not begun with: into the stock, or into the quota of their campaign.

    First quotas are locked, by campaign; then SKUs, by code: as whoever settles a campaign does.
    """
    cups = [(call, one) for call in calls if _is_unmade(call) for one in call.request.lines]
    surplus = campaigns.returns.give_back_cups(
        returned=[
            Cups(call.request.order_run, call.run_id, call.step, one.quantity)
            for call, one in cups
            if is_of_campaign(call.request)
        ]
    )
    moves: list[tuple[str, Callable[[], None]]] = [
        (
            of.sku,
            partial(stock.give_back, campaign_id=of.campaign_id, sku=of.sku, cups=of.cups, by="refund", reason=WHY),
        )
        for of in surplus
    ]
    moves += [(one.sku, partial(_give_back, call, one)) for call, one in cups if not is_of_campaign(call.request)]
    for _, move in sorted(moves, key=lambda move: move[0]):
        move()
    return [Done() for _ in calls]


#: Why cups of a settled campaign come back to the stock, for the ledger.
WHY = "a member's order was refunded"


def _give_back(call: Call[RefundOrderRequest], cups: Returned) -> None:
    inventory.services.give_back(
        run_id=call.request.order_run, by_run=call.run_id, step=call.step, sku=cups.sku, quantity=cups.quantity
    )


def _is_unmade(call: Call[RefundOrderRequest]) -> bool:
    """Whether the cups are not made. Of an order from before stores had queues, the cut-off says so.

    Runs that were there before the step said it have no result of it.
    """
    unmade: bool | None = (call.results.get("give_back_place") or {}).get("unmade")
    return call.request.fresh if unmade is None else unmade


def _is_whole(call: Call[RefundOrderRequest]) -> bool:
    return bool(call.results["begin"]["whole"])
