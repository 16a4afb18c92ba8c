"""How many orders want the same stock: from one SKU for all to a thousand."""

from __future__ import annotations

from bench import throughput
from bench.measures import Options, Say
from bench.measures.curves import curve
from bench.results import Found
from bench.workload import SKUS


def measure(options: Options, say: Say) -> Found:
    """Measure one SKU, some and many."""
    return curve(
        "hot",
        title="SKUs that all orders share",
        x="SKUs",
        values=(1, SKUS) if options.quick else (1, 10, 100, SKUS),
        once=lambda shop, skus: throughput.of_orders(shop, options.size(3000, 300), skus=skus),
        say=say,
    )
