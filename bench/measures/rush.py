"""A rush on one drink of which few cups are left, with the gate that turns away what cannot succeed, and without it.

Each accepted order is paid at once. Without the gate every order gets a run, which fails where the cups are gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench import cpu, database
from bench.lifecycles import ORDINARY
from bench.measures import Options, Say
from bench.preparing import prepare
from bench.results import Curve, Found, Sheet, percentile
from bench.web import OpenShop, customers, open_shop
from bench.workload import Shop
from inventory.models import Batch
from sagas.models import Run

#: Cups of the drink, orders a second, and for how many seconds.
CUPS, RATE, SECONDS = 300, 120.0, 30.0
#: Seconds of a point of the plot.
_BIN = 1.0
_SIDES = {"with the gate": "drinkgroup.wsgi", "without it": "bench.ungated"}


@dataclass(frozen=True, slots=True)
class Rush:
    """What came of a rush.

    Attributes:
        sent: orders.
        accepted: of them, with 202.
        succeeded: of those.
        answers: other answers, by what they were.
        sold: cups.
        to_succeeded: seconds from when an order was due to its SUCCEEDED.
        turned_away: milliseconds from when an order was due to its refusal.
        cpu: milliseconds of an order that was sent, by kind of process.
        pace: orders that succeeded, by the second in which they were due.
    """

    sent: int
    accepted: int
    succeeded: int
    answers: Mapping[str, int]
    sold: int
    to_succeeded: list[float]
    turned_away: list[float]
    cpu: cpu.Seconds
    pace: Mapping[float, int]


def measure(options: Options, say: Say) -> Found:
    """Send the same rush to both."""
    prepare()
    shop, tokens = Shop(), customers()
    cups, seconds = options.size(CUPS, 30), options.size(int(SECONDS), 4)
    rushes = {}
    for sku, (side, application) in zip(shop.skus, _SIDES.items(), strict=False):
        with open_shop(shop, tokens, ORDINARY.environment, apart=True, application=application) as opened:
            say(f"{side}: warming up")
            opened.hold(RATE / 4, options.size(8, 2))
            opened.settle()
            Batch.objects.filter(sku__code=sku).update(available=cups, sold=0)
            say(f"{side}: {RATE:g} a second want {cups} cups")
            rushes[side] = _rush(opened, sku, float(seconds))
    return _found(rushes, cups)


def _rush(opened: OpenShop, sku: str, seconds: float) -> Rush:
    meter = opened.meter
    # Without a limit of their connections: nobody keeps others from asking.
    seen = opened.send(RATE, seconds, look=lambda: None, skus=[sku])
    due: dict[str, float] = seen["due"]
    # Not by settle(): what gives payments back waits for a gateway, which there is none of.
    database.until(lambda: not Run.objects.filter(business_key__in=due, due_at__isnull=False).exists(), pause=0.25)
    ended = opened.await_ends(list(due), patience=1.0)
    batch = Batch.objects.get(sku__code=sku)
    if (batch.available, batch.held) != (max(batch.available, 0), 0):
        msg = f"the stock of {sku} does not add up: {batch.available} available, {batch.held} held"
        raise RuntimeError(msg)
    begin = min(due.values(), default=0.0)
    return Rush(
        sent=int(RATE * seconds),
        accepted=len(due),
        succeeded=len(ended),
        answers=seen["refused"],
        sold=batch.sold,
        to_succeeded=[at - due[order_no] for order_no, at in ended.items()],
        turned_away=seen["turned_away"],
        cpu=meter.per_run(int(RATE * seconds)),
        pace=dict(Counter((due[order_no] - begin) // _BIN * _BIN for order_no in ended)),
    )


def _found(rushes: Mapping[str, Rush], cups: int) -> Found:
    gated, ungated = (rushes[side] for side in _SIDES)
    rows: dict[str, Any] = {
        "sent": lambda rush: f"{rush.sent:,}",
        "accepted": lambda rush: f"{rush.accepted:,}",
        "SUCCEEDED": lambda rush: f"{rush.succeeded:,}",
        f"cups sold, of {cups}": lambda rush: f"{rush.sold:,}",
        "ms to the refusal, p50": lambda rush: _told(rush.turned_away, 50),
        "p99": lambda rush: _told(rush.turned_away, 99),
        "s to SUCCEEDED, p50": lambda rush: _told(rush.to_succeeded, 50, digits=2),
        "p99 ": lambda rush: _told(rush.to_succeeded, 99, digits=2),
        "ms of CPU of an order sent: web": lambda rush: f"{rush.cpu.get('web', 0):.2f}",
        "workers": lambda rush: f"{rush.cpu.get('workers', 0):.2f}",
        "all": lambda rush: f"{rush.cpu['total']:.2f}",
    }
    answers = sorted({what for rush in rushes.values() for what in rush.answers})
    return Found(
        ratios={"rush_cpu_vs_ungated": gated.cpu["total"] / ungated.cpu["total"]},
        figures={side: asdict(rush) for side, rush in rushes.items()},
        sheets=[
            Sheet(
                f"{RATE:g} orders a second of one drink with {cups} cups",
                ("", *_SIDES),
                [[name, *(tell(rush) for rush in (gated, ungated))] for name, tell in rows.items()]
                + [[what, *(f"{rush.answers.get(what, 0):,}" for rush in (gated, ungated))] for what in answers],
            )
        ],
        curves=[
            Curve(
                "rush",
                "A rush: orders that got their cup",
                "seconds since its begin, when the order was due",
                "orders a second that SUCCEEDED",
                {side: [(at, float(many)) for at, many in sorted(rush.pace.items())] for side, rush in rushes.items()},
            )
        ],
    )


def _told(values: list[float], percent: int, *, digits: int = 1) -> str:
    return f"{percentile(values, percent):,.{digits}f}" if len(values) > 1 else ""
