"""The live part of a group buy's page: how it stands, and who has joined."""

from __future__ import annotations

from typing import Any

from django.template.loader import render_to_string
from django.utils import translation

import campaigns.selectors
from campaigns.models import Campaign, CampaignState
from campaigns.selectors import Standing

#: Members that are shown.
_SHOWN = 24


def context(campaign: Campaign, standing: Standing) -> dict[str, Any]:
    """What the template of the live part needs."""
    members = campaigns.selectors.newest_members(campaign_id=campaign.pk, most=_SHOWN)
    missing = max(campaign.minimum - standing.paid, 0)
    left = max(int((standing.closes_at - standing.now).total_seconds()), 0)
    is_running = standing.state in {CampaignState.OPEN, CampaignState.FORMED}
    return {
        "campaign": campaign,
        "standing": standing,
        "missing": missing,
        "reached": min(standing.paid, campaign.minimum),
        "counts_down": is_running and left > 0,
        "seconds": left,
        "left": _clock(left),
        "members": [
            {
                "name": shorten(member.customer.get_username()),
                "cups": member.quantity,
                "has_paid": member.state == "PAID",
            }
            for member in members
        ],
        "more": max(standing.joined - _SHOWN, 0),
    }


def _clock(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    text = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}d {text}" if days else text


def version(standing: Standing) -> str:
    """What changes whenever the live part does, but for its clock."""
    facts = (
        standing.state,
        standing.paid,
        standing.joined,
        standing.places_left,
        standing.newest,
        standing.takes_joins,
    )
    return "-".join(str(fact) for fact in (*facts, standing.closes_at.timestamp()))


def event(campaign: Campaign, language: str, standing: Standing | None = None) -> bytes:
    """Write the live part as a server-sent event, in a language."""
    if standing is None:
        standing = campaigns.selectors.standings(campaign_ids=[campaign.pk])[campaign.pk]
    with translation.override(language):
        html = render_to_string("orders/groups/live.html", context(campaign, standing))
    lines = "".join(f"data: {line.strip()}\n" for line in html.splitlines() if line.strip())
    return f"event: standing\nid: {version(standing)}\n{lines}\n".encode()


def shorten(name: str) -> str:
    """Show so much of a customer's name that friends know it: "M**a" for "Martha"."""
    if len(name) < 3:
        return f"{name[:1]}**"
    return f"{name[0]}**{name[-1]}"
