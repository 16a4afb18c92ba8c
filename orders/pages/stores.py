"""The stores: their page for everybody, and what an order's page shows of its store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.formats import date_format
from django.views.decorators.http import require_safe

import delivery.selectors
from delivery.models import Closure, FulfilmentState, OpeningHours, Slot, Store
from delivery.selectors import StoreView
from orders.api.protocol import reasons
from orders.pages import texts
from orders.selectors import OrderWithRun
from sagas import State

#: Other slots that an order's page offers, and the next of each store.
_OFFERED = 40
_NEXT = 12


@require_safe
def stores(request: HttpRequest) -> HttpResponse:
    """List the stores: when they are open and closed, and their next slots. Anybody may look."""
    found = [_store(view) for view in delivery.selectors.store_views(most=_NEXT)]
    response = render(request, "orders/pages/stores.html", {"stores": found})
    response["Cache-Control"] = "no-cache"
    return response


def _store(view: StoreView) -> dict[str, Any]:
    store = view.store
    return {
        "store": store,
        "hours": _hours(store.hours.all()),
        "closures": [_closure(store, closure) for closure in store.closures.all()],
        "days": by_day(store, view.slots),
    }


def _hours(found: Iterable[OpeningHours]) -> list[dict[str, str]]:
    """The hours of each weekday; neighbours that are alike in one line."""
    days: dict[int, str] = {}
    for one in found:
        days[one.weekday] = ", ".join(filter(None, [days.get(one.weekday), f"{one.opens:%H:%M}–{one.closes:%H:%M}"]))
    lines: list[tuple[int, int, str]] = []
    for day, hours in sorted(days.items()):
        if lines and lines[-1][1] == day - 1 and lines[-1][2] == hours:
            lines[-1] = (lines[-1][0], day, hours)
        else:
            lines.append((day, day, hours))
    names = OpeningHours.Weekday
    return [
        {"days": str(names(a).label if a == b else f"{names(a).label} – {names(b).label}"), "hours": hours}
        for a, b, hours in lines
    ]


def _closure(store: Store, closure: Closure) -> str:
    begin, end = (moment.astimezone(store.zone) for moment in (closure.starts_at, closure.ends_at))
    last = f"{end:%H:%M}" if begin.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
    return f"{begin:%Y-%m-%d %H:%M} – {last}"


def by_day(store: Store, found: Iterable[Slot]) -> list[dict[str, Any]]:
    """Slots by day, on the store's clock."""
    days: dict[date, list[dict[str, Any]]] = {}
    for slot in found:
        begin, end = (moment.astimezone(store.zone) for moment in (slot.starts_at, slot.ends_at))
        told = {"id": slot.pk, "time": f"{begin:%H:%M}–{end:%H:%M}", "available": slot.available}
        days.setdefault(begin.date(), []).append(told)
    return [{"day": date_format(day, "D Y-m-d"), "slots": slots} for day, slots in days.items()]


def offers(shown: OrderWithRun) -> dict[str, Any]:
    """What an order's page shows of its store, and what it offers: ``stages``, ``days``, ``may_return``.

    It is an offer: whoever takes it is told if it is too late by then.
    """
    progress = shown.fulfilment
    if progress is None:
        return {}
    store = progress.work.store
    found: dict[str, Any] = {
        "stages": [
            {
                "name": texts.stage_text(stage),
                "at": stage.at.astimezone(store.zone),
                "reason": reasons.stage_reason(stage),
            }
            for stage in progress.stages
        ]
    }
    if (
        shown.run.state == State.SUCCEEDED
        and progress.work.state == FulfilmentState.ACCEPTED
        and delivery.selectors.is_before_cut_off(slot=shown.order.slot)
    ):
        others = delivery.selectors.upcoming().filter(store=store, available__gt=0).exclude(pk=shown.order.slot)
        found["days"] = by_day(store, others[:_OFFERED])
        # Nobody leaves a group that has formed.
        found["may_return"] = shown.order.campaign is None
    return found
