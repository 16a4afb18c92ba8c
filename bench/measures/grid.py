"""The settings whose defaults are measured: COHORT, CLAIM and Celery's prefetch."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import product
from statistics import median

from bench import throughput
from bench.measured import Throughput
from bench.measures import Options, Say
from bench.preparing import prepare
from bench.results import Found, Sheet
from bench.workload import Shop

Point = tuple[int, int, int]


def measure(options: Options, say: Say) -> Found:
    """Measure every point twice, the second time in the opposite order."""
    prepare()
    shop = Shop()
    points: list[Point] = list(product((100, 200, 400), (400, 800, 1600), (1, 4)))
    if options.quick:
        points = [points[0], points[-1]]
    taken: dict[Point, list[Throughput]] = {point: [] for point in points}
    for turn in (1,) if options.quick else (1, -1):
        for point in points[::turn]:
            cohort, claim, prefetch = point
            say(f"COHORT {cohort}, CLAIM {claim}, prefetch {prefetch}")
            settings = json.dumps({"COHORT": cohort, "CLAIM": claim})
            load = options.size(4000, 400)
            environment = {"BENCH_SAGAS": settings, "BENCH_PREFETCH": str(prefetch)}
            taken[point].append(throughput.of_orders(shop, load, environment=environment))
    rows = [
        [
            f"{cohort} × {claim} × {prefetch}",
            f"{max(found.forward for found in rounds):,.0f}",
            f"{max(found.whole for found in rounds):,.0f}",
            f"{median(found.forward_cpu['total'] for found in rounds):.3f}",
            f"{median(found.whole_cpu['total'] for found in rounds):.3f}",
        ]
        for (cohort, claim, prefetch), rounds in taken.items()
    ]
    return Found(
        figures={"grid": {" ".join(map(str, point)): [asdict(one) for one in r] for point, r in taken.items()}},
        sheets=[
            Sheet(
                "COHORT × CLAIM × prefetch: runs a second, and milliseconds of CPU a run",
                ("", "four steps", "whole", "CPU, four steps", "CPU, whole"),
                rows,
            )
        ],
    )
