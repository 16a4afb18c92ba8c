"""The size of cohorts: what sharing a transaction and a message saves."""

from __future__ import annotations

import json

from bench import throughput
from bench.measured import Throughput
from bench.measures import Options, Say
from bench.measures.curves import curve
from bench.results import Found
from bench.workload import Shop


def measure(options: Options, say: Say) -> Found:
    """Measure cohorts from one order on; the most that is claimed stays four cohorts, up to the default."""

    def once(shop: Shop, cohort: int) -> Throughput:
        settings = json.dumps({"COHORT": cohort, "CLAIM": min(800, 4 * cohort)})
        # A cohort of one costs as much as one of a hundred, so there are fewer orders.
        count = min(4000, max(200, 40 * cohort))
        return throughput.of_orders(shop, options.size(count, 100), environment={"BENCH_SAGAS": settings})

    sizes = (10, 200) if options.quick else (1, 3, 10, 30, 100, 200, 400)
    return curve(
        "cohort", title="The size of cohorts", x="orders in a cohort, at most", values=sizes, once=once, say=say
    )
