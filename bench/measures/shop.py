"""Orders over HTTP to SUCCEEDED, each paid at once: what one costs at 93 a second, and which rate is held."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Any

from bench.lifecycles import COMPRESSED, NO_LIFECYCLE, ORDINARY, has_compressed
from bench.measures import Options, Say
from bench.preparing import prepare
from bench.results import Found, Sheet, percentile
from bench.web import Held, OpenShop, TooLate, customers, open_shop
from bench.workload import Shop

#: Orders a second: eight million a day.
DAILY = 93.0
#: Milliseconds from POST to SUCCEEDED, of 99 in 100 orders, up to which a rate is held.
LIMIT = 1200.0
#: Orders a second: where the search begins, and by how much it goes on.
FIRST, STEP = 100, 20
#: Seconds by which an order may be late until the rate counts as not held, and its time is spared.
LATE = 6.0
#: Where no rate is held.
NONE = Held(0.0, 0, 0, {}, [0.0, 0.0], [], {"total": 0.0})


def measure(options: Options, say: Say) -> Found:
    """Measure the cost at the daily rate, then search the highest rate that is held."""
    prepare()
    shop, tokens = Shop(), customers()
    found, rows = Found(), []
    for prefix, lifecycle in {"": ORDINARY, "compressed_": COMPRESSED}.items():
        if lifecycle is COMPRESSED and not has_compressed():
            found.missing["compressed_shop_cpu_ms_per_order"] = NO_LIFECYCLE
            continue
        with open_shop(shop, tokens, lifecycle.environment) as opened:
            say(f"{lifecycle.title}: warming up")
            opened.hold(60, options.size(8, 3))
            say(f"{lifecycle.title}: {DAILY:g} a second")
            daily = opened.hold(DAILY, options.size(40, 4))
            say(f"{lifecycle.title}: which rate is held")
            # What has a target is held for as long as is asked.
            best = search(opened, options, options.minutes if lifecycle is ORDINARY else min(1.0, options.minutes), say)
        found.ratios[f"{prefix}shop_cpu_ms_per_order"] = daily.cpu["total"]
        found.ratios[f"{prefix}shop_rate"] = best.rate
        found.figures[f"{prefix}shop"] = {"daily": brief(daily), "held": brief(best)}
        rows += [_row(lifecycle.title, daily), _row(f"{lifecycle.title}, held", best)]
    found.sheets = [
        Sheet(
            "Over HTTP to SUCCEEDED, each paid at once; milliseconds, of time and of CPU an order",
            ("", "rate", "p50", "p99", "web", "work", "SQL", "MQ", "all", "client"),
            rows,
        )
    ]
    return found


def search(opened: OpenShop, options: Options, minutes: float, say: Say) -> Held:
    """Go up in short looks until a rate is not held; then hold the last one, or less, for so many minutes."""
    rate = FIRST
    while rate < FIRST + 20 * STEP and _is_held(opened, rate, options.size(12, 3)):
        say(f"{rate} a second are held for a moment")
        rate += STEP
        if options.quick:
            break
    seconds = options.size(max(1, int(minutes * 60)), 3)
    for lower in range(rate - STEP, max(0, rate - 5 * STEP), -STEP):
        opened.settle()
        say(f"{lower} a second for {seconds} s")
        with contextlib.suppress(TooLate):
            held = opened.hold(lower, seconds, late=LATE)
            if held.within(LIMIT):
                return held
    return NONE


def _is_held(opened: OpenShop, rate: float, seconds: float) -> bool:
    try:
        return opened.hold(rate, seconds, late=LATE).within(LIMIT)
    except TooLate:
        return False


def brief(held: Held) -> dict[str, Any]:
    """What is stored, without every sample."""
    found = asdict(held)
    for name in ("to_succeeded", "placed"):
        values = found.pop(name)
        if len(values) > 1:
            found[f"{name}_ms"] = {f"p{percent}": percentile(values, percent) for percent in (50, 90, 99)}
    return found


def _row(title: str, held: Held) -> list[str]:
    kinds = ("web", "workers", "postgresql", "rabbitmq", "total", "client")
    times = held.to_succeeded if len(held.to_succeeded) > 1 else [0.0, 0.0]
    return [
        title,
        f"{held.rate:g}",
        f"{percentile(times, 50):,.0f}",
        f"{percentile(times, 99):,.0f}",
        *(f"{held.cpu.get(kind, 0.0):.1f}" for kind in kinds),
    ]
