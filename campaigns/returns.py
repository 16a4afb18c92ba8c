"""What a refund of a member's confirmed order gives back: its place, its membership, and cups of the quota.

The campaign stays as it was decided. While it takes joins, place and cups are there for others; what nobody has bought
goes to the stock when it is settled. Of a run that was pruned nothing is given back: its holds are gone.

Rows are locked in the common order: places or cups by campaign, then holds, then members by id. No campaign is locked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Now

from campaigns.models import LIVE, Campaign, CampaignState, Member, MemberState, PlaceHold, Places, Quota, QuotaHold
from sagas.pool import HoldState


@dataclass(frozen=True, slots=True)
class Cups:
    """Cups of a member that come back.

    Attributes:
        run_id: the confirmed run that bought them.
        by_run: the run that gives them back.
        step: its step.
        quantity: how many, above 0.
    """

    run_id: UUID
    by_run: UUID
    step: str
    quantity: int


class Surplus(NamedTuple):
    """Cups that came back to a settled campaign, whose cups have come out of the stock: the stock gets them."""

    campaign_id: int
    sku: str
    cups: int


def end_memberships(*, run_ids: Collection[UUID]) -> None:
    """Free the places of these confirmed runs, and end their memberships, in the caller's transaction.

    A repeat changes nothing.
    """
    bought = PlaceHold.objects.filter(run_id__in=run_ids, state=HoldState.CONFIRMED)
    keys = sorted({int(key) for key in bought.values_list("pool_key", flat=True)})
    list(Places.objects.select_for_update(no_key=True).filter(pk__in=keys).order_by("pk"))
    holds = list(bought.select_for_update(no_key=True).order_by("id"))
    for key, places in sorted(Counter(int(hold.pool_key) for hold in holds).items()):
        Places.objects.filter(pk=key).update(available=F("available") + places, sold=F("sold") - places)
    PlaceHold.objects.filter(pk__in=[hold.pk for hold in holds]).update(state=HoldState.CANCELLED)
    members = Member.objects.select_for_update(no_key=True).filter(run_id__in=run_ids, state__in=LIVE)
    ids = list(members.order_by("id").values_list("id", flat=True))
    Member.objects.filter(pk__in=ids).update(state=MemberState.LEFT, left_at=Now())


def give_back_cups(*, returned: Sequence[Cups]) -> list[Surplus]:
    """Give cups back to the quotas that they came from, in the caller's transaction, which must do it once.

    Returns:
        What the caller gives to the stock, because its campaign is settled; no more than a row a campaign.
    """
    runs = [cups.run_id for cups in returned]
    bought = QuotaHold.objects.filter(run_id__in=runs, state=HoldState.CONFIRMED)
    keys = sorted({int(key) for key in bought.values_list("pool_key", flat=True)})
    # Whoever settles a campaign has locked these, too: behind them its state stays.
    list(Quota.objects.select_for_update(no_key=True).filter(pk__in=keys).order_by("pk"))
    campaigns = {campaign.pk: campaign for campaign in Campaign.objects.filter(pk__in=keys)}
    back: Counter[int] = Counter()
    for cups in returned:
        hold = bought.select_for_update(no_key=True).filter(run_id=cups.run_id).first()
        if hold is not None:
            part = min(cups.quantity, hold.quantity)
            _cancel(hold, part, cups)
            back[int(hold.pool_key)] += part
    surplus: list[Surplus] = []
    for key, quantity in sorted(back.items()):
        campaign = campaigns[key]
        if campaign.state == CampaignState.SETTLED:
            Quota.objects.filter(pk=key).update(sold=F("sold") - quantity)
            if not campaign.presale:
                surplus.append(Surplus(key, campaign.sku, quantity))
        else:
            Quota.objects.filter(pk=key).update(available=F("available") + quantity, sold=F("sold") - quantity)
    return surplus


def _cancel(hold: QuotaHold, part: int, cups: Cups) -> None:
    """End a hold as if its cups had not been sold; a part of it becomes a hold of the run that gives it back."""
    if part == hold.quantity:
        QuotaHold.objects.filter(pk=hold.pk).update(state=HoldState.CANCELLED)
        return
    QuotaHold.objects.filter(pk=hold.pk).update(quantity=F("quantity") - part)
    QuotaHold.objects.create(
        run_id=cups.by_run, step=cups.step, pool_key=hold.pool_key, quantity=part, state=HoldState.CANCELLED
    )
