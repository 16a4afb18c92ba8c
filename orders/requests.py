"""The requests of the sagas of orders. They are kept as JSON, so changed code must still read old requests.

The other domains read their parts of it through protocols of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from annotated_types import Ge, Gt, MaxLen, MinLen

from delivery.models import FulfilmentKind
from sagas import Personal


@dataclass(frozen=True, slots=True)
class Item:
    """Cups of one SKU, at the price (in cents) at which the order was accepted."""

    sku: Annotated[str, MaxLen(32)]
    quantity: Annotated[int, Gt(0)]
    unit_price_cents: Annotated[int, Ge(0)]


def split(discount: int, lines: Sequence[Item]) -> list[int]:
    """Split a discount over lines, by what they cost: each gets its share rounded down, the last cents go to the first.

    The shares add up to the discount, and none is more than its line costs.
    """
    costs = [line.quantity * line.unit_price_cents for line in lines]
    whole = sum(costs)
    if not whole:
        return [0 for _ in lines]
    shares = [discount * cost // whole for cost in costs]
    left = discount - sum(shares)
    for index, cost in enumerate(costs):
        more = min(left, cost - shares[index])
        shares[index] += more
        left -= more
    return shares


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An accepted order: prices and discount are fixed, and the steps decide everything else."""

    order_no: str
    customer_id: int
    items: Annotated[tuple[Item, ...], MinLen(1)]
    slot: int
    coupon: str | None = None
    discount_cents: Annotated[int, Ge(0)] = 0
    #: The end of the slot: until then the drinks must be good.
    needed_until: datetime | None = None

    @property
    def made(self) -> list[tuple[str, int]]:
        """What the store makes: SKUs and quantities."""
        return [(item.sku, item.quantity) for item in self.items]

    @property
    def fulfilment(self) -> FulfilmentKind:
        """How the customer gets it: at the time of the slot."""
        return FulfilmentKind.SLOT

    @property
    def total_cents(self) -> int:
        """The amount to be paid."""
        return max(0, sum(item.quantity * item.unit_price_cents for item in self.items) - self.discount_cents)


@dataclass(frozen=True, slots=True)
class GroupRequest(OrderRequest):
    """An order by which a customer joins a campaign: one drink at the group's price, out of the campaign's quota.

    Attributes:
        campaign: id of the campaign.
        revision: the revision of what it offered when the order was accepted.
    """

    campaign: Annotated[int, Gt(0)] = field(kw_only=True)
    revision: Annotated[int, Gt(0)] = field(kw_only=True)

    @property
    def cups(self) -> int:
        """Cups of the campaign's drink."""
        return sum(item.quantity for item in self.items)


@dataclass(frozen=True, slots=True)
class ChargeRequest(OrderRequest):
    """An accepted order that a step pays: the gateway charges a card that the customer has left with it."""

    gateway: str = ""
    card: Annotated[str, Personal] = ""
