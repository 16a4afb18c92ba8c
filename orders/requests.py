"""The request of the PlaceOrder saga. It is kept with the run as JSON, so changed code must still read old requests.

The other domains read their parts of it through protocols of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, MaxLen, MinLen


@dataclass(frozen=True, slots=True)
class Item:
    """Cups of one SKU, at the price (in cents) at which the order was accepted."""

    sku: Annotated[str, MaxLen(32)]
    quantity: Annotated[int, Gt(0)]
    unit_price_cents: Annotated[int, Ge(0)]


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An accepted order: prices and discount are fixed, and the steps decide everything else."""

    order_no: str
    customer_id: int
    items: Annotated[tuple[Item, ...], MinLen(1)]
    slot: int
    coupon: str | None = None
    discount_cents: Annotated[int, Ge(0)] = 0

    @property
    def total_cents(self) -> int:
        """The amount to be paid."""
        return max(0, sum(item.quantity * item.unit_price_cents for item in self.items) - self.discount_cents)
