"""The participants of the coupons domain: a coupon is redeemed once, and refunded once.

They are set-based: a cohort costs a fixed number of statements. Coupon rows are locked in the order of their
codes, after the runs, so two cohorts cannot deadlock here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from django.db import connection

from coupons.models import Redemption, RedemptionState
from sagas import Call, Done, Rejected, set_based
from sagas.definition.participants import Outcome


class MayUseCoupon(Protocol):
    """The part of a request that coupons need."""

    @property
    def coupon(self) -> str | None:
        """Code of a coupon, or none."""
        ...

    @property
    def discount_cents(self) -> int:
        """The discount that was granted when the request was accepted; the coupon's value may have changed since."""
        ...

    @property
    def customer_id(self) -> int:
        """The customer of the request."""
        ...


class CouponUnknown(Rejected):
    """There is no such coupon."""


class CouponNotYours(Rejected):
    """The coupon belongs to another customer."""


class CouponExpired(Rejected):
    """The coupon has expired."""


class CouponInactive(Rejected):
    """The shop redeems the coupon no more."""


class CouponUsed(Rejected):
    """The coupon is used already."""


class RedemptionMissing(Exception):
    """A redemption or its coupon is not there: somebody has changed them by other means."""


class _Row(NamedTuple):
    code: str
    customer_id: int | None
    expires_at: datetime
    used: bool
    active: bool


@set_based
def redeem(calls: Sequence[Call[MayUseCoupon]]) -> list[Outcome]:
    """Redeem the coupon of each call that has one; if two calls ask for the same coupon, the first gets it.

    The result is ``{"discount_cents": …}``, or ``None`` without a coupon.
    """
    asking = {call.request.coupon for call in calls if call.request.coupon is not None}
    if not asking:
        return [Done() for _ in calls]
    coupons, now = _lock(asking)
    taken: dict[str, Call[MayUseCoupon]] = {}
    outcomes: list[Outcome] = []
    for call in calls:
        code = call.request.coupon
        if code is None:
            outcomes.append(Done())
            continue
        refusal = _refusal(coupons.get(code), call, now, taken=code in taken)
        if refusal is None:
            taken[code] = call
        outcomes.append(refusal or Done({"discount_cents": call.request.discount_cents}))
    _redeem(taken)
    return outcomes


@set_based
def refund(calls: Sequence[Call[MayUseCoupon]]) -> list[Outcome]:
    """Free the coupons that the calls redeemed. A call that redeemed none is a null compensation.

    Raises:
        RedemptionMissing: a redemption, or its coupon, is missing.
    """
    with connection.cursor() as cursor:
        # Without a lock on the coupons, because each redemption belongs to one run, and the run is locked.
        cursor.execute(
            "UPDATE coupons_redemption SET state = %s, refunded_at = clock_timestamp() "
            "WHERE run_id = ANY(%s::uuid[]) AND step = %s AND state = %s RETURNING run_id, coupon_code",
            [RedemptionState.REFUNDED, [call.run_id for call in calls], calls[0].step, RedemptionState.REDEEMED],
        )
        freed = dict(cursor.fetchall())
    _check_refunded([call for call in calls if call.run_id not in freed])
    if freed:
        _lock(freed.values())
        _free(list(freed.values()))
    return [Done() for _ in calls]


def _check_refunded(calls: Sequence[Call[MayUseCoupon]]) -> None:
    """Refuse calls that redeemed a coupon, by the result of their step, and whose redemption is missing."""
    redeemed = [call.run_id for call in calls if call.results.get(call.step)]
    if not redeemed:
        return
    known = set(
        Redemption.objects.filter(run_id__in=redeemed, step=calls[0].step).values_list("run_id", flat=True),
    )
    for run_id in redeemed:
        if run_id not in known:
            msg = f"run {run_id} has redeemed a coupon, and its redemption is not there"
            raise RedemptionMissing(msg)


def _refusal(coupon: _Row | None, call: Call[MayUseCoupon], now: datetime, *, taken: bool) -> Rejected | None:
    """Why a call may not have the coupon; ``None`` if it may."""
    if coupon is None:
        return CouponUnknown(f"there is no coupon {call.request.coupon}")
    if coupon.customer_id not in (None, call.request.customer_id):
        return CouponNotYours(f"coupon {coupon.code} belongs to another customer")
    if coupon.expires_at <= now:
        return CouponExpired(f"coupon {coupon.code} has expired")
    if not coupon.active:
        return CouponInactive(f"coupon {coupon.code} is not redeemed any more")
    if coupon.used or taken:
        return CouponUsed(f"coupon {coupon.code} is used already")
    return None


def _lock(codes: Iterable[str]) -> tuple[dict[str, _Row], datetime]:
    """Lock these coupons in order, and then read the clock, because the wait for a lock may be long."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT code, customer_id, expires_at, used, active FROM coupons_coupon "
            "WHERE code = ANY(%s) ORDER BY code FOR NO KEY UPDATE",
            [sorted(set(codes))],
        )
        rows = [_Row(*row) for row in cursor.fetchall()]
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return {row.code: row for row in rows}, now


def _redeem(taken: dict[str, Call[MayUseCoupon]]) -> None:
    if not taken:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH noted AS (INSERT INTO coupons_redemption (run_id, step, coupon_code, discount_cents, state) "
            "SELECT v.run_id, %s, v.code, v.discount, %s "
            "FROM unnest(%s::uuid[], %s::text[], %s::int[]) AS v(run_id, code, discount)) "
            "UPDATE coupons_coupon SET used = true WHERE code = ANY(%s)",
            [
                next(iter(taken.values())).step,
                RedemptionState.REDEEMED,
                [call.run_id for call in taken.values()],
                list(taken),
                [call.request.discount_cents for call in taken.values()],
                list(taken),
            ],
        )
        _check_met(cursor.rowcount, list(taken))


def _free(codes: Sequence[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE coupons_coupon SET used = false WHERE code = ANY(%s) AND used", [list(codes)])
        _check_met(cursor.rowcount, codes)


def _check_met(count: int, codes: Sequence[str]) -> None:
    if count != len(codes):
        msg = f"{count} of the coupons {', '.join(sorted(codes))} are there and as they must be"
        raise RedemptionMissing(msg)
