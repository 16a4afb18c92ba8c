"""One thing is changed, and the rest stays: the common part of the curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from bench.measured import Throughput
from bench.measures import Say
from bench.measures.saturation import CPU_COLUMNS, by_kind, forward, whole
from bench.preparing import prepare
from bench.results import Curve, Found, Sheet
from bench.workload import Shop


def curve(
    name: str,
    *,
    title: str,
    x: str,
    values: Sequence[int],
    once: Callable[[Shop, int], Throughput],
    say: Say,
    shop: Shop | None = None,
) -> Found:
    """Measure each value once, with orders of one shop.

    Args:
        name: of the curve.
        title: above it.
        x: what is changed.
        values: to what.
        once: measures one of them in the shop.
        say: called with each stage.
        shop: which is there already; else one is made in the empty database.
    """
    if shop is None:
        prepare()
        shop = Shop()
    taken = dict[int, Throughput]()
    for value in values:
        say(f"{x}: {value:,}")
        taken[value] = once(shop, value)
    return Found(
        figures={name: {str(value): asdict(found) for value, found in taken.items()}},
        sheets=[
            Sheet(
                f"{title}: runs a second, and milliseconds of CPU a run",
                (x, "four steps", "whole", *CPU_COLUMNS),
                [
                    [f"{value:,}", f"{forward([found]):,.0f}", f"{whole([found]):,.0f}", *by_kind([found.whole_cpu])]
                    for value, found in taken.items()
                ],
            )
        ],
        curves=[
            Curve(
                name,
                title,
                x,
                "orders a second",
                {
                    "to the fourth step": [(value, found.forward) for value, found in taken.items()],
                    "to SUCCEEDED": [(value, found.whole) for value, found in taken.items()],
                },
            )
        ],
    )
