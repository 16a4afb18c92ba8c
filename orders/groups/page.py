"""The page of a group buy, which people share: what it costs, who has joined, and how long it is open.

Anybody can open it who has the link. It works without JavaScript. With it, the live part of the page is replaced when
something changes (``orders.groups.watching``).
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import segno
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

import campaigns.selectors
from campaigns.models import Campaign, CampaignState
from delivery.models import Slot
from inventory.models import Sku
from orders.api.protocol import event_streams
from orders.api.protocol.deferred import DEFERS
from orders.groups import live, watching


@require_safe
def show(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the page."""
    campaign = _find(slug)
    standing = campaigns.selectors.standings(campaign_ids=[campaign.pk])[campaign.pk]
    drink = Sku.objects.filter(pk=campaign.sku).first()
    context: dict[str, Any] = {
        **live.context(campaign, standing),
        "drink": drink.name if drink else campaign.sku,
        "price": live.money(campaign.price_cents),
        "usual": live.money(drink.price_cents) if drink and drink.price_cents > campaign.price_cents else "",
        "slot": Slot.objects.filter(pk=campaign.slot).first(),
        "link": request.build_absolute_uri(campaign.page_path),
        "join_path": reverse("api:join", args=[campaign.pk]),
    }
    response = render(request, "orders/groups/page.html", context)
    response["Cache-Control"] = "no-cache"
    patch_vary_headers(response, ["Accept-Language"])
    return response


@require_safe
def qr(request: HttpRequest, slug: str) -> HttpResponse:
    """Draw the link to the page."""
    campaign = _find(slug)
    out = BytesIO()
    segno.make(request.build_absolute_uri(campaign.page_path), error="m").save(out, kind="svg", scale=4, border=2)
    response = HttpResponse(out.getvalue(), content_type="image/svg+xml")
    response["Cache-Control"] = "public, max-age=86400"
    return response


@require_safe
def events(request: HttpRequest, slug: str) -> HttpResponse:
    """Send the live part of the page when something changes, as server-sent events.

    No thread waits for a change. Where the answer cannot be deferred it is one event, and the browser asks again after
    ``retry``.
    """
    campaign = _find(slug)
    if campaign.state == CampaignState.SETTLED:
        # So the browser asks no more.
        return HttpResponse(status=204)
    language = get_language() or ""
    if request.META.get(DEFERS):
        return watching.GroupStream(campaign.pk, language)
    first = event_streams.BEGIN + live.event(campaign, language)
    return HttpResponse(first, content_type=event_streams.MEDIA_TYPE, headers={"Cache-Control": "no-store"})


def _find(slug: str) -> Campaign:
    campaign = Campaign.objects.filter(slug=slug).first()
    if campaign is None:
        raise Http404
    return campaign
