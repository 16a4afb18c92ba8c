"""The metrics of the slots."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Sum
from django.db.models.functions import Now

from delivery.models import Slot
from sagas.metrics import on_scrape

STATES = ("available", "held", "sold")
#: What begins later is not counted: stores plan for weeks.
AHEAD = timedelta(days=1)


@on_scrape("shop_slot_places", "Places of the slots of the next 24 hours, of all stores.", labels={"state": STATES})
def places() -> dict[tuple[str, ...], float]:
    """Slots that are over are not read."""
    slots = Slot.objects.filter(starts_at__gte=Now(), starts_at__lt=Now() + AHEAD).order_by()
    sums = slots.aggregate(**{state: Sum(state, default=0) for state in STATES})
    return {(state,): sums[state] for state in STATES}
