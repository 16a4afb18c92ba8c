"""The participants of the inventory domain: stock that can be held, sold and given back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from inventory.models import Batch, SkuHold, SkuHoldDay
from sagas import Rejected
from sagas.pool import BatchResource

#: How long a drink must be good after the time that was promised for it.
MARGIN = timedelta(minutes=10)


class Wanted(Protocol):
    """A number of cups of one SKU."""

    @property
    def sku(self) -> str:
        """Code of the SKU."""
        ...

    @property
    def quantity(self) -> int:
        """Cups, above 0."""
        ...


class WantsStock(Protocol):
    """The part of a request that inventory needs."""

    @property
    def items(self) -> Sequence[Wanted]:
        """The wanted items; a SKU may occur twice."""
        ...

    @property
    def needed_until(self) -> datetime | None:
        """The end of the time that is promised; ``None``: it is not known, and nothing that spoils will do."""
        ...


class OutOfStock(Rejected):
    """There is not enough of it left."""


def demand(request: WantsStock) -> Mapping[str, int]:
    """Sum a request by SKU, because the pool holds each row once."""
    wanted: Counter[str] = Counter()
    for item in request.items:
        wanted[item.sku] += item.quantity
    return wanted


stock = BatchResource(
    pool=Batch,
    item="sku",
    hold=SkuHold,
    days=SkuHoldDay,
    demand=demand,
    needed_until=lambda request: request.needed_until,
    margin=MARGIN,
    rejection=OutOfStock,
)
