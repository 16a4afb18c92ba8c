"""The number of processes that perform tasks."""

from __future__ import annotations

from bench import throughput
from bench.measures import Options, Say
from bench.measures.curves import curve
from bench.results import Found


def measure(options: Options, say: Say) -> Found:
    """Measure one to six processes: more than the machine's processors gain nothing, and should lose nothing."""
    return curve(
        "workers",
        title="Worker processes",
        x="processes",
        values=(1, 2) if options.quick else (1, 2, 3, 4, 6),
        once=lambda shop, children: throughput.of_orders(shop, options.size(3000, 300), children=children),
        say=say,
    )
