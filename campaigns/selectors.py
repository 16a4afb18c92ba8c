"""Reads: campaigns, and how they stand."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from campaigns.models import DECIDED, LIVE, Campaign, CampaignState, Member
from sagas.db import array


@dataclass(frozen=True, slots=True)
class Standing:
    """How a campaign stands at one moment.

    Attributes:
        campaign_id: the campaign.
        state: its state.
        outcome: how it was decided; "" if it is open.
        paid: members who have paid.
        joined: members who have paid or may still pay.
        places_left: places that nobody holds.
        cups_left: cups that nobody holds.
        closes_at: when the last customer may join.
        newest: id of the member who joined last; 0 if there is none.
        now: when it was so, by the database's clock.
    """

    campaign_id: int
    state: CampaignState
    outcome: str
    paid: int
    joined: int
    places_left: int
    cups_left: int
    closes_at: datetime
    newest: int
    now: datetime

    @property
    def takes_joins(self) -> bool:
        """Whether a customer can join now."""
        is_open = self.state in {CampaignState.OPEN, CampaignState.FORMED} and self.now < self.closes_at
        return is_open and self.places_left > 0 and self.cups_left > 0


_STANDING = """
SELECT c.id, c.state, c.outcome, COALESCE(m.paid, 0), COALESCE(m.joined, 0), p.available, q.available, p.closes_at,
    COALESCE(m.newest, 0), clock_timestamp()
FROM campaigns_campaign AS c JOIN campaigns_places AS p ON p.campaign_id = c.id
JOIN campaigns_quota AS q ON q.campaign_id = c.id
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'PAID') AS paid, count(*) AS joined, max(id) AS newest
    FROM campaigns_member
    WHERE campaign_id = c.id AND state IN ('JOINED', 'PAID')
) AS m ON true
WHERE c.id = ANY(%s::bigint[])
"""


def standings(*, campaign_ids: Collection[int]) -> dict[int, Standing]:
    """Read how these campaigns stand, in one statement; unknown ones are left out."""
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, [array(campaign_ids)])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return {row[0]: Standing(row[0], CampaignState(row[1]), *row[2:]) for row in rows}


@dataclass(frozen=True, slots=True)
class Offer:
    """What a campaign offers a customer at one moment. It may be gone when the customer's run asks for it.

    Attributes:
        campaign: the campaign.
        is_open: whether it takes joins, by the database's clock.
        is_member: whether the customer has joined.
        places_left: places that nobody holds.
        cups_left: cups that nobody holds.
    """

    campaign: Campaign
    is_open: bool
    is_member: bool
    places_left: int
    cups_left: int


def offer(*, campaign_id: int, customer_id: int) -> Offer | None:
    """Read what a campaign offers a customer, in one statement; ``None`` if there is no such campaign."""
    member = Member.objects.filter(campaign_id=OuterRef("pk"), customer_id=customer_id, state__in=LIVE)
    found = (
        Campaign.objects.select_related("places", "cups")
        .annotate(is_member=Exists(member), is_timely=Q(places__closes_at__gt=Now()))
        .filter(pk=campaign_id)
        .first()
    )
    if found is None:
        return None
    is_open = found.is_timely and found.state in {CampaignState.OPEN, CampaignState.FORMED}
    return Offer(found, is_open, found.is_member, found.places.available, found.cups.available)


def current() -> QuerySet[Campaign]:
    """List the campaigns that are not settled, the newest first."""
    return Campaign.objects.exclude(state=CampaignState.SETTLED).order_by("-id")


def newest_members(*, campaign_id: int, most: int) -> QuerySet[Member]:
    """List who takes part, the newest first, with their customers."""
    live = Member.objects.filter(campaign_id=campaign_id, state__in=LIVE)
    return live.select_related("customer").order_by("-id")[:most]


def campaign_of(*, run_id: Any) -> int | None:
    """The campaign whose member a run has made of its customer."""
    return Member.objects.filter(run_id=run_id).values_list("campaign_id", flat=True).first()


def due() -> list[int]:
    """The campaigns that may have to be decided or settled now, by id.

    Those of which so many hold a place that enough may have paid, or whose time is over; and those that are decided and
    of which nothing is held any more.
    """
    is_over = Q(places__closes_at__lte=Now() - F("payment_window"))
    undecided = Q(state=CampaignState.OPEN) & (is_over | Q(places__held__gte=F("minimum")))
    decided = Q(state__in=DECIDED, places__closes_at__lte=Now(), places__held=0, cups__held=0)
    return list(Campaign.objects.filter(undecided | decided).order_by("id").values_list("id", flat=True))
