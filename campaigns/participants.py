"""The participants of the campaigns domain: a place, cups of the quota, and the membership itself.

The place is the first thing that a join holds, and the membership the last: whoever is a member has everything else.
All are set-based. Rows are locked in the common order: runs, then pool rows by key, then members by id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from campaigns.models import (
    LIVE,
    Campaign,
    CampaignState,
    Member,
    MemberState,
    PlaceHold,
    Places,
    Quota,
    QuotaHold,
)
from sagas import Call, Done, Outcome, Rejected, locking, no_lock_keys, set_based
from sagas.db import array, uuid_array
from sagas.models import Confirmation
from sagas.pool import PoolResource

#: The name of the confirmation by which a member has paid.
PAYMENT = "payment"


class Joins(Protocol):
    """The part of a request that campaigns need."""

    @property
    def campaign(self) -> int:
        """Id of the campaign."""
        ...

    @property
    def revision(self) -> int:
        """The revision of what the campaign offers, as the customer has seen it."""
        ...

    @property
    def order_no(self) -> str:
        """Number of the order by which the customer joins."""
        ...

    @property
    def customer_id(self) -> int:
        """The customer who joins."""
        ...

    @property
    def cups(self) -> int:
        """Cups of the campaign's drink, above 0."""
        ...


class CampaignFull(Rejected):
    """The campaign has no place left."""


class CampaignClosed(Rejected):
    """The campaign takes no more joins."""


class CupsGone(Rejected):
    """The campaign has not so many cups left."""


class AlreadyMember(Rejected):
    """The customer is a member already."""


class TermsChanged(Rejected):
    """What the campaign offers has changed since the customer has seen it."""


class MemberMissing(Exception):
    """A membership is not there, or not as its run has left it: somebody has changed it by other means."""


def _place(request: Joins) -> Mapping[int, int]:
    return {request.campaign: 1}


def _cups(request: Joins) -> Mapping[int, int]:
    return {request.campaign: request.cups}


class _Places(PoolResource[Joins]):
    """The pool of places, which also knows the campaign: its state, what it offers, and who is a member."""

    @set_based
    def try_(self, calls: Sequence[Call[Joins]]) -> list[Outcome]:
        """Hold a place for each call, in the order of the calls, as long as there are any and the campaign is open."""
        # The lock comes first. Behind it nobody changes what is offered (see the triggers), and nobody of another
        # transaction joins.
        self._lock({call.request.campaign for call in calls})
        refusals = _refusals(calls)
        allowed = [call for call in calls if call.run_id not in refusals]
        outcomes: dict[UUID, Outcome] = dict(refusals)
        if allowed:
            held = super().try_.many(allowed)
            outcomes.update({call.run_id: outcome for call, outcome in zip(allowed, held, strict=True)})
        return [outcomes[call.run_id] for call in calls]


def _refusals(calls: Sequence[Call[Joins]]) -> dict[UUID, Rejected]:
    """Why calls find no place, other than that there is none left; by run."""
    wanted = {call.request.campaign for call in calls}
    known = {row[0]: row[1:] for row in Campaign.objects.filter(pk__in=wanted).values_list("pk", "state", "revision")}
    members = set(
        Member.objects.filter(
            campaign_id__in=wanted, customer_id__in={call.request.customer_id for call in calls}, state__in=LIVE
        ).values_list("campaign_id", "customer_id")
    )
    refusals: dict[UUID, Rejected] = {}
    for call in calls:
        asked = call.request
        if asked.campaign not in known:
            refusals[call.run_id] = CampaignClosed(f"there is no campaign {asked.campaign}")
            continue
        state, revision = known[asked.campaign]
        if state not in {CampaignState.OPEN, CampaignState.FORMED}:
            refusals[call.run_id] = CampaignClosed(f"campaign {asked.campaign} is {state}")
        elif revision != asked.revision:
            refusals[call.run_id] = TermsChanged(f"campaign {asked.campaign} does not offer what it did")
        elif (asked.campaign, asked.customer_id) in members:
            refusals[call.run_id] = AlreadyMember(f"you are a member of campaign {asked.campaign} already")
    return refusals


places = _Places(
    pool=Places,
    hold=PlaceHold,
    demand=_place,
    rejection=CampaignFull,
    closes="closes_at",
    closed=lambda campaign: CampaignClosed(f"campaign {campaign} takes no more joins"),
)
quota = PoolResource(pool=Quota, hold=QuotaHold, demand=_cups, rejection=CupsGone)

# In the order of the unique key, for which two cohorts may wait.
_JOIN = """
INSERT INTO campaigns_member (campaign_id, customer_id, run_id, order_no, quantity, state, paid_at)
SELECT campaign_id, customer_id, run_id, order_no, quantity, CASE WHEN paid THEN 'PAID' ELSE 'JOINED' END,
    CASE WHEN paid THEN clock_timestamp() END
FROM unnest(%s::bigint[], %s::int[], %s::uuid[], %s::text[], %s::int[], %s::bool[])
    AS v(campaign_id, customer_id, run_id, order_no, quantity, paid)
ORDER BY campaign_id, customer_id
ON CONFLICT (campaign_id, customer_id) WHERE state IN ('JOINED', 'PAID') DO NOTHING
RETURNING run_id
"""


@locking(no_lock_keys)
@set_based
def join(calls: Sequence[Call[Joins]]) -> list[Outcome]:
    """Make members of the customers of the calls. Whoever has paid already is a member who has paid.

    A payment is taken under the lock of the run, which this transaction has, so none comes in between.
    """
    asked = [call.request for call in calls]
    paid = set(
        Confirmation.objects.filter(run_id__in=[call.run_id for call in calls], name=PAYMENT).values_list(
            "run_id", flat=True
        )
    )
    with connection.cursor() as cursor:
        cursor.execute(
            _JOIN,
            [
                array(request.campaign for request in asked),
                array(request.customer_id for request in asked),
                uuid_array(call.run_id for call in calls),
                array(request.order_no for request in asked),
                array(request.cups for request in asked),
                array(call.run_id in paid for call in calls),
            ],
        )
        joined = {run_id for (run_id,) in cursor.fetchall()}
    return [
        Done()
        if call.run_id in joined
        else AlreadyMember(f"you are a member of campaign {call.request.campaign} already")
        for call in calls
    ]


@locking(no_lock_keys)
@set_based
def keep(calls: Sequence[Call[Joins]]) -> list[Outcome]:
    """Keep the members of confirmed runs, all of whom have paid.

    Raises:
        MemberMissing: there is no such member, or the customer has left.
    """
    states = _lock(calls)
    if unpaid := [run_id for run_id, state in states.items() if state == MemberState.JOINED]:
        Member.objects.filter(run_id__in=unpaid).update(state=MemberState.PAID, paid_at=Now())
    for call in calls:
        if states.get(call.run_id, MemberState.LEFT) == MemberState.LEFT:
            msg = f"the member of run {call.run_id} is {states.get(call.run_id, 'not there')}, and the run is confirmed"
            raise MemberMissing(msg)
    return [Done() for _ in calls]


@locking(no_lock_keys)
@set_based
def leave(calls: Sequence[Call[Joins]]) -> list[Outcome]:
    """End the memberships of undone runs. A run without one is a null compensation."""
    live = [run_id for run_id, state in _lock(calls).items() if state != MemberState.LEFT]
    if live:
        Member.objects.filter(run_id__in=live).update(state=MemberState.LEFT, left_at=Now())
    return [Done() for _ in calls]


def _lock(calls: Sequence[Call[Any]]) -> dict[UUID, str]:
    """Lock the members of these runs by id, as the decision of a campaign does; return their states."""
    found = Member.objects.select_for_update(no_key=True).filter(run_id__in=[call.run_id for call in calls])
    return dict(found.order_by("id").values_list("run_id", "state"))
