"""The metrics of the stock."""

from __future__ import annotations

from django.db.models import Sum

from inventory.models import Batch
from sagas.metrics import on_scrape

STATES = ("available", "held", "sold")


@on_scrape("shop_stock_cups", "Cups of all batches that are not recalled.", labels={"state": STATES})
def stock() -> dict[tuple[str, ...], float]:
    """One row a batch is read: these come by deliveries of stock, and not by orders."""
    sums = Batch.objects.filter(recalled_at=None).aggregate(**{state: Sum(state, default=0) for state in STATES})
    return {(state,): sums[state] for state in STATES}
