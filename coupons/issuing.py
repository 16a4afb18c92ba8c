"""The participants that issue a coupon to a customer: take a unit of its budget, create the grant, issue it.

A grant is created under a lock, which lapses: another claim of the same customer may then take the grant over. The lock
is a token and a time in the grant's row, and a key in Redis. What is issued is decided by the row: a run whose token is
not the row's any more has lost, whatever Redis says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, NamedTuple
from uuid import UUID

from annotated_types import MaxLen
from django.db import connection

from coupons import claim_lock, grants
from coupons.claim_lock import Whose
from coupons.grants import Held, Locked
from coupons.models import Coupon, CouponHold, GrantState
from coupons.refusals import CouponExpired, CouponSpent, CouponUnknown, CouponUsed, LockLost, refusal
from sagas import Call, Done, Outcome, Rejected, locking, set_based
from sagas.db import after_commit, array, uuid_array
from sagas.pool import PoolResource


@dataclass(frozen=True, slots=True)
class IssueRequest:
    """Which coupon to issue to whom. It is kept with the run as JSON, so changed code must still read old requests.

    Attributes:
        coupon: its code, as the shop writes it.
        customer_id: who gets it.
        by: the person who issues it; empty if the customer claims it.
        reason: why that person issues it.
    """

    coupon: str
    customer_id: int
    by: Annotated[str, MaxLen(150)] = ""
    reason: Annotated[str, MaxLen(200)] = ""


class ClaimUnderWay(Exception):
    """Another run is issuing this coupon to this customer. It is tried again until that run's lock has lapsed."""


def demand(request: IssueRequest) -> Mapping[str, int]:
    """A request asks for one grant."""
    return {request.coupon: 1}


#: The budget of a coupon, counted in grants.
budget = PoolResource(
    pool=Coupon,
    hold=CouponHold,
    demand=demand,
    rejection=CouponSpent,
    closes="expires_at",
    closed=lambda code: CouponExpired(f"coupon {code} has expired"),
)


def coupon_row(call: Call[IssueRequest]) -> list[tuple[type[Coupon], str]]:
    """The coupon that a call issues."""
    return [(Coupon, call.request.coupon)]


class _Claim(NamedTuple):
    """A grant to be created, or to be taken over from a run whose lock has lapsed."""

    call: Call[IssueRequest]
    nth: int
    per_customer: int
    lapsed: int | None

    @property
    def whose(self) -> Whose:
        return self.call.request.coupon, self.call.request.customer_id


@locking(coupon_row)
@set_based
def create(calls: Sequence[Call[IssueRequest]]) -> list[Outcome]:
    """Create the grants of the calls, each under a lock of its own.

    Raises:
        ClaimUnderWay: another run is issuing the same.
    """
    coupons = grants.lock(call.request.coupon for call in calls)
    held = grants.read((call.request.coupon, call.request.customer_id) for call in calls)
    created = {whose: grant for whose, some in held.items() for grant in some if grant.state == GrantState.CREATED}
    locked = _locked(created, {code: coupon.now for code, coupon in coupons.items()})
    claims: dict[Whose, _Claim] = {}
    outcomes: list[Outcome] = []
    for call in calls:
        whose = call.request.coupon, call.request.customer_id
        if whose in locked or whose in claims:
            msg = f"coupon {whose[0]} is being issued to the customer by another run"
            raise ClaimUnderWay(msg)
        chosen = _choose(call, coupons.get(whose[0]), held.get(whose, ()), created.get(whose))
        if isinstance(chosen, Rejected):
            outcomes.append(chosen)
        else:
            claims[whose] = chosen
            outcomes.append(Done())
    _create(list(claims.values()))
    return outcomes


def _locked(created: Mapping[Whose, Held], now: Mapping[str, datetime]) -> set[Whose]:
    """Of the grants that other runs are creating, those whose lock has not lapsed.

    A lock is there if Redis has it with the grant's token. Without Redis the time in the row decides.
    """
    whose = list(created)
    holders = claim_lock.holders(whose)
    if holders is None:
        return {each for each in whose if (until := created[each].expires_at) is not None and now[each[0]] < until}
    return {each for each, holder in zip(whose, holders, strict=True) if holder == created[each].lock_token}


def _choose(
    call: Call[IssueRequest], coupon: Locked | None, held: Sequence[Held], lapsed: Held | None
) -> _Claim | Rejected:
    request = call.request
    if coupon is None:
        return CouponUnknown(f"there is no coupon {request.coupon}")
    if refused := refusal(coupon, customer_id=request.customer_id, now=coupon.now):
        return refused
    if lapsed is not None:
        return _Claim(call, lapsed.nth, coupon.per_customer, lapsed.id)
    if len(held) >= coupon.per_customer:
        return CouponUsed(f"coupon {coupon.code} is granted to the customer as often as it may be")
    return _Claim(call, grants.next_nth(grant.nth for grant in held), coupon.per_customer, None)


#: While it is created, a grant's time is that of its lock.
_CREATE = """
WITH over AS (
    UPDATE coupons_grant AS g SET issued_by_run = v.run_id, lock_token = nextval('coupons_grant_token'),
        lock_expires_at = clock_timestamp() + %s * interval '1 second', reason = v.reason
    FROM unnest(%s::bigint[], %s::uuid[], %s::text[]) AS v(id, run_id, reason) WHERE g.id = v.id
    RETURNING g.issued_by_run, g.lock_token
), made AS (
    INSERT INTO coupons_grant (coupon_id, customer_id, nth, per_customer, state, lock_token, lock_expires_at,
        issued_by_run, reason)
    SELECT v.coupon, v.customer, v.nth, v.most, 'CREATED', nextval('coupons_grant_token'),
        clock_timestamp() + %s * interval '1 second', v.run_id, v.reason
    FROM unnest(%s::varchar[], %s::int[], %s::int[], %s::int[], %s::uuid[], %s::text[])
        AS v(coupon, customer, nth, most, run_id, reason) RETURNING issued_by_run, lock_token
)
SELECT * FROM over UNION ALL SELECT * FROM made
"""


def _create(claims: Sequence[_Claim]) -> None:
    if not claims:
        return
    over = [claim for claim in claims if claim.lapsed is not None]
    new = [claim for claim in claims if claim.lapsed is None]
    with connection.cursor() as cursor:
        cursor.execute(
            _CREATE,
            [
                claim_lock.seconds(),
                array(claim.lapsed for claim in over),
                uuid_array(claim.call.run_id for claim in over),
                array(_why(claim.call.request) for claim in over),
                claim_lock.seconds(),
                array(claim.call.request.coupon for claim in new),
                array(claim.call.request.customer_id for claim in new),
                array(claim.nth for claim in new),
                array(claim.per_customer for claim in new),
                uuid_array(claim.call.run_id for claim in new),
                array(_why(claim.call.request) for claim in new),
            ],
        )
        tokens: dict[UUID, int] = dict(cursor.fetchall())
    # Before the commit, so that the next claim finds the lock. If nothing is committed, it lapses, and holds nobody up:
    # no grant has its token.
    claim_lock.take([claim.whose for claim in claims], [tokens[claim.call.run_id] for claim in claims])


def _why(request: IssueRequest) -> str:
    return f"{request.by}: {request.reason}"[:200] if request.by else ""


@locking(coupon_row)
@set_based
def withdraw(calls: Sequence[Call[IssueRequest]]) -> list[Outcome]:
    """Delete the grants that these runs have created and not issued. Those that were taken over are not theirs."""
    grants.lock(call.request.coupon for call in calls)
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM coupons_grant WHERE issued_by_run = ANY(%s::uuid[]) AND state = 'CREATED' "
            "RETURNING coupon_id, customer_id, lock_token",
            [uuid_array(call.run_id for call in calls)],
        )
        gone = cursor.fetchall()
    after_commit(claim_lock.release, [(code, customer) for code, customer, _ in gone], [token for *_, token in gone])
    return [Done() for _ in calls]


@locking(coupon_row)
@set_based
def issue(calls: Sequence[Call[IssueRequest]]) -> list[Outcome]:
    """Issue the grants that these runs have created, if they have not lost their locks meanwhile.

    A lock is lost if another run has taken the grant over, if Redis has it no more, or if the run has taken more than
    half of the lock's time: the rest may not be enough. The run is then undone.
    """
    coupons = grants.lock(call.request.coupon for call in calls)
    ours = _read([call.run_id for call in calls])
    going = [call for call in calls if call.run_id in ours]
    whose = [(call.request.coupon, call.request.customer_id) for call in going]
    tokens = [ours[call.run_id].token for call in going]
    renewed = claim_lock.renew(whose, tokens)
    kept = {call.run_id for call, mine in zip(going, renewed or [True] * len(going), strict=True) if mine}
    due = {
        call.run_id: ours[call.run_id]
        for call in going
        if call.run_id in kept and ours[call.run_id].in_time and call.request.coupon in coupons
    }
    issued = _issue(
        [
            (grant.id, grant.token, coupons[call.request.coupon].expires_at)
            for call in going
            if (grant := due.get(call.run_id))
        ]
    )
    after_commit(claim_lock.release, whose, tokens)
    return [
        Done({"grant": due[call.run_id].id})
        if call.run_id in due and due[call.run_id].id in issued
        else LockLost("the coupon could not be issued in time; claim it again")
        for call in calls
    ]


class _Ours(NamedTuple):
    """A grant that a run has created, and whether less than half of its lock's time is over."""

    id: int
    token: int
    in_time: bool


def _read(run_ids: Sequence[UUID]) -> dict[UUID, _Ours]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT issued_by_run, id, lock_token, clock_timestamp() + %s * interval '1 second' <= lock_expires_at "
            "FROM coupons_grant WHERE issued_by_run = ANY(%s::uuid[]) AND state = 'CREATED'",
            [claim_lock.seconds() / 2, uuid_array(run_ids)],
        )
        return {run_id: _Ours(*rest) for run_id, *rest in cursor.fetchall()}


def _issue(due: Sequence[tuple[int, int, datetime]]) -> set[int]:
    """Issue the grants that still have their tokens; return which."""
    if not due:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE coupons_grant AS g SET state = 'ISSUED', lock_expires_at = v.expires_at "
            "FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) AS v(id, token, expires_at) "
            "WHERE g.id = v.id AND g.lock_token = v.token AND g.state = 'CREATED' RETURNING g.id",
            [
                array(grant for grant, _, _ in due),
                array(token for _, token, _ in due),
                array(expires_at.isoformat() for *_, expires_at in due),
            ],
        )
        return {grant for (grant,) in cursor.fetchall()}
