"""Reads of the coupons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Now

from coupons.discounts import worth
from coupons.models import LIVE, Coupon, Grant, GrantState, codes_alike
from coupons.refusals import BelowMinimum, CouponUnknown, NotOnGroupPrices, refusal

#: The states of grants that their customers have, or have used.
GRANTED = (GrantState.ISSUED, GrantState.USED, GrantState.REFUNDING)


@dataclass(frozen=True, slots=True)
class Discount:
    """What a coupon takes off an order.

    Attributes:
        code: the coupon's code as the shop writes it.
        cents: in cents.
    """

    code: str
    cents: int


def discount(*, code: str, customer_id: int, price_cents: int | None, group_price: bool = False) -> Discount:
    """The discount for this customer, if the coupon is still free when the saga redeems it.

    Args:
        code: as the customer writes it.
        customer_id: the customer.
        price_cents: the price of the order without it; ``None`` if that is not known, and then there is none.
        group_price: whether the price is that of a group buy.

    Raises:
        Rejected: one of ``coupons.refusals``: what is known at once. The participant decides under the coupon's lock
            whether it is used.
    """
    coupon = find(code=code, customer_id=customer_id)
    if group_price and not coupon.on_group_prices:
        raise NotOnGroupPrices(f"coupon {coupon.code} is not for the prices of group buys")
    if price_cents is None:
        return Discount(coupon.code, 0)
    if price_cents < coupon.minimum_cents:
        missing = f"{coupon.minimum_cents // 100}.{coupon.minimum_cents % 100:02d}"
        raise BelowMinimum(f"coupon {coupon.code} is for orders of at least {missing}")
    return Discount(coupon.code, worth(coupon, price_cents))


def find(*, code: str, customer_id: int) -> Coupon:
    """The coupon that a customer means, if its terms let them have it now.

    Raises:
        Rejected: one of ``coupons.refusals``.
    """
    theirs = Exists(Grant.objects.filter(coupon=OuterRef("pk"), customer_id=customer_id, state__in=LIVE))
    coupon = Coupon.objects.alias(alike=codes_alike("code")).filter(
        Q(public=True) | Q(customer__isnull=False) | theirs, alike=codes_alike(Value(code.strip()))
    )
    found = coupon.annotate(now=Now()).first()
    if found is None:
        raise CouponUnknown(f"there is no coupon {code}")
    if refused := refusal(found, customer_id=customer_id, now=found.now):
        raise refused
    return found


def coupons_of(*, customer_id: int) -> QuerySet[Grant]:
    """List a customer's coupons, newest first. Those that another one replaces are left out."""
    return Grant.objects.filter(customer_id=customer_id, state__in=GRANTED).select_related("coupon").order_by("-id")


def usable_until(*, code: str, customer_id: int) -> datetime | None:
    """Until when a customer may use what they have of the coupon of this code; ``None`` if they have nothing of it."""
    theirs = Grant.objects.filter(coupon=code, customer_id=customer_id, state=GrantState.ISSUED)
    return (
        theirs.filter(lock_expires_at__gt=Now())
        .order_by("-lock_expires_at")
        .values_list("lock_expires_at", flat=True)
        .first()
    )
