"""The participants of the orders domain: place, confirm and reject an order.

They are set-based, with one statement each for a whole cohort. The rows need no locks of their own, because an order
belongs to one run, and the run is locked.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from uuid import UUID

from django.db import connection

from orders.models import Order, OrderStatus
from orders.requests import OrderRequest
from sagas import Call, Done, Rejected, set_based
from sagas.definition.participants import Outcome

# The total is written when the order is accepted. Orders from before that was so get it here.
_CREATE = """
WITH line AS (
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::int[], %s::int[])
        WITH ORDINALITY AS v(run_id, sku, quantity, unit_price_cents, position)
), price AS (
    SELECT run_id, sum(quantity::bigint * unit_price_cents)::bigint AS cents FROM line GROUP BY run_id
), placed AS (
    UPDATE orders_order AS o SET status = %s,
        total_cents = COALESCE(o.total_cents, GREATEST(price.cents - o.discount_cents, 0))
    FROM price WHERE o.run_id = price.run_id AND o.status = %s RETURNING o.id, o.run_id
), written AS (
    INSERT INTO orders_orderline (order_id, sku, quantity, unit_price_cents)
    SELECT placed.id, line.sku, line.quantity, line.unit_price_cents FROM line JOIN placed USING (run_id)
    ORDER BY line.position
)
SELECT run_id FROM placed
"""


class NoSuchOrder(Rejected):
    """There is no order of this run that waits to be placed."""


class OrderMissing(Exception):
    """An order is not there, or not as its run has left it: somebody has changed it by other means."""


@set_based
def create_order(calls: Sequence[Call[OrderRequest]]) -> list[Outcome]:
    """Place the orders of the calls: write their lines."""
    lines = [(call.run_id, item) for call in calls for item in call.request.items]
    with connection.cursor() as cursor:
        cursor.execute(
            _CREATE,
            [
                [run_id for run_id, _ in lines],
                [item.sku for _, item in lines],
                [item.quantity for _, item in lines],
                [item.unit_price_cents for _, item in lines],
                OrderStatus.PLACED,
                OrderStatus.RECEIVED,
            ],
        )
        placed = {run_id for (run_id,) in cursor.fetchall()}
    return [Done() if call.run_id in placed else NoSuchOrder() for call in calls]


@set_based
def confirm_order(calls: Sequence[Call[OrderRequest]]) -> list[Outcome]:
    """Mark the orders as confirmed: they will be delivered.

    Raises:
        OrderMissing: there is no such order, or it has another status.
    """
    return _mark(calls, OrderStatus.CONFIRMED, may_be={OrderStatus.CONFIRMED})


@set_based
def reject_order(calls: Sequence[Call[OrderRequest]]) -> list[Outcome]:
    """Mark the orders as rejected. They and their lines are kept, for the customer and for the record.

    Raises:
        OrderMissing: an order is confirmed.
    """
    # There is nothing to undo if it was never placed, or is no longer there.
    return _mark(calls, OrderStatus.REJECTED, may_be={OrderStatus.REJECTED, OrderStatus.RECEIVED, None})


def reject_unplaced(run_ids: Sequence[UUID]) -> None:
    """Mark the orders of undone runs whose first step was never done: no compensation has marked them."""
    Order.objects.filter(run_id__in=run_ids, status=OrderStatus.RECEIVED).update(status=OrderStatus.REJECTED)


def _mark(calls: Sequence[Call[OrderRequest]], status: OrderStatus, *, may_be: Set[str | None]) -> list[Outcome]:
    """Mark placed orders. Others must have one of the statuses ``may_be`` (``None``: may be missing)."""
    ids = {call.run_id for call in calls}
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orders_order SET status = %s WHERE run_id = ANY(%s::uuid[]) AND status = %s RETURNING run_id",
            [status, list(ids), OrderStatus.PLACED],
        )
        others = ids - {run_id for (run_id,) in cursor.fetchall()}
    if others:
        found = dict(Order.objects.filter(run_id__in=others).values_list("run_id", "status"))
        for run_id in others:
            if found.get(run_id) not in may_be:
                msg = f"the order of run {run_id} is {found.get(run_id, 'not there')}, and is to be {status}"
                raise OrderMissing(msg)
    return [Done() for _ in calls]
