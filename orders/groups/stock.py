"""Cups of a campaign's quota: they come out of the stock, and go back to it. The ledger has them by campaign."""

from __future__ import annotations

import delivery.selectors
import inventory.services
from campaigns.errors import InvalidTerms
from campaigns.models import Campaign
from inventory.services import StockRefused


def allocate(campaign: Campaign, sku: str, cups: int, *, by: str, reason: str) -> None:
    """Take cups out of the stock that are good until the end of the slot; below 0, give some back.

    Raises:
        InvalidTerms: the stock has not so many.
    """
    if not cups:
        return
    if cups < 0:
        give_back(campaign_id=campaign.pk, sku=sku, cups=-cups, by=by, reason=reason)
        return
    terms = delivery.selectors.terms(slot=campaign.slot)
    try:
        inventory.services.allocate(
            sku=sku,
            quantity=cups,
            to=account(campaign.pk),
            needed_until=terms.ends_at if terms else None,
            reason=reason,
            by=by,
        )
    except StockRefused as refused:
        msg = f"The stock has not {cups} cups of {sku} available."
        raise InvalidTerms(msg) from refused


def give_back(*, campaign_id: int, sku: str, cups: int, by: str, reason: str) -> None:
    """Give the stock cups that a campaign has had and has not sold."""
    inventory.services.take_back(sku=sku, quantity=cups, allocated_to=account(campaign_id), reason=reason, by=by)


def account(campaign_id: int) -> str:
    """The name of a campaign in the ledger of the stock."""
    return f"campaign {campaign_id}"
