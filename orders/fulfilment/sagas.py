"""The saga of orders that are picked up in a store, or that a courier brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings

import coupons.participants as coupons
import delivery.participants as delivery
import inventory.participants as inventory
import payments.participants as payments
from delivery import courier
from delivery.addresses import Address
from delivery.models import FulfilmentKind
from orders import participants as orders
from orders.requests import OrderRequest
from payments import refunds
from sagas import Confirmation, Objective, PrunedRun, Retry, Saga, State, Step, Tcc, Transition, on_prune, on_transition


@dataclass(frozen=True, slots=True)
class StoreOrderRequest(OrderRequest):
    """An accepted order that is picked up, or that a courier brings to an address.

    The address is personal: its fields are marked, and ``sagas.erase`` overwrites them.
    """

    kind: FulfilmentKind = FulfilmentKind.PICK_UP
    address: Address | None = None

    @property
    def fulfilment(self) -> FulfilmentKind:
        """How the customer gets it."""
        return self.kind


def by_courier(request: StoreOrderRequest) -> bool:
    """Whether a courier brings the order."""
    return request.kind is FulfilmentKind.COURIER


class PlaceStoreOrder(Saga[StoreOrderRequest]):
    """Confirm an order with its stock, its coupon, its place in the store's slot, and its courier; or undo every part.

    What is picked up skips the courier's step. It is a saga of its own: ``PlaceOrder`` may be compressed, which no saga
    can be that calls another system.
    """

    name = "orders.PlaceStoreOrder"
    publishes = settings.PUBLISH_EVENTS
    # The courier is asked over HTTP.
    objectives = (Objective("settled", target=0.999, within=timedelta(seconds=10)),)

    payment = Confirmation(
        within=timedelta(seconds=settings.CONFIRM_WITHIN_SECONDS), compensate=payments.give_back, queue="payments"
    )

    create_order = Step(
        orders.create_order, confirm=orders.confirm_order, compensate=orders.reject_order, queue="orders"
    )
    reserve_inventory = Tcc(inventory.stock, rejects=(inventory.OutOfStock,), queue="inventory")
    apply_coupon = Step(
        coupons.redeem,
        compensate=coupons.refund,
        queue="coupons",
        finish_retry=Retry(attempts=3),
    )
    schedule_delivery = Tcc(delivery.slots, retry=Retry(attempts=3), queue="delivery")
    # Last: what is rejected before has called nobody.
    book_courier = Tcc(courier.couriers, retry=Retry(attempts=3), queue="delivery", when=by_courier)


@on_transition(saga=PlaceStoreOrder, target=State.FAILED, many=True)
def mark_unplaced(transitions: Sequence[Transition]) -> None:
    """Reject the orders that failed before their first step; as for ``PlaceOrder``."""
    orders.reject_unplaced([transition.run_id for transition in transitions])


@on_prune(saga=PlaceStoreOrder, keep=timedelta(days=1))
def keep_ends(runs: Sequence[PrunedRun]) -> None:
    """Write how their runs ended into orders that do not say it; as for ``PlaceOrder``."""
    for state in (State.SUCCEEDED, State.FAILED):
        ended = [run.run_id for run in runs if run.state is state]
        orders.write_ends(ended, confirmed=state is State.SUCCEEDED)
        refunds.end_payments(ended, confirmed=state is State.SUCCEEDED)
