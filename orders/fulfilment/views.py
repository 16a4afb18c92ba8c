"""The pages of a store's staff: the queue of cups to make, and its slots. They work without JavaScript.

With it, the queue asks every few seconds whether it is another one (``staff.js``): 304 as long as it is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.formats import date_format
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

import delivery.selectors
import delivery.services
from delivery.errors import DayUnusable, IllegalMove, NotInQueue, NotSettled, ReasonMissing, StaleVersion
from delivery.models import MOST_ORDERS, NEXT, Fulfilment, FulfilmentState, Store
from inventory.models import Sku
from orders.api.protocol import conditional
from orders.fulfilment import services

#: Orders, and slots, that are shown at once.
MOST = 200
_MINUTE = timedelta(minutes=1)
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
    """Show what a store has to make, the next first; 304 to a page that has it."""
    store = get_object_or_404(Store, code=code)
    # The version first: what changes behind it is shown, and asked for once more.
    today = timezone.now().astimezone(store.zone).date()
    etag = conditional.tag(f"{delivery.selectors.queue_version(store=store.pk)} {today} {get_language()} {store.name}")
    known = get_conditional_response(request, etag=etag)
    if known is not None and known.status_code == 304:
        return known
    cards = _cards(store, delivery.selectors.queue(store=store.pk)[: MOST + 1])
    cups: Counter[str] = Counter()
    for card in cards[:MOST]:
        if card.work.state == FulfilmentState.ACCEPTED:
            for quantity, name in card.lines:
                cups[name] += quantity
    columns = [(state, [card for card in cards[:MOST] if card.work.state == state]) for state in _SHOWN]
    context = {
        "store": store,
        "columns": columns,
        "cups": cups.most_common(),
        "more": len(cards) > MOST,
        "etag": etag,
    }
    response = render(request, "orders/staff/queue.html", context)
    response["ETag"] = etag
    return response


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required("delivery.fulfil", raise_exception=True)
def slots(request: HttpRequest, code: str) -> HttpResponse:
    """Show a store's coming slots; make those of a day."""
    store = get_object_or_404(Store, code=code)
    tomorrow = timezone.now().astimezone(store.zone).date() + timedelta(days=1)
    asked = {name: request.POST.get(name, "").strip() for name in ("day", "minutes", "capacity")}
    error = ""
    if request.method == "POST":
        made, error = _open_day(store, asked)
        if made is not None:
            text = ngettext("%(count)s slot was made.", "%(count)s slots were made.", made)
            messages.success(request, text % {"count": made})
            return HttpResponseRedirect(reverse("staff:slots", args=[store.code]))
    else:
        asked = {"day": f"{tomorrow:%Y-%m-%d}", "minutes": "60", "capacity": "20"}
    context = {
        "store": store,
        "asked": asked,
        "error": error,
        "today": tomorrow - timedelta(days=1),
        "last": tomorrow - timedelta(days=1) + delivery.services.AHEAD,
        "days": _days(store),
        "hours": store.hours.all(),
        "most": MOST_ORDERS,
    }
    return render(request, "orders/staff/slots.html", context, status=422 if error else 200)


def _open_day(store: Store, asked: dict[str, str]) -> tuple[int | None, str]:
    """Make the slots of a day as a form has it; return how many were made, or what is wrong with the form."""
    try:
        day = date.fromisoformat(asked["day"])
    except ValueError:
        return None, _("Choose a day.")
    minutes, capacity = (
        int(asked[name]) if asked[name].isdecimal() and len(asked[name]) < 8 else 0 for name in ("minutes", "capacity")
    )
    if not delivery.services.SHORTEST <= minutes * _MINUTE <= delivery.services.LONGEST:
        return None, _("A slot is 5 to 1440 minutes long.")
    if not 1 <= capacity <= MOST_ORDERS:
        return None, _("A slot takes 1 to %(most)s orders.") % {"most": MOST_ORDERS}
    try:
        made = delivery.services.open_day(store=store.pk, day=day, length=minutes * _MINUTE, capacity=capacity)
    except DayUnusable:
        return None, _("The store is not open on that day for so long, or the day is past or more than a year ahead.")
    return len(made), ""


def _days(store: Store) -> list[dict[str, Any]]:
    """The coming slots that take orders, by day, on the store's clock."""
    days: dict[date, list[dict[str, Any]]] = {}
    for slot in delivery.selectors.upcoming().filter(store=store)[:MOST]:
        begin, end = (moment.astimezone(store.zone) for moment in (slot.starts_at, slot.ends_at))
        taken = slot.held + slot.sold
        days.setdefault(begin.date(), []).append(
            {"time": f"{begin:%H:%M}–{end:%H:%M}", "taken": taken, "places": taken + slot.available}
        )
    return [{"day": date_format(day, "SHORT_DATE_FORMAT"), "slots": found} for day, found in days.items()]


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
    except NotSettled:
        messages.warning(request, _("The order is still being confirmed. Refuse it in a moment."))
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
