"""What metrics cost: the same orders, counted and not counted, in turns."""

from __future__ import annotations

import json
from dataclasses import asdict

from bench import throughput
from bench.measured import Throughput
from bench.measures import Options, Say
from bench.measures.saturation import CPU_COLUMNS, by_kind, forward, whole, whole_cpu
from bench.preparing import prepare
from bench.results import Found, Sheet
from bench.workload import Shop


def measure(options: Options, say: Say) -> Found:
    """Measure both ways; the CPU of a run is compared, which other load on the machine disturbs less than a rate."""
    prepare()
    shop = Shop()
    found: dict[bool, list[Throughput]] = {False: [], True: []}
    rounds = options.size(5, 1)
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}: off and on")
        for on in (False, True)[:: -1 if number % 2 else 1]:
            settings = {"BENCH_SAGAS": json.dumps({"METRICS": on})}
            found[on].append(throughput.of_orders(shop, options.size(4000, 300), environment=settings))
    return Found(
        ratios={"metrics_cpu_vs_off": whole_cpu(found[True]) / whole_cpu(found[False])},
        figures={"metrics": {"on" if on else "off": [asdict(one) for one in some] for on, some in found.items()}},
        sheets=[
            Sheet(
                "Metrics: runs a second, and milliseconds of CPU a run",
                ("metrics", "four steps", "whole", *CPU_COLUMNS),
                [
                    [
                        "on" if on else "off",
                        f"{forward(some):,.0f}",
                        f"{whole(some):,.0f}",
                        *by_kind([one.whole_cpu for one in some]),
                    ]
                    for on, some in found.items()
                ],
            )
        ],
    )
