"""Why a customer may not have a coupon, as rejections."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from sagas import Rejected


class CouponUnknown(Rejected):
    """There is no such coupon for this customer."""


class CouponNotYours(Rejected):
    """The coupon belongs to another customer."""


class CouponExpired(Rejected):
    """The coupon, or the customer's grant of it, has expired."""


class CouponNotYet(Rejected):
    """The coupon cannot be used yet."""


class CouponInactive(Rejected):
    """The shop redeems the coupon no more."""


class CouponUsed(Rejected):
    """The coupon is used already: by this customer as often as it may be, or by others to the end of its budget."""


class CouponSpent(Rejected):
    """Nothing is left of the coupon's budget."""


class BelowMinimum(Rejected):
    """The order costs less than the coupon asks for."""


class NotOnGroupPrices(Rejected):
    """The coupon is not for the prices of group buys."""


class LockLost(Rejected):
    """The lock of a claim has lapsed before its end. The claim is undone, and may be repeated."""


class Terms(Protocol):
    """The part of a coupon that says who may have it, and when."""

    @property
    def code(self) -> str:
        """Its code."""
        ...

    @property
    def customer_id(self) -> int | None:
        """Whose it is; ``None`` for anyone's."""
        ...

    @property
    def starts_at(self) -> datetime | None:
        """From when on; ``None`` for at once."""
        ...

    @property
    def expires_at(self) -> datetime:
        """Until when."""
        ...

    @property
    def active(self) -> bool:
        """Whether it is redeemed."""
        ...


def refusal(coupon: Terms, *, customer_id: int, now: datetime) -> Rejected | None:
    """Why nobody, or not this customer, may have a coupon now; ``None`` if nothing in its terms forbids it."""
    if coupon.customer_id not in (None, customer_id):
        return CouponNotYours(f"coupon {coupon.code} belongs to another customer")
    if coupon.expires_at <= now:
        return CouponExpired(f"coupon {coupon.code} has expired")
    if coupon.starts_at is not None and now < coupon.starts_at:
        return CouponNotYet(f"coupon {coupon.code} cannot be used yet")
    if not coupon.active:
        return CouponInactive(f"coupon {coupon.code} is not redeemed any more")
    return None
