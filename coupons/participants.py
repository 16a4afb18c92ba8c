"""The participants that the coupons offer to orders: a coupon is used in the forward step, and given back by the undo.

They are set-based: a cohort costs a fixed number of statements. Coupon rows are locked in the order of their codes,
after the runs, so two cohorts cannot deadlock here. The order uses a grant that its customer has; where they have none,
and the coupon is one for anyone, a grant is issued and used in one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from django.db import connection, transaction

from coupons import grants
from coupons.grants import Held, Locked, Whose
from coupons.models import REFUND_CALLS, Coupon, Grant, GrantState
from coupons.refusals import CouponExpired, CouponUnknown, CouponUsed, refusal
from sagas import Call, Done, Outcome, PrunedRun, Rejected, locking, no_lock_keys, on_prune, set_based
from sagas.db import array, is_soft_time_limit, is_transient, uuid_array
from sagas.postgresql import prepared


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


class GrantMissing(Exception):
    """A grant or its coupon is not there, or not as its run has left it: somebody has changed it by other means."""


class RefundBroken(Rejected):
    """A grant could not be given back. The call is counted, and made again."""


class _Use(NamedTuple):
    """An issued grant that a run uses."""

    grant: int
    run_id: UUID
    discount_cents: int


class _New(NamedTuple):
    """A grant that is made for a run that uses it at once."""

    coupon: str
    customer_id: int
    nth: int
    per_customer: int
    expires_at: datetime
    run_id: UUID
    discount_cents: int


def coupon_row(call: Call[MayUseCoupon]) -> list[tuple[type[Coupon], str]]:
    """The coupon that a call uses."""
    return [(Coupon, call.request.coupon)] if call.request.coupon is not None else []


@locking(coupon_row)
@set_based
def redeem(calls: Sequence[Call[MayUseCoupon]]) -> list[Outcome]:
    """Use the coupon of each call that has one; if two calls ask for the last one, the first gets it.

    The result is ``{"discount_cents": …}``, or ``None`` without a coupon.
    """
    asking = [call for call in calls if call.request.coupon is not None]
    if not asking:
        return [Done() for _ in calls]
    coupons = grants.lock(call.request.coupon or "" for call in asking)
    held = grants.read((call.request.coupon or "", call.request.customer_id) for call in asking)
    choice = _Choice(coupons, held)
    outcomes: list[Outcome] = [
        Done() if call.request.coupon is None else choice.choose(call, call.request.coupon) for call in calls
    ]
    _write(choice.uses, choice.new)
    return outcomes


class _Choice:
    """Which grants the calls of a cohort use, one after the other.

    Attributes:
        uses: grants that are there.
        new: grants that must be made.
    """

    def __init__(self, coupons: Mapping[str, Locked], held: Mapping[Whose, Sequence[Held]]) -> None:
        self._coupons = coupons
        self._free: dict[Whose, list[Held]] = {
            whose: [grant for grant in some if grants.usable(grant, coupons[whose[0]].now)]
            for whose, some in held.items()
        }
        self._taken = {whose: {grant.nth for grant in some} for whose, some in held.items()}
        self._expired = {
            whose
            for whose, some in held.items()
            if any(g.state == GrantState.ISSUED and not grants.usable(g, coupons[whose[0]].now) for g in some)
        }
        self._left = {code: coupon.available for code, coupon in coupons.items()}
        self.uses: list[_Use] = []
        self.new: list[_New] = []

    def choose(self, call: Call[MayUseCoupon], code: str) -> Outcome:
        """Choose a grant for a call, or say why there is none."""
        coupon, customer = self._coupons.get(code), call.request.customer_id
        if coupon is None:
            return CouponUnknown(f"there is no coupon {code}")
        if refused := refusal(coupon, customer_id=customer, now=coupon.now):
            return refused
        whose, discount = (code, customer), call.request.discount_cents
        if free := self._free.get(whose):
            self.uses.append(_Use(free.pop(0).id, call.run_id, discount))
            return Done({"discount_cents": discount})
        taken = self._taken.setdefault(whose, set())
        if not (coupon.public or coupon.is_personal or taken):
            return CouponUnknown(f"there is no coupon {code}")
        if len(taken) >= coupon.per_customer and whose in self._expired:
            return CouponExpired(f"coupon {code} has expired")
        if len(taken) >= coupon.per_customer or not (coupon.public or coupon.is_personal) or not self._left[code]:
            return CouponUsed(f"coupon {code} is used already")
        nth = grants.next_nth(taken)
        taken.add(nth)
        self._left[code] -= 1
        self.new.append(_New(code, customer, nth, coupon.per_customer, coupon.expires_at, call.run_id, discount))
        return Done({"discount_cents": discount})


#: The grants that are there are used; the others are made as used, and their units are taken out of the budget. Those
#: have no holds, so they are ``settled``.
_WRITE = """
WITH used AS (
    UPDATE coupons_grant AS g SET state = 'USED', used_by_run = v.run_id, discount_cents = v.discount
    FROM unnest(%s::bigint[], %s::uuid[], %s::int[]) AS v(id, run_id, discount)
    WHERE g.id = v.id AND g.state = 'ISSUED' RETURNING 1
), made AS (
    INSERT INTO coupons_grant (coupon_id, customer_id, nth, per_customer, state, lock_token, lock_expires_at,
        used_by_run, discount_cents)
    SELECT v.coupon, v.customer, v.nth, v.most, 'USED', nextval('coupons_grant_token'), v.expires_at,
        v.run_id, v.discount
    FROM unnest(%s::varchar[], %s::int[], %s::int[], %s::int[], %s::timestamptz[], %s::uuid[], %s::int[])
        AS v(coupon, customer, nth, most, expires_at, run_id, discount) RETURNING coupon_id
), counted AS (
    UPDATE coupons_coupon AS c SET available = c.available - v.n, sold = c.sold + v.n, settled = c.settled + v.n
    FROM (SELECT coupon_id, count(*) AS n FROM made GROUP BY 1) AS v WHERE c.code = v.coupon_id RETURNING v.n
)
SELECT (SELECT count(*) FROM used), (SELECT COALESCE(sum(n), 0) FROM counted)
"""


def _write(uses: Sequence[_Use], new: Sequence[_New]) -> None:
    if not uses and not new:
        return
    with connection.cursor() as cursor:
        params = [
            array(use.grant for use in uses),
            uuid_array(use.run_id for use in uses),
            array(use.discount_cents for use in uses),
            array(made.coupon for made in new),
            array(made.customer_id for made in new),
            array(made.nth for made in new),
            array(made.per_customer for made in new),
            array(made.expires_at.isoformat() for made in new),
            uuid_array(made.run_id for made in new),
            array(made.discount_cents for made in new),
        ]
        prepared.execute(cursor, _WRITE, params, rows=prepared.ANY)
        used, made = cursor.fetchone()
    if (used, made) != (len(uses), len(new)):
        msg = (
            f"{used} of {len(uses)} grants were used, and {made} of {len(new)} made, although their coupons are locked"
        )
        raise GrantMissing(msg)


@locking(no_lock_keys)
@set_based
def refund(calls: Sequence[Call[MayUseCoupon]]) -> list[Outcome]:
    """Give back the grants that the runs of the calls use: each is refunded for good, and another one replaces it.

    A call whose run uses none is a null compensation. A call that breaks has counted itself all the same: it answers
    the engine instead of raising, so that what it has counted is committed. In a larger cohort it raises, and the
    engine calls it again for fewer runs.

    Raises:
        GrantMissing: a run has used a grant, and that is not there.
    """
    marked = _mark(calls)
    alone = len(calls) == 1
    try:
        with transaction.atomic() if alone else nullcontext():
            _check_marked([call for call in calls if call.run_id not in marked])
            _give_back(list(marked.values()))
    except Exception as error:
        if not alone or is_transient(error) or is_soft_time_limit(error):
            raise
        return [_broken(error)]
    return [Done() for _ in calls]


def _mark(calls: Sequence[Call[MayUseCoupon]]) -> dict[UUID, int]:
    """Count the call for each grant that a run uses; return the grants by run.

    Without a lock on the coupons: a grant that is used belongs to its run, and the run is locked.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE coupons_grant SET state = 'REFUNDING', refund_calls = LEAST(refund_calls + 1, %s) "
            "WHERE used_by_run = ANY(%s::uuid[]) AND state IN ('USED', 'REFUNDING') RETURNING used_by_run, id",
            [REFUND_CALLS, uuid_array(call.run_id for call in calls)],
        )
        return dict(cursor.fetchall())


_GIVE_BACK = """
WITH refunded AS (
    UPDATE coupons_grant SET state = 'REFUNDED' WHERE id = ANY(%s::bigint[]) AND state = 'REFUNDING'
    RETURNING id, coupon_id, customer_id, nth, per_customer, lock_expires_at
), made AS (
    INSERT INTO coupons_grant
        (coupon_id, customer_id, nth, per_customer, state, lock_token, lock_expires_at, replaces)
    SELECT coupon_id, customer_id, nth, per_customer, 'ISSUED', nextval('coupons_grant_token'), lock_expires_at, id
    FROM refunded RETURNING 1
)
SELECT count(*) FROM made
"""


def _give_back(ids: Sequence[int]) -> None:
    if not ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_BACK, [array(ids)])
        (made,) = cursor.fetchone()
    if made != len(ids):
        msg = f"{made} of {len(ids)} grants were replaced"
        raise GrantMissing(msg)


def _check_marked(calls: Sequence[Call[MayUseCoupon]]) -> None:
    """Refuse calls that have used a coupon, by the result of their step, and whose grant is missing."""
    redeemed = [call.run_id for call in calls if call.results.get(call.step)]
    if not redeemed:
        return
    known = set(Grant.objects.filter(used_by_run__in=redeemed).values_list("used_by_run", flat=True))
    for run_id in redeemed:
        if run_id not in known:
            msg = f"run {run_id} has used a coupon, and its grant is not there"
            raise GrantMissing(msg)


def _broken(error: Exception) -> RefundBroken:
    """The error of a call as an answer to the engine, which takes a rejected undo for a fault."""
    broken = RefundBroken(f"the coupon could not be given back: {type(error).__name__}: {error}")
    broken.__cause__ = error
    return broken.with_traceback(error.__traceback__)


@on_prune()
def forget_grants(runs: Sequence[PrunedRun]) -> None:
    """Delete the refunded grants of runs that are pruned. Those that are used stay: they count to their limits."""
    Grant.objects.filter(used_by_run__in=[run.run_id for run in runs], state=GrantState.REFUNDED).delete()
