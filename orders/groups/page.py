"""The page of a group buy, which people share: what it costs, who has joined, how long it is open; join it, and leave.

Anybody can open it who has the link; to join takes a login. It works without JavaScript. With it, the live part of the
page is replaced when something changes (``orders.groups.watching``).
"""

from __future__ import annotations

from io import BytesIO
from typing import Any
from uuid import uuid4

import segno
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

import campaigns.selectors
from campaigns.models import Campaign, CampaignState
from campaigns.selectors import Standing
from delivery.models import Slot
from inventory.models import Sku
from orders import selectors, services
from orders.api import placing
from orders.api.protocol import event_streams, idempotency, reasons, throttles
from orders.api.protocol.addresses import customers_address
from orders.api.protocol.deferred import DEFERS
from orders.api.protocol.idempotency import Key
from orders.groups import live, watching
from orders.groups.joining import Wish
from orders.pages import refusals, texts
from orders.pages.refusals import Refusal
from sagas import State
from sagas.states import UNDECIDED

_LONGEST_COUPON = 32


@require_safe
def show(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the page."""
    return _page(request, _find(slug))


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, slug: str) -> HttpResponse:
    """Join: an order at the group's price. A repeat of the same form leads to the same order."""
    campaign = _find(slug)
    if request.method != "POST":
        # Back from the login, which the form has led to.
        return redirect(campaign.page_path)
    quantity = refusals.whole_number(request.POST.get("quantity", ""), most=campaign.most_cups)
    coupon = request.POST.get("coupon", "").strip() or None
    key = refusals.key_of(request.POST)
    is_odd = coupon is not None and (len(coupon) > _LONGEST_COUPON or not coupon.isprintable())
    if not quantity or key is None or is_odd:
        refused = Refusal(422, "invalid-request", {"whole": _("The form is incomplete. Choose again.")}, {})
        return _page(request, campaign, refused)
    customer_id = refusals.customer_of(request)
    fingerprint = idempotency.fingerprint(request, {"quantity": quantity, "coupon": coupon})
    try:
        throttles.hold_back("orders", f"customer {customer_id}")
        answer = placing.join(
            wish=Wish(campaign.pk, customer_id, quantity, coupon),
            address=customers_address(request),
            key=Key(key, fingerprint),
        )
    except refusals.REFUSED as error:
        return _page(request, campaign, refusals.refusal(error))
    return HttpResponseRedirect(reverse("my-order", args=[answer.body["order_no"]]))


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def leave(request: HttpRequest, slug: str) -> HttpResponse:
    """Leave: the order is cancelled, and what was paid goes back. Who is no member is told so."""
    campaign = _find(slug)
    if request.method != "POST":
        return redirect(campaign.page_path)
    customer_id = refusals.customer_of(request)
    order_no = selectors.order_in_campaign(customer_id=customer_id, campaign=campaign.pk)
    if order_no is None:
        messages.info(request, _("You are no member of this group buy."))
        return redirect(campaign.page_path)
    try:
        throttles.hold_back("cancels", f"customer {customer_id}")
        services.cancel_order(customer_id=customer_id, order_no=order_no)
    except refusals.REFUSED as error:
        return _page(request, campaign, refusals.refusal(error))
    messages.success(request, _("You have left the group buy. What you paid goes back."))
    return redirect(campaign.page_path)


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


def _page(request: HttpRequest, campaign: Campaign, refused: Refusal | None = None) -> HttpResponse:
    standing = campaigns.selectors.standings(campaign_ids=[campaign.pk])[campaign.pk]
    drink = Sku.objects.filter(pk=campaign.sku).first()
    context: dict[str, Any] = {
        **live.context(campaign, standing),
        **_own(request, campaign, standing),
        "drink": drink.name if drink else campaign.sku,
        "price": texts.money(campaign.price_cents),
        "usual": texts.money(drink.price_cents) if drink and drink.price_cents > campaign.price_cents else "",
        "slot": Slot.objects.filter(pk=campaign.slot).first(),
        "link": request.build_absolute_uri(campaign.page_path),
        "errors": list(refused.by_field.values()) if refused else [],
    }
    response = render(request, "orders/groups/page.html", context)
    # A page with a form is never sent again out of a browser's memory: its key would be an old one.
    response["Cache-Control"] = "no-store" if request.user.is_authenticated else "no-cache"
    return refusals.finish(response, refused)


def _own(request: HttpRequest, campaign: Campaign, standing: Standing) -> dict[str, Any]:
    """What the page shows a visitor of their own: an invitation to sign in, a membership, or a form to join."""
    if not request.user.is_authenticated:
        return {"may_join": standing.takes_joins}
    customer_id = refusals.customer_of(request)
    context: dict[str, Any] = {}
    if order_no := selectors.order_in_campaign(customer_id=customer_id, campaign=campaign.pk):
        shown = selectors.order_with_run(customer_id=customer_id, order_no=order_no)
        state = State(shown.run.state)
        context = {
            "own": shown.order,
            "own_state": texts.state_text(shown),
            "own_reason": reasons.reason_text(shown.run.reason),
            "may_leave": not standing.outcome and state in UNDECIDED,
        }
        if state is not State.FAILED:
            return context
    # Who has left may join again.
    numbers = range(1, campaign.most_cups + 1)
    return {**context, "may_join": standing.takes_joins, "key": f"page-{uuid4()}", "numbers": numbers}
