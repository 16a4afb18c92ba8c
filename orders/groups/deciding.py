"""Decide and settle campaigns: whoever has paid, then the runs of the members, then the stock.

A campaign is looked at behind each payment of a member, and on each tick of a worker. Its lock is taken in a
transaction without any run: the decision is one row, which the engine gives to the runs.
"""

from __future__ import annotations

import logging

from django.db import transaction

import campaigns.selectors
import campaigns.services
import sagas
from campaigns.models import Campaign, CampaignState
from orders.groups import stock
from orders.sagas import JoinCampaign
from sagas import on_tick

logger = logging.getLogger(__name__)

#: Why the runs of a group that did not form are undone, for customers.
SHORT = "Too few joined in time: the group did not form."


def decide(*, campaign_id: int) -> CampaignState | None:
    """Decide a campaign, if enough have paid or its time is over; ``None`` if it is not to be decided now."""
    # Without a lock first: most payments are of a group that has formed, or is far from it.
    if not Campaign.objects.filter(pk=campaign_id, state=CampaignState.OPEN).exists():
        return None
    with transaction.atomic():
        outcome = campaigns.services.weigh(campaign_id=campaign_id)
        if outcome is CampaignState.FORMED:
            sagas.decide(JoinCampaign, "formed", str(campaign_id), {}, by="campaign")
        elif outcome is CampaignState.SHORT:
            sagas.decide(JoinCampaign, "formed", str(campaign_id), decline="too few", message=SHORT, by="campaign")
    if outcome is not None:
        logger.info("campaigns: campaign %s is %s", campaign_id, outcome)
    return outcome


def settle(*, campaign_id: int) -> bool:
    """Settle a campaign of which nothing is held any more, and give the stock what was not sold.

    Returns:
        Whether it was settled by this call.
    """
    with transaction.atomic():
        settled = campaigns.services.settle(campaign_id=campaign_id)
        if settled is None:
            return False
        if settled.unsold and not settled.presale:
            stock.give_back(
                campaign_id=campaign_id, sku=settled.sku, cups=settled.unsold, by="campaign", reason="not sold"
            )
    logger.info("campaigns: campaign %s is settled; %s cups were not sold", campaign_id, settled.unsold)
    return True


@on_tick
def sweep() -> int:
    """Decide and settle what is due; return how many. One statement where nothing is.

    A campaign that breaks does not stop the others.
    """
    done = 0
    for campaign_id in campaigns.selectors.due():
        try:
            done += decide(campaign_id=campaign_id) is not None
            done += settle(campaign_id=campaign_id)
        except Exception:
            if not transaction.get_connection().is_usable():
                raise
            logger.exception("campaigns: campaign %s could not be decided or settled", campaign_id)
    return done
