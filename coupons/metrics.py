"""The metrics of the coupons."""

from __future__ import annotations

from django.db.models import Sum

from coupons.models import Coupon
from sagas.metrics import on_scrape

STATES = ("available", "held", "sold")


@on_scrape("shop_coupon_uses", "Uses of all coupons: left, held by orders, and used.", labels={"state": STATES})
def uses() -> dict[tuple[str, ...], float]:
    """One row a coupon is read, and none of its grants."""
    sums = Coupon.objects.aggregate(**{state: Sum(state, default=0) for state in STATES})
    return {(state,): sums[state] for state in STATES}
