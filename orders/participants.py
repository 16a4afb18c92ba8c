"""The participants of the orders domain: place, confirm and reject an order.

They are set-based, with one statement each for a whole cohort. The rows need no locks of their own, because an order
belongs to one run, and the run is locked.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from uuid import UUID

from django.db import connection, transaction

from orders import events, metrics
from orders.models import Order, OrderStatus
from orders.requests import OrderRequest, split
from sagas import Call, Done, Outcome, Rejected, locking, no_lock_keys, set_based
from sagas.db import array, uuid_array
from sagas.postgresql import prepared

# The total is written when the order is accepted. Orders from before that was so get it here.
_CREATE = """
WITH line AS (
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::int[], %s::int[], %s::int[])
        WITH ORDINALITY AS v(run_id, sku, quantity, unit_price_cents, discount_cents, position)
), price AS (
    SELECT run_id, sum(quantity::bigint * unit_price_cents)::bigint AS cents FROM line GROUP BY run_id
), placed AS (
    UPDATE orders_order AS o SET status = %s,
        total_cents = COALESCE(o.total_cents, GREATEST(price.cents - o.discount_cents, 0))
    FROM price WHERE o.run_id = price.run_id AND o.status = %s RETURNING o.id, o.run_id
), written AS (
    INSERT INTO orders_orderline (order_id, sku, quantity, unit_price_cents, discount_cents)
    SELECT placed.id, line.sku, line.quantity, line.unit_price_cents, line.discount_cents
    FROM line JOIN placed USING (run_id)
    ORDER BY line.position
)
SELECT run_id FROM placed
"""


class NoSuchOrder(Rejected):
    """There is no order of this run that waits to be placed."""


class OrderMissing(Exception):
    """An order is not there, or not as its run has left it: somebody has changed it by other means."""


@locking(no_lock_keys)
@set_based
def create_order(calls: Sequence[Call[OrderRequest]]) -> list[Outcome]:
    """Place the orders of the calls: write their lines."""
    lines = [(call.run_id, item) for call in calls for item in call.request.items]
    with connection.cursor() as cursor:
        prepared.execute(
            cursor,
            _CREATE,
            [
                uuid_array(run_id for run_id, _ in lines),
                array(item.sku for _, item in lines),
                array(item.quantity for _, item in lines),
                array(item.unit_price_cents for _, item in lines),
                array(share for call in calls for share in _shares(call.request)),
                OrderStatus.PLACED,
                OrderStatus.RECEIVED,
            ],
            rows=prepared.ANY,
        )
        placed = {run_id for (run_id,) in cursor.fetchall()}
    events.tell([call for call in calls if call.run_id in placed], events.PLACED)
    return [Done() if call.run_id in placed else NoSuchOrder() for call in calls]


def _shares(request: OrderRequest) -> list[int]:
    """Each line's share of the discount. Most orders have none."""
    if not request.discount_cents:
        return [0] * len(request.items)
    return split(request.discount_cents, request.items)


@locking(no_lock_keys)
@set_based
def confirm_order(calls: Sequence[Call[OrderRequest]]) -> list[Outcome]:
    """Mark the orders as confirmed: they will be delivered.

    Raises:
        OrderMissing: there is no such order, or it has another status.
    """
    return _mark(calls, OrderStatus.CONFIRMED, events.CONFIRMED, may_be={OrderStatus.CONFIRMED})


@locking(no_lock_keys)
@set_based
def reject_order(calls: Sequence[Call[OrderRequest]]) -> list[Outcome]:
    """Mark the orders as rejected. They and their lines are kept, for the customer and for the record.

    Raises:
        OrderMissing: an order is confirmed.
    """
    # There is nothing to undo if it was never placed, or is no longer there.
    return _mark(
        calls, OrderStatus.REJECTED, events.REJECTED, may_be={OrderStatus.REJECTED, OrderStatus.RECEIVED, None}
    )


def reject_unplaced(run_ids: Sequence[UUID]) -> None:
    """Mark the orders of undone runs whose first step was never done: no compensation has marked them."""
    with transaction.atomic():
        left = Order.objects.filter(run_id__in=run_ids, status=OrderStatus.RECEIVED)
        found = list(left.order_by("run_id").select_for_update(no_key=True))
        if found:
            Order.objects.filter(pk__in=[order.pk for order in found]).update(status=OrderStatus.REJECTED)
            events.tell_rejected(found)


def write_ends(run_ids: Sequence[UUID], *, confirmed: bool) -> None:
    """Mark the orders of ended runs that still stand as if these were under way: they have been ended by hand."""
    under_way = Order.objects.filter(run_id__in=run_ids, status__in=[OrderStatus.RECEIVED, OrderStatus.PLACED])
    if confirmed:
        # Orders from before totals were stored have none, and cannot be confirmed.
        under_way.exclude(total_cents=None).update(status=OrderStatus.CONFIRMED)
    else:
        under_way.update(status=OrderStatus.REJECTED)


def _mark(
    calls: Sequence[Call[OrderRequest]], status: OrderStatus, kind: str, *, may_be: Set[str | None]
) -> list[Outcome]:
    """Mark placed orders. Others must have one of the statuses ``may_be`` (``None``: may be missing)."""
    ids = {call.run_id for call in calls}
    with connection.cursor() as cursor:
        prepared.execute(
            cursor,
            "UPDATE orders_order SET status = %s WHERE run_id = ANY(%s::uuid[]) AND status = %s RETURNING run_id",
            [status, uuid_array(ids), OrderStatus.PLACED],
            rows=prepared.ANY,
        )
        others = ids - {run_id for (run_id,) in cursor.fetchall()}
    events.tell([call for call in calls if call.run_id not in others], kind)
    metrics.ORDERS.add(len(ids) - len(others), outcome=status.value.lower())
    if others:
        found = dict(Order.objects.filter(run_id__in=others).values_list("run_id", "status"))
        for run_id in others:
            if found.get(run_id) not in may_be:
                msg = f"the order of run {run_id} is {found.get(run_id, 'not there')}, and is to be {status}"
                raise OrderMissing(msg)
    return [Done() for _ in calls]
