"""Writes: a customer claims a coupon, a person issues one. The saga does the work itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F

import sagas
from coupons import selectors
from coupons.issuing import IssueRequest
from coupons.models import Coupon, Grant
from coupons.refusals import CouponSpent, CouponUsed
from coupons.sagas import IssueCoupon
from sagas import State
from sagas.models import Run


@dataclass(frozen=True, slots=True)
class Claim:
    """How a claim stands.

    Attributes:
        coupon: the coupon's code, as the shop writes it.
        state: of its run; SUCCEEDED if the customer has the coupon.
        expires_at: until when the customer may use it; ``None`` unless they have it.
        reason: why it is undone, as the run has it; ``None`` unless it is.
    """

    coupon: str
    state: State
    expires_at: datetime | None = None
    reason: Mapping[str, Any] | None = None


def claim(*, code: str, customer_id: int) -> Claim:
    """Claim a coupon, unless the customer has one of it that they may use, or is being issued one: a repeat gets that.

    Args:
        code: as the customer writes it.
        customer_id: the customer.

    Raises:
        Rejected: one of ``coupons.refusals``, which is known at once. The saga's steps decide under the coupon's lock.
        sagas.Overloaded: the claim would wait too long to begin.
    """
    coupon = selectors.find(code=code, customer_id=customer_id)
    if held := _usable(coupon, customer_id):
        return held
    sagas.check_admission()
    run_id = _start(coupon, IssueRequest(coupon.code, customer_id))
    return Claim(coupon.code, State(Run.objects.values_list("state", flat=True).get(pk=run_id)))


def how_claim_stands(*, code: str, customer_id: int) -> Claim | None:
    """How a customer's latest claim of a coupon stands; ``None`` if they have claimed none.

    Raises:
        Rejected: one of ``coupons.refusals``.
    """
    coupon = selectors.find(code=code, customer_id=customer_id)
    if held := _usable(coupon, customer_id):
        return held
    keys = [_key(coupon.code, customer_id, nth) for nth in range(1, coupon.per_customer + 1)]
    runs = Run.objects.filter(business_key__in=keys, saga=IssueCoupon.name)
    found = runs.order_by("-id").values_list("state", "reason").first()
    return None if found is None else Claim(coupon.code, State(found[0]), reason=found[1])


def issue(*, code: str, customer_id: int, by: str, reason: str) -> UUID:
    """Issue a coupon to a customer. If a run that issues it to them is under way, there is no second one.

    Args:
        code: the coupon's code, as the shop writes it.
        customer_id: the customer.
        by: who issues it.
        reason: why.

    Returns:
        The id of the run.

    Raises:
        Rejected: ``CouponUsed``, the customer has it as often as they may; ``CouponSpent``, nothing is left of it.
    """
    return _start(Coupon.objects.get(code=code), IssueRequest(code, customer_id, by, reason))


def add_budget(*, code: str, grants: int) -> None:
    """Add to what may still be granted of a coupon; below 0 takes some away, and never more than there is."""
    Coupon.objects.filter(code=code).update(available=F("available") + grants)


def _usable(coupon: Coupon, customer_id: int) -> Claim | None:
    expires_at = selectors.usable_until(code=coupon.code, customer_id=customer_id)
    return None if expires_at is None else Claim(coupon.code, State.SUCCEEDED, expires_at)


def _start(coupon: Coupon, request: IssueRequest) -> UUID:
    """Start the run, or find the one that is under way.

    The key names which of the customer's grants it is to be, so that of two starts at once the second finds the first
    one's run. A grant that is being created is that of such a run, and is not counted.
    """
    granted = Grant.objects.filter(coupon=coupon, customer_id=request.customer_id, state__in=selectors.GRANTED).count()
    if granted >= coupon.per_customer:
        raise CouponUsed(f"coupon {coupon.code} is granted as often as it may be")
    key = _key(coupon.code, request.customer_id, granted + 1)
    runs = Run.objects.filter(business_key=key, saga=IssueCoupon.name)
    if coupon.available <= 0 and not runs.exclude(state=State.FAILED).exists():
        raise CouponSpent(f"nothing is left of coupon {coupon.code}")
    return IssueCoupon.start(request, business_key=key, unique="attach")


def _key(code: str, customer_id: int, nth: int) -> str:
    return f"{code}:{customer_id}:{nth}"
