"""The sagas of coupons."""

from __future__ import annotations

from datetime import timedelta

from coupons import issuing
from coupons.issuing import IssueRequest
from coupons.refusals import CouponSpent
from sagas import Retry, Saga, Step, Tcc


class IssueCoupon(Saga[IssueRequest]):
    """Issue a coupon to a customer, or leave its budget and the customer as they were.

    The grant is issued in the last forward step, under a lock that must last until then. A claim that stands still for
    too long is undone.
    """

    timeout = timedelta(minutes=1)

    take_unit = Tcc(issuing.budget, rejects=(CouponSpent,), queue="coupons")
    create_grant = Step(
        issuing.create,
        compensate=issuing.withdraw,
        queue="coupons",
        retry=Retry(attempts=7, delay=timedelta(seconds=1), max_delay=timedelta(seconds=8)),
    )
    issue_grant = Step(issuing.issue, queue="coupons")
