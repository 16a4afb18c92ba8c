"""What holds between campaigns, their pools, their members and runs, at every commit."""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from campaigns.models import Member, MemberState, PlaceHold, Places, Quota, QuotaHold
from sagas.invariants import RUNS, Invariant, Repair, RepairRefused, Violation, Walk
from sagas.pool.invariants import invariants_of
from sagas.pool.repairs import PoolRepairs
from sagas.states import State
from sagas.store import runs

_places, _quota = PoolRepairs(Places, PlaceHold), PoolRepairs(Quota, QuotaHold)

_DECIDED = """
SELECT c.id::text AS key, 'campaigns_campaign ' || c.id AS row, NULL::uuid AS run_id,
    jsonb_build_object('campaign', c.id, 'state', c.state, 'outcome', c.outcome, 'minimum', c.minimum,
        'paid', m.paid, 'confirmed', m.confirmed, 'held', p.held + q.held) AS data
FROM campaigns_campaign AS c JOIN campaigns_places AS p ON p.campaign_id = c.id
JOIN campaigns_quota AS q ON q.campaign_id = c.id CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE member.state = 'PAID'
            OR member.paid_at IS NOT NULL AND member.left_at > c.decided_at AND NOT EXISTS (
                SELECT FROM campaigns_placehold WHERE run_id = member.run_id AND state = 'CONFIRMED')) AS paid,
        count(*) FILTER (WHERE run.state = 'SUCCEEDED') AS confirmed,
        COALESCE(bool_or(EXISTS (SELECT FROM sagas_log WHERE run_id = run.id AND operation = 'resolve')), false)
            AS by_hand
    FROM campaigns_member AS member LEFT JOIN sagas_run AS run ON run.id = member.run_id
    WHERE member.campaign_id = c.id
) AS m
WHERE c.id = ANY(%(keys)s::text[]::bigint[]) AND NOT m.by_hand AND (
    c.outcome = 'FORMED' AND m.paid < c.minimum
    OR c.outcome IN ('SHORT', 'CALLED_OFF') AND m.confirmed > 0
    OR c.state = 'SETTLED' AND p.held + q.held > 0
)
"""
_LEFT = """
SELECT run.id::text AS key, 'campaigns_member ' || member.id AS row, run.id AS run_id,
    jsonb_build_object('order_no', member.order_no, 'state', member.state, 'run', run.state) AS data
FROM sagas_run AS run JOIN campaigns_member AS member ON member.run_id = run.id
WHERE run.id = ANY(%(keys)s::text[]::uuid[]) AND (
    run.state = 'FAILED' AND member.state <> 'LEFT' OR run.state = 'SUCCEEDED' AND member.state <> 'PAID'
        AND NOT (member.state = 'LEFT'
            AND EXISTS (SELECT FROM campaigns_placehold WHERE run_id = run.id AND state = 'CANCELLED'))
) AND NOT EXISTS (SELECT FROM sagas_log WHERE run_id = run.id AND operation = 'resolve')
"""


def _end_membership(violation: Violation, *, reason: str, by: str) -> None:  # noqa: ARG001 - kept with the finding
    """End the membership of an undone run, behind the run's lock; or write that a confirmed one has paid."""
    run_id = violation.run_id
    assert run_id is not None
    with transaction.atomic():
        states = {row.id: row.state for row in runs.lock([run_id])}
        member = Member.objects.select_for_update(no_key=True).filter(run_id=run_id).first()
        if member is None or states.get(run_id) not in {State.FAILED, State.SUCCEEDED}:
            msg = f"Run {run_id} is {states.get(run_id, 'not there')}."
            raise RepairRefused(msg)
        if states[run_id] is State.FAILED and member.state != MemberState.LEFT:
            Member.objects.filter(pk=member.pk).update(state=MemberState.LEFT, left_at=Now())
        elif states[run_id] is State.SUCCEEDED and member.state == MemberState.JOINED:
            Member.objects.filter(pk=member.pk).update(state=MemberState.PAID, paid_at=Now())
        else:
            msg = f"The member is {member.state}, and that is final."
            raise RepairRefused(msg)


INVARIANTS = (
    *invariants_of(Places, PlaceHold, recount=_places.recount, release=_places.release),
    *invariants_of(Quota, QuotaHold, recount=_quota.recount, release=_quota.release),
    Invariant(
        name="campaigns.decided",
        says="A group that formed had as many paid members as it needs, one that did not has no confirmed member, and "
        "nothing of a settled campaign is held.",
        walk=Walk("campaigns_campaign", "id", "bigint"),
        sql=_DECIDED,
        found="campaign {campaign} is {state} ({outcome}), with {paid} paid members of {minimum} that it needs, "
        "{confirmed} confirmed, and {held} places and cups held",
        advice="A decision is final. Compare the members with their runs and payments; refund whom it cannot serve.",
    ),
    Invariant(
        name="campaigns.member",
        says="A member whose run has succeeded has paid, or was refunded; one whose run was undone has left.",
        walk=RUNS,
        sql=_LEFT,
        found="the member of order {order_no} is {state}, and its run is {run}",
        repair=Repair("write what the run says into the member of order {order_no}: {run}", _end_membership),
    ),
)
