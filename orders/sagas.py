"""The sagas of orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings

import campaigns.participants as campaigns
import coupons.participants as coupons
import delivery.participants as delivery
import inventory.participants as inventory
import payments.participants as payments
from orders import participants as orders
from orders.fulfilment.sagas import PlaceStoreOrder, StoreOrderRequest
from orders.reconciliation.sagas import ReviewFindings  # noqa: F401 - the engine looks for the sagas of an app here
from orders.refunds import participants as order_refunds
from orders.refunds.participants import RefundOrderRequest
from orders.requests import ChargeRequest, GroupRequest, OrderRequest
from payments import gateways, refunds
from sagas import (
    Confirmation,
    Events,
    Objective,
    PrunedRun,
    Retry,
    Saga,
    State,
    Step,
    Tcc,
    Transition,
    on_prune,
    on_transition,
)


class PlaceOrder(Saga[OrderRequest]):
    """Confirm an order with its stock, coupon and delivery, or undo every part."""

    publishes = settings.PUBLISH_EVENTS
    lifecycle = settings.ORDER_LIFECYCLE
    objectives = (Objective("settled", target=0.999992, within=timedelta(seconds=5)),)

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
    reserve_inventory = Tcc[OrderRequest](
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
        # Each call is counted in the grant, up to three.
        finish_retry=Retry(attempts=3),
        events=Events(
            done="CouponRedeemed", rejected="CouponRejected", failed="CouponNotRedeemed", undone="CouponRefunded"
        ),
    )
    schedule_delivery = Tcc[OrderRequest](
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


class PlaceShortLivedOrder(Saga[StoreOrderRequest]):
    """Place an order whose drinks spoil soon, or which is due soon: all steps in one commit, then one atomic confirm.

    It is as ``PlaceOrder``, in a slot or picked up. What a courier brings is a ``PlaceStoreOrder`` in any case: no saga
    can be compressed that calls another system.
    """

    publishes = settings.PUBLISH_EVENTS
    lifecycle = "compressed"
    objectives = PlaceOrder.objectives

    payment = PlaceOrder.payment

    create_order = PlaceOrder.create_order
    reserve_inventory = PlaceOrder.reserve_inventory
    apply_coupon = PlaceOrder.apply_coupon
    schedule_delivery = PlaceOrder.schedule_delivery


#: The sagas by which an order of one customer is placed.
PLACING: tuple[type[Saga[Any]], ...] = (PlaceOrder, PlaceShortLivedOrder, PlaceStoreOrder)


class ChargeOrder(Saga[ChargeRequest]):
    """Place an order that is paid at once, by a step: the gateway charges a card, and an undo returns it.

    It waits for nobody, so nothing is held for a payer. But holds wait for the gateway: the charge is the last step.
    """

    create_order = PlaceOrder.create_order
    reserve_inventory = PlaceOrder.reserve_inventory
    apply_coupon = PlaceOrder.apply_coupon
    schedule_delivery = PlaceOrder.schedule_delivery
    charge = Step(
        gateways.charges,
        confirm=payments.note_charge,
        compensate=gateways.charge_refunds,
        queue="payments",
        finish_retry=Retry(attempts=60, delay=timedelta(seconds=2), max_delay=timedelta(minutes=30)),
    )


class RefundOrder(Saga[RefundOrderRequest]):
    """Give back a confirmed order, or some of its lines. The refund was accepted, so it only goes forward."""

    begin = Step(order_refunds.begin, queue="orders", pivot=True)
    return_money = Step(order_refunds.return_money, queue="payments")
    give_back_place = Step(order_refunds.give_back_place, queue="delivery")
    leave_campaign = Step(order_refunds.leave_campaign, queue="campaigns", when=order_refunds.is_of_campaign)
    give_back_coupon = Step(order_refunds.give_back_coupon, queue="coupons")
    give_back_cups = Step(order_refunds.give_back_cups, queue="inventory")


class JoinCampaign(Saga[GroupRequest]):
    """Make a customer a member of a group buy: a place, cups out of its quota, a delivery; or undo every part.

    It is confirmed once the customer has paid and the group has formed. The second is one decision for all members.
    """

    publishes = settings.PUBLISH_EVENTS
    lifecycle = settings.ORDER_LIFECYCLE
    objectives = PlaceOrder.objectives

    # All of a group that is short are refunded at once: behind the refunds that single customers wait for.
    payment = Confirmation(
        within=timedelta(seconds=settings.CONFIRM_WITHIN_SECONDS), compensate=payments.give_back_later, queue="payments"
    )
    formed = Confirmation(decided_by=lambda request: str(request.campaign), needs_compensation=False)

    create_order = Step(
        orders.create_order, confirm=orders.confirm_order, compensate=orders.reject_order, queue="orders"
    )
    take_place = Tcc[GroupRequest](
        campaigns.places,
        rejects=(
            campaigns.CampaignFull,
            campaigns.CampaignClosed,
            campaigns.TermsChanged,
            campaigns.AlreadyMember,
        ),
        queue="campaigns",
    )
    take_cups = Tcc[GroupRequest](campaigns.quota, rejects=(campaigns.CupsGone,), queue="campaigns")
    apply_coupon = Step(coupons.redeem, compensate=coupons.refund, queue="coupons", finish_retry=Retry(attempts=3))
    schedule_delivery = Tcc[GroupRequest](delivery.slots, retry=Retry(attempts=3), queue="delivery")
    # Last: whoever is a member has everything, and only the confirmations are missing.
    join = Step(campaigns.join, confirm=campaigns.keep, compensate=campaigns.leave, queue="campaigns")


@on_transition(saga=JoinCampaign, target=State.FAILED, many=True)
@on_transition(saga=ChargeOrder, target=State.FAILED, many=True)
@on_transition(saga=PlaceShortLivedOrder, target=State.FAILED, many=True)
@on_transition(saga=PlaceOrder, target=State.FAILED, many=True)
def mark_unplaced(transitions: Sequence[Transition]) -> None:
    """Reject the orders that failed before their first step, which no compensation marks.

    A hook may be lost. Then such an order keeps the status RECEIVED; its run, which the API shows, is FAILED.
    """
    orders.reject_unplaced([transition.run_id for transition in transitions])


@on_transition(saga=JoinCampaign, source=State.ESCALATED, many=True)
@on_transition(saga=PlaceStoreOrder, source=State.ESCALATED, many=True)
@on_transition(saga=PlaceShortLivedOrder, source=State.ESCALATED, many=True)
@on_transition(saga=PlaceOrder, source=State.ESCALATED, many=True)
def offer_parked(transitions: Sequence[Transition]) -> None:
    """Offer the payments again that came while these orders waited for a person.

    A hook may be lost. Then a repeat of the gateway's message offers the payment, or the sweep.
    """
    refunds.offer_parked([transition.run_id for transition in transitions])


# A request with an idempotency key may be repeated for a day (orders.api.protocol.idempotency). Whatever comes later is
# answered by the order itself, and by its payments: they stay.
@on_prune(saga=JoinCampaign, keep=timedelta(days=1))
@on_prune(saga=ChargeOrder, keep=timedelta(days=1))
@on_prune(saga=PlaceShortLivedOrder, keep=timedelta(days=1))
@on_prune(saga=PlaceOrder, keep=timedelta(days=1))
def keep_ends(runs: Sequence[PrunedRun]) -> None:
    """Write how their runs ended into orders that do not say it: whose hook was lost, or that a person has ended."""
    for state in (State.SUCCEEDED, State.FAILED):
        ended = [run.run_id for run in runs if run.state is state]
        orders.write_ends(ended, confirmed=state is State.SUCCEEDED)
        refunds.end_payments(ended, confirmed=state is State.SUCCEEDED)
