"""What holds between coupons, grants and the runs that issue and use them, at every commit."""

from __future__ import annotations

from django.db import connection, transaction

from coupons.models import Coupon, CouponHold
from sagas.invariants import Invariant, Repair, RepairRefused, Violation, Walk
from sagas.pool.invariants import invariants_of
from sagas.pool.repairs import PoolRepairs

_repairs = PoolRepairs(Coupon, CouponHold)
_GRANTS = Walk("coupons_grant", "id", "bigint", grows=True)

#: A unit is held until its grant is there, and a grant counts while it lives. The units of grants that an order has
#: made have no holds.
_BUDGET = """
SELECT c.code AS key, 'coupons_coupon ' || c.code AS row, NULL::uuid AS run_id,
    jsonb_build_object('code', c.code, 'held', c.held, 'sold', c.sold, 'grants', COALESCE(g.live, 0),
        'bare', COALESCE(h.bare, 0), 'expected', COALESCE(g.live, 0) + COALESCE(h.bare, 0) - c.held) AS data
FROM coupons_coupon AS c LEFT JOIN (
    SELECT coupon_id, count(*) AS live FROM coupons_grant
    WHERE state IN ('CREATED', 'ISSUED', 'USED', 'REFUNDING') AND coupon_id = ANY(%(keys)s::text[]) GROUP BY 1
) AS g ON g.coupon_id = c.code LEFT JOIN (
    SELECT pool_key, sum(quantity) AS bare FROM coupons_couponhold AS hold
    WHERE state = 'HELD' AND pool_key = ANY(%(keys)s::text[])
        AND NOT EXISTS (SELECT FROM coupons_grant WHERE issued_by_run = hold.run_id) GROUP BY 1
) AS h ON h.pool_key = c.code
WHERE c.code = ANY(%(keys)s::text[]) AND c.held + c.sold <> COALESCE(g.live, 0) + COALESCE(h.bare, 0)
"""
_REPLACED = """
SELECT g.id::text AS key, 'coupons_grant ' || g.id AS row, g.used_by_run AS run_id,
    jsonb_build_object('coupon', g.coupon_id, 'customer', g.customer_id, 'grant', g.id) AS data
FROM coupons_grant AS g WHERE g.id = ANY(%(keys)s::text[]::bigint[]) AND g.state = 'REFUNDED'
    AND NOT EXISTS (SELECT FROM coupons_grant WHERE replaces = g.id)
"""
_ISSUED = """
SELECT g.id::text AS key, 'coupons_grant ' || g.id AS row, g.issued_by_run AS run_id,
    jsonb_build_object('coupon', g.coupon_id, 'customer', g.customer_id, 'state', g.state,
        'run', COALESCE(run.state, 'not there')) AS data
FROM coupons_grant AS g LEFT JOIN sagas_run AS run ON run.id = g.issued_by_run
WHERE g.id = ANY(%(keys)s::text[]::bigint[]) AND g.issued_by_run IS NOT NULL AND (
    g.state = 'CREATED' AND (run.id IS NULL OR run.state IN ('SUCCEEDED', 'FAILED'))
    OR g.state <> 'CREATED' AND run.state = 'FAILED'
) AND NOT EXISTS (SELECT FROM sagas_log WHERE run_id = g.issued_by_run AND operation = 'resolve')
"""


def _count_grants(violation: Violation, *, reason: str, by: str) -> None:  # noqa: ARG001 - kept with the finding
    """Count the live grants of a coupon as sold, behind its lock, under which grants are made and withdrawn."""
    with transaction.atomic():
        row = _repairs.lock(violation.key)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT (data->>'expected')::bigint FROM ({_BUDGET}) AS found", {"keys": [violation.key]})
            found = cursor.fetchone()
        if found is None:
            return
        (sold,) = found
        _, by_holds = _repairs.sums(violation.key)
        if sold < by_holds:
            msg = f"{by_holds} were sold to runs that are there, and {sold} grants live: a grant is missing."
            raise RepairRefused(msg)
        row.sold, row.settled = sold, sold - by_holds
        row.save(update_fields=["sold", "settled"])


INVARIANTS = (
    *invariants_of(Coupon, CouponHold, recount=_repairs.recount, release=_repairs.release),
    Invariant(
        name="coupons.budget",
        says="Each coupon counts its live grants as sold, and those that are being issued as held.",
        walk=Walk("coupons_coupon", "code", "varchar"),
        sql=_BUDGET,
        found="{code} counts {held} held and {sold} sold, and there are {grants} live grants, and {bare} about to be "
        "made",
        advice="If grants are missing, restore them; if the count is wrong, repair it.",
        repair=Repair("count {expected} of {code} as granted", _count_grants),
    ),
    Invariant(
        name="coupons.replaced",
        says="Each grant that was given back is replaced by another one of the same customer.",
        walk=_GRANTS,
        sql=_REPLACED,
        found="grant {grant} of {coupon} was given back, and its customer has no other in its place",
        advice="Issue the coupon to the customer again, on the page of coupons.",
    ),
    Invariant(
        name="coupons.issued",
        says="A grant that a run has issued is of a run that was not undone, and is being created only while it runs.",
        walk=_GRANTS,
        sql=_ISSUED,
        found="a grant of {coupon} is {state}, and the run that issues it is {run}",
        advice="Compare the run's log. Delete a grant that is only created; one that is issued may have been used.",
    ),
)
