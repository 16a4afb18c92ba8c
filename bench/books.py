"""Check that the measured orders are correct: every order and every cup is accounted for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Count, Sum

from bench.workload import PLENTY
from coupons.models import Coupon, Grant, GrantState
from delivery.models import Slot, SlotHold
from inventory.models import Batch, SkuHold
from orders.models import Order, OrderStatus
from orders.sagas import PlaceOrder
from sagas.definition.participants import Phase
from sagas.models import Log, Run
from sagas.pool import Hold, HoldState, Pool
from sagas.states import State


class Unbalanced(Exception):
    """A measured order did not succeed, or a count is wrong."""


def check(orders: int, *, cancelled: int = 0) -> None:
    """Check that all orders succeeded, with every effect once, and that the stock is right.

    Args:
        orders: how many were placed in all.
        cancelled: how many of them, cancelled while they waited for their payment, must be undone instead.

    Raises:
        Unbalanced: an order did not end as it should, or a count is wrong.
    """
    steps, paid = PlaceOrder.definition.steps, orders - cancelled
    forward, confirms, undos = (
        sum(phase in step.actions for step in steps) for phase in (Phase.FORWARD, Phase.CONFIRM, Phase.UNDO)
    )
    states = {state: count for state, count in ((State.SUCCEEDED, paid), (State.FAILED, cancelled)) if count}
    _expect("runs by state", dict(Run.objects.values_list("state").annotate(Count("id"))), states)
    _expect("confirmed orders", Order.objects.filter(status=OrderStatus.CONFIRMED).count(), paid)
    operations = orders * forward + paid * confirms + cancelled * undos
    _expect("operations on record", Log.objects.filter(outcome="DONE").count(), operations)
    _expect("used grants", Grant.objects.filter(state=GrantState.USED).count(), paid)
    _expect("granted coupons", Coupon.objects.aggregate(Sum("sold"))["sold__sum"], orders)
    _check_pool(Batch.objects.all(), SkuHold.objects.all(), orders, paid)
    _check_pool(Slot.objects.all(), SlotHold.objects.all(), orders, paid)


def _check_pool(pools: Iterable[Pool], holds: Any, orders: int, paid: int) -> None:
    """Check that each row has sold what its holds say, holds nothing, and has the rest available."""
    model: type[Hold] = holds.model
    sold = dict(holds.filter(state=HoldState.CONFIRMED).values_list("pool_key").annotate(Sum("quantity")).order_by())
    _expect(f"{model.__name__}s", (holds.count(), sum(sold.values())), (orders, paid))
    for pool in pools:
        count = sold.get(str(pool.pk), 0)
        _expect(f"{pool} (available, held, sold)", (pool.available, pool.held, pool.sold), (PLENTY - count, 0, count))


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        msg = f"{what}: {found}, and not {expected}"
        raise Unbalanced(msg)
