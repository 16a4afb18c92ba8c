"""What was sold of a recalled batch is refunded, order by order, in a person's name. A repeat refunds nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import inventory.recalls
from orders.models import Order, OrderRefund
from orders.refunds.services import NotRefundable, refund_order


@dataclass(frozen=True, slots=True)
class Sale:
    """Cups of a recalled batch that an order has bought.

    Attributes:
        order_no: the order.
        sku: of which SKU.
        cups: how many of them are to be refunded; 0 if all are refunded already.
    """

    order_no: str
    sku: str
    cups: int


def sales(*, batch: str) -> list[Sale]:
    """List the orders that have bought cups of a batch, the oldest first; those whose runs are pruned are not known."""
    sold = inventory.recalls.sold_cups(batch=batch)
    sku = inventory.recalls.sku_of(batch=batch)
    found: list[Sale] = []
    orders = Order.objects.filter(run_id__in=list(sold)).prefetch_related("lines", "refunds").order_by("id")
    for order in orders:
        left = sum(line.quantity - line.refunded_quantity for line in order.lines.all() if line.sku == sku)
        # Cups that are made stay sold: a refund of them is known by its key.
        is_known = any(refund.key == _key(batch) for refund in order.refunds.all())
        found.append(Sale(order.order_no, sku, 0 if is_known else min(sold[order.run_id], left)))
    return found


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one order.

    Attributes:
        order_no: the order.
        refund: its refund; ``None`` if there is none.
        why: why there is none.
    """

    order_no: str
    refund: OrderRefund | None
    why: str = ""


def refund_sold(*, batch: str, reason: str, by: str) -> Iterator[Told]:
    """Refund the cups that were sold of a recalled batch, each order in a transaction of its own.

    Args:
        batch: the batch.
        reason: why, for the record.
        by: the person who recalls it.
    """
    for sale in sales(batch=batch):
        if not sale.cups:
            yield Told(sale.order_no, None, "is refunded already")
            continue
        try:
            refund = refund_order(
                order_no=sale.order_no,
                reason=f"batch {batch} is recalled: {reason}",
                by=by,
                lines={sale.sku: sale.cups},
                key=_key(batch),
            )
        except NotRefundable as refused:
            yield Told(sale.order_no, None, str(refused))
        else:
            yield Told(sale.order_no, refund)


def _key(batch: str) -> str:
    return f"recall {batch}"
