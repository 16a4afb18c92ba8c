"""The page of a store's staff: a queue of cups to make. It works without JavaScript, and on a telephone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

import delivery.selectors
from delivery.errors import IllegalMove, NotInQueue, ReasonMissing, StaleVersion
from delivery.models import NEXT, Fulfilment, FulfilmentState, Store
from inventory.models import Sku
from orders.fulfilment import services

#: Orders that are shown at once.
MOST = 200
_SHOWN = (FulfilmentState.ACCEPTED, FulfilmentState.MAKING, FulfilmentState.READY)


@dataclass(frozen=True, slots=True)
class Card:
    """An order in the queue, as it is shown.

    Attributes:
        work: the order.
        time: when it is to be ready, by the store's clock.
        day: the same, where it is not today.
        lines: what is to be made, by name.
        moves: where it may go next, besides being refused.
    """

    work: Fulfilment
    time: str
    day: str
    lines: list[tuple[int, str]]
    moves: list[FulfilmentState]


def _cards(store: Store, found: Iterable[Fulfilment]) -> list[Card]:
    works = list(found)
    codes = {sku for work in works for sku, _quantity in work.lines}
    names = dict(Sku.objects.filter(code__in=codes).values_list("code", "name"))
    today = timezone.now().astimezone(store.zone).date()
    return [
        Card(
            work,
            f"{due:%H:%M}",
            "" if due.date() == today else date_format(due.date(), "SHORT_DATE_FORMAT"),
            [(quantity, names.get(sku, sku)) for sku, quantity in work.lines],
            [state for state in NEXT[FulfilmentState(work.state)] if state is not FulfilmentState.REFUSED],
        )
        for work in works
        for due in [work.due_at.astimezone(store.zone)]
    ]


@never_cache
@require_safe
@login_required
@permission_required("delivery.fulfil", raise_exception=True)
def stores(request: HttpRequest) -> HttpResponse:
    """List the stores; where there is one, show its queue."""
    found = list(delivery.selectors.stores())
    if len(found) == 1:
        return redirect("staff:queue", found[0].code)
    return render(request, "orders/staff/stores.html", {"stores": found})


@never_cache
@require_safe
@login_required
@permission_required("delivery.fulfil", raise_exception=True)
def queue(request: HttpRequest, code: str) -> HttpResponse:
    """Show what a store has to make, the next first."""
    store = get_object_or_404(Store, code=code)
    cards = _cards(store, delivery.selectors.queue(store=store.pk)[: MOST + 1])
    cups: Counter[str] = Counter()
    for card in cards[:MOST]:
        if card.work.state == FulfilmentState.ACCEPTED:
            for quantity, name in card.lines:
                cups[name] += quantity
    columns = [(state, [card for card in cards[:MOST] if card.work.state == state]) for state in _SHOWN]
    context = {"store": store, "columns": columns, "cups": cups.most_common(), "more": len(cards) > MOST}
    return render(request, "orders/staff/queue.html", context)


@never_cache
@require_POST
@login_required
@permission_required("delivery.fulfil", raise_exception=True)
def move(request: HttpRequest, code: str) -> HttpResponse:
    """Move an order, and show the queue again. Who was slower is told how the order stands."""
    store = get_object_or_404(Store, code=code)
    order_no, to, version = (request.POST.get(name, "") for name in ("order_no", "to", "version"))
    if to not in FulfilmentState.values or not version.isdecimal() or len(version) > 9 or "\0" in order_no:
        return HttpResponse(_("The form is incomplete."), status=400, content_type="text/plain; charset=utf-8")
    reason = request.POST.get("reason", "").replace("\0", "").strip()
    if to == FulfilmentState.REFUSED and not reason:
        return _refusal(request, store, order_no, status=422)
    try:
        moved = services.move(
            order_no=order_no,
            to=FulfilmentState(to),
            version=int(version),
            by=request.user.get_username(),
            reason=reason,
        )
    except NotInQueue:
        messages.error(request, _("There is no such order."))
    except (StaleVersion, IllegalMove, ReasonMissing):
        messages.warning(request, _("Somebody was faster. This is how the orders stand now."))
    else:
        text = _("%(order)s is %(state)s.")
        messages.success(request, text % {"order": moved.order_no, "state": moved.get_state_display()})
    return HttpResponseRedirect(reverse("staff:queue", args=[store.code]))


@never_cache
@require_safe
@login_required
@permission_required("delivery.fulfil", raise_exception=True)
def refuse(request: HttpRequest, code: str, order_no: str) -> HttpResponse:
    """Ask why an order is refused."""
    return _refusal(request, get_object_or_404(Store, code=code), order_no)


def _refusal(request: HttpRequest, store: Store, order_no: str, status: int = 200) -> HttpResponse:
    work = get_object_or_404(delivery.selectors.queue(store=store.pk), order_no=order_no)
    (card,) = _cards(store, [work])
    context = {"store": store, "card": card, "missing": status != 200}
    return render(request, "orders/staff/refuse.html", context, status=status)
