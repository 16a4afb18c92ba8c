"""Reads of the coupons."""

from __future__ import annotations

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from coupons.models import Coupon
from coupons.participants import CouponExpired, CouponInactive, CouponNotYours, CouponUnknown


def discount(*, code: str, customer_id: int) -> int:
    """The discount in cents for this customer, if the coupon is still free when the saga redeems it.

    Raises:
        Rejected: ``CouponUnknown``, ``CouponNotYours``, ``CouponExpired``, ``CouponInactive``: they are known at once.
            The participant decides under the coupon's lock whether it is used.
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
