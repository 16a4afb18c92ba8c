"""What staff do about campaigns: open, change, close, call off. Cups go between the stock and the campaign's quota.

Each is one transaction without any run in it: the campaign is locked first, then its pools, then the SKU.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

import campaigns.services
import delivery.selectors
import inventory.selectors
import sagas
from campaigns.errors import InvalidTerms
from campaigns.models import Campaign
from delivery.selectors import Standing
from orders.groups import stock
from orders.sagas import JoinCampaign


def open_campaign(*, by: str, **terms: Any) -> Campaign:
    """Open a campaign, and take its quota out of the stock, unless it is a presale.

    Raises:
        InvalidTerms: they contradict themselves, there is no such drink or slot, or not so much stock.
    """
    with transaction.atomic():
        _check(terms.get("sku", ""), terms.get("slot", 0))
        campaign = campaigns.services.open_campaign(by=by, **terms)
        if not campaign.presale:
            stock.allocate(campaign, campaign.sku, campaign.quota, by=by, reason="the campaign opens")
    return campaign


def change(*, campaign_id: int, by: str, reason: str = "", **changes: Any) -> None:
    """Change what a campaign offers; see ``campaigns.services.change``. Cups come out of the stock, or go back.

    Raises:
        CampaignError: what that raises; or ``InvalidTerms``, as ``open_campaign``.
    """
    with transaction.atomic():
        before = Campaign.objects.filter(pk=campaign_id).first()
        changed = campaigns.services.change(campaign_id=campaign_id, by=by, reason=reason, **changes)
        campaign = Campaign.objects.get(pk=campaign_id)
        if changes.keys() & {"sku", "slot"}:
            _check(campaign.sku, campaign.slot)
        assert before is not None
        # Changes of the drink and of presale are possible before the first join only: then no cup is held.
        old = 0 if before.presale else campaign.quota - changed.cups
        new = 0 if campaign.presale else campaign.quota
        if before.sku == campaign.sku:
            stock.allocate(campaign, campaign.sku, new - old, by=by, reason=reason or "the quota changes")
        else:
            for sku, cups in sorted({before.sku: -old, campaign.sku: new}.items()):
                stock.allocate(campaign, sku, cups, by=by, reason=reason or "the drink changes")


def close_now(*, campaign_id: int, by: str, reason: str) -> None:
    """End the joins of a campaign now; see ``campaigns.services.close_now``."""
    campaigns.services.close_now(campaign_id=campaign_id, by=by, reason=reason)


def call_off(*, campaign_id: int, by: str, reason: str) -> None:
    """Call off an open campaign: its members' orders are undone, and what they have paid goes back.

    Raises:
        CampaignError: as ``campaigns.services.call_off``.
    """
    with transaction.atomic():
        campaigns.services.call_off(campaign_id=campaign_id, by=by, reason=reason)
        told = "The group buy was called off."
        sagas.decide(JoinCampaign, "formed", str(campaign_id), decline=reason, message=told, by=by)


def _check(sku: str, slot: int) -> None:
    if sku not in inventory.selectors.offers(codes=[sku]):
        raise InvalidTerms(f"There is no SKU {sku}.")
    standing = delivery.selectors.standing(slot=slot)
    if standing is not Standing.OPEN:
        raise InvalidTerms(f"There is no slot {slot} that takes orders.")
