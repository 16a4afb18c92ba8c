"""What a coupon takes off a price. Pure; money is in minor units."""

from __future__ import annotations

from coupons.models import Coupon, CouponKind


def worth(coupon: Coupon, price_cents: int) -> int:
    """What the coupon takes off this price: never more than the price, and a part of it rounded down."""
    if coupon.kind == CouponKind.AMOUNT:
        return min(coupon.discount_cents, price_cents)
    part = price_cents * (coupon.percent or 0) // 100
    return part if coupon.cap_cents is None else min(part, coupon.cap_cents)
