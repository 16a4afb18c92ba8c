"""Orders that are due soon beside ordinary ones, in turns under one load: how long each takes, and holds its stock.

The ordinary ones are performed step by step, and their customers read them once a second. Those that are due soon are
compressed, and answers to them and to their payments wait (ADR 80).
"""

from __future__ import annotations

from datetime import timedelta
from statistics import median
from typing import Any

from django.utils import timezone

from bench.lifecycles import ORDINARY
from bench.measures import Options, Say
from bench.preparing import prepare
from bench.results import Curve, Found, Sheet, percentile
from bench.web import customers, open_shop
from bench.workload import PLENTY, Shop
from delivery.models import Slot
from orders.models import Order
from sagas.models import Log, Run
from sagas.states import State

#: Orders a second, of both kinds together.
RATE = 10.0
#: Seconds between two reads of an ordinary order.
POLL = 1.0
#: How long the slots last that end soon, from when the first order is placed; and what shall be left of that.
TTL, LEFT = timedelta(minutes=14, seconds=30), timedelta(minutes=10)
_KINDS = ("ordinary", "due soon")


def measure(options: Options, say: Say) -> Found:
    """Send both kinds in turns; compare what their customers and the log saw."""
    prepare()
    shop, tokens = Shop(), customers()
    with open_shop(shop, tokens, ORDINARY.environment, apart=True) as opened:
        say("warming up")
        opened.hold(RATE / 2, options.size(8, 3))
        ends = timezone.now() + TTL
        soon = Slot.objects.bulk_create(
            Slot(starts_at=ends - timedelta(minutes=5, seconds=number), ends_at=ends, available=PLENTY)
            for number in range(20)
        )
        seconds = options.size(90, 6)
        say(f"{RATE:g} a second for {seconds} s")
        seen = opened.follow(RATE, seconds, soon=[slot.pk for slot in soon], poll=POLL)
    slots = [slot.pk for slot in soon]
    sides = {kind: _side(seen[kind]) for kind in _KINDS}
    return _found(sides, seen, slots, ends)


def _side(followed: dict[str, Any]) -> dict[str, list[float]]:
    runs = dict(Order.objects.filter(order_no__in=followed["known"]).values_list("run_id", "order_no"))
    held: dict[Any, dict[str, Any]] = {}
    done = Log.objects.filter(run_id__in=runs, step="reserve_inventory", outcome="DONE")
    for run_id, operation, at in done.values_list("run_id", "operation", "at"):
        held.setdefault(run_id, {})[operation] = at
    return {
        "known": list(followed["known"].values()),
        "hold": [(at["confirm"] - at["try"]).total_seconds() for at in held.values() if len(at) == 2],
        "confirmed": list(followed["confirmed"].values()),
    }


def _found(sides: dict[str, dict[str, list[float]]], seen: dict[str, Any], soon: list[int], ends: Any) -> Found:
    ordinary, due_soon = (sides[kind] for kind in _KINDS)
    runs = dict(Order.objects.filter(slot__in=soon).values_list("run_id", "order_no"))
    booked = Log.objects.filter(run_id__in=runs, step="schedule_delivery", operation="try", outcome="DONE")
    in_time = sum(ends - at >= LEFT for at in booked.values_list("at", flat=True))
    late = Run.objects.filter(pk__in=runs, state__in=[State.FAILED, State.COMPENSATING]).count()
    found = Found()
    found.ratios = {
        "short_lived_p99_vs_ordinary": percentile(due_soon["known"], 99) / percentile(ordinary["known"], 99),
        "short_lived_stock_hold_vs_ordinary": median(due_soon["hold"]) / median(ordinary["hold"]),
        "short_lived_confirm_vs_ordinary": median(due_soon["confirmed"]) / median(ordinary["confirmed"]),
        "short_lived_with_ten_minutes_left": in_time / max(1, len(runs)),
        "short_lived_late": late / max(1, len(runs)),
    }
    names = {
        "known": "placed to confirmed, as its customer knows",
        "hold": "stock is held",
        "confirmed": "paid to confirmed",
    }
    found.figures = {
        kind: {name: {f"p{p}_s": percentile(values, p) for p in (50, 90, 99)} for name, values in side.items()}
        | {"orders": len(side["known"]), "other": seen[kind]["other"]}
        for kind, side in sides.items()
    }
    found.sheets = [
        Sheet(
            f"Milliseconds of orders in turns, {RATE:g} a second; ordinary ones are read every {POLL:g} s",
            ("", "ordinary p50", "p99", "due soon p50", "p99"),
            [
                [
                    title,
                    *(f"{percentile(side[name], p) * 1000:,.0f}" for side in (ordinary, due_soon) for p in (50, 99)),
                ]
                for name, title in names.items()
            ],
        ),
        Sheet(
            "Orders that are due soon",
            ("", "orders"),
            [
                ["accepted", f"{len(runs):,}"],
                [f"with a place, and {LEFT.seconds // 60} minutes left", f"{in_time:,}"],
                ["undone", f"{late:,}"],
                *([what, f"{many:,}"] for what, many in seen["due soon"]["other"].items()),
            ],
        ),
    ]
    found.curves = [
        Curve(
            "short_lived",
            "Orders that are due soon, beside ordinary ones",
            "percent of the orders",
            "milliseconds from placed to confirmed",
            {
                kind: [(p, percentile(side["known"], p) * 1000) for p in (10, 25, 50, 75, 90, 95, 99)]
                for kind, side in sides.items()
            },
        )
    ]
    return found
