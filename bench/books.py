"""Check that the measured orders are correct: every order and every cup is accounted for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Count, Sum

from bench.workload import PLENTY
from coupons.models import Coupon, Redemption, RedemptionState
from delivery.models import Slot, SlotHold
from inventory.models import Sku, SkuHold
from orders.models import Order, OrderStatus
from orders.sagas import PlaceOrder
from sagas.definition.participants import Phase
from sagas.models import Log, Run
from sagas.pool import Hold, HoldState, Pool
from sagas.states import State


class Unbalanced(Exception):
    """A measured order did not succeed, or a count is wrong."""


def check(orders: int) -> None:
    """Check that all orders succeeded, with every effect once, and that the stock is right.

    Args:
        orders: how many were placed in all.

    Raises:
        Unbalanced: an order did not succeed, or a count is wrong.
    """
    operations = sum(
        phase in step.actions for step in PlaceOrder.definition.steps for phase in (Phase.FORWARD, Phase.CONFIRM)
    )
    _expect("runs by state", dict(Run.objects.values_list("state").annotate(Count("id"))), {State.SUCCEEDED: orders})
    _expect("confirmed orders", Order.objects.filter(status=OrderStatus.CONFIRMED).count(), orders)
    _expect("operations on record", Log.objects.filter(outcome="DONE").count(), orders * operations)
    _expect("redemptions", Redemption.objects.filter(state=RedemptionState.REDEEMED).count(), orders)
    _expect("used coupons", Coupon.objects.filter(used=True).count(), orders)
    _check_pool(Sku.objects.all(), SkuHold.objects.all(), orders)
    _check_pool(Slot.objects.all(), SlotHold.objects.all(), orders)


def _check_pool(pools: Iterable[Pool], holds: Any, orders: int) -> None:
    """Check that each row has sold what its holds say, holds nothing, and has the rest available."""
    model: type[Hold] = holds.model
    sold = dict(holds.filter(state=HoldState.CONFIRMED).values_list("pool_key").annotate(Sum("quantity")).order_by())
    _expect(f"{model.__name__}s", (holds.count(), sum(sold.values())), (orders, orders))
    for pool in pools:
        count = sold.get(str(pool.pk), 0)
        _expect(f"{pool} (available, held, sold)", (pool.available, pool.held, pool.sold), (PLENTY - count, 0, count))


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        msg = f"{what}: {found}, and not {expected}"
        raise Unbalanced(msg)
