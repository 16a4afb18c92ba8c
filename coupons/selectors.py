"""Reads of the coupons."""

from __future__ import annotations

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from coupons.models import Coupon
from coupons.participants import CouponExpired, CouponInactive, CouponNotYours, CouponUnknown


def discount(*, code: str, customer_id: int) -> int:
    """Discount in cents that this customer gets for the coupon, if it is still free when the saga asks.

    Raises:
        Rejected: one of ``CouponUnknown``, ``CouponNotYours``, ``CouponExpired``, ``CouponInactive``: what can be
            known at once. Whether it is used is decided by the participant, under the coupon's lock.
    """
    expired = ExpressionWrapper(Q(expires_at__lte=Now()), output_field=BooleanField())
    coupon = Coupon.objects.filter(code=code).annotate(expired=expired).first()
    if coupon is None:
        raise CouponUnknown(f"there is no coupon {code}")
    if coupon.customer_id not in (None, customer_id):
        raise CouponNotYours(f"coupon {code} belongs to another customer")
    if coupon.expired:
        raise CouponExpired(f"coupon {code} has expired")
    if not coupon.active:
        raise CouponInactive(f"coupon {code} is not redeemed any more")
    return coupon.discount_cents
