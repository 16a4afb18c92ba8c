"""Orders beside millions of ended runs in the tables: none, one million, three; ten on demand (``--rows``)."""

from __future__ import annotations

from dataclasses import asdict

from bench import filling, throughput
from bench.measured import Throughput
from bench.measures import Options, Say
from bench.measures.saturation import CPU_COLUMNS, by_kind, forward, whole, whole_cpu
from bench.preparing import prepare
from bench.results import Curve, Found, Sheet
from bench.workload import Shop


def measure(options: Options, say: Say) -> Found:
    """Measure with each number of rows; the same rounds with empty tables come first."""
    prepare()
    shop, count = Shop(), options.size(3000, 300)
    sizes = (0, 10_000) if options.quick else (0, *sorted(options.rows))
    taken: dict[int, list[Throughput]] = {}
    for rows in sizes:
        say(f"filling the tables up to {rows:,} ended runs")
        filling.fill(shop, rows)
        # The first load after so much writing finds cold caches and a checkpoint, as no shop in use does.
        for number in range(options.size(4, 2)):
            say(f"{rows:,} ended runs, round {number}")
            rates = throughput.of_orders(shop, count, check=False)
            if number:
                taken.setdefault(rows, []).append(rates)
    filling.check(shop)
    return summary(taken)


def summary(taken: dict[int, list[Throughput]]) -> Found:
    """The ratio of the fullest tables to empty ones, and the curve."""
    empty, fullest = taken[0], taken[max(taken)]
    return Found(
        ratios={
            "full_tables_vs_empty": whole(fullest) / whole(empty),
            "full_tables_vs_empty_by_cpu": whole_cpu(empty) / whole_cpu(fullest),
        },
        figures={"full": {str(rows): [asdict(one) for one in rounds] for rows, rounds in taken.items()}},
        sheets=[
            Sheet(
                "Ended runs in the tables: new orders a second, and milliseconds of CPU each",
                ("ended runs", "four steps", "whole", *CPU_COLUMNS),
                [
                    [
                        f"{rows:,}",
                        f"{forward(rounds):,.0f}",
                        f"{whole(rounds):,.0f}",
                        *by_kind([one.whole_cpu for one in rounds]),
                    ]
                    for rows, rounds in taken.items()
                ],
            )
        ],
        curves=[
            Curve(
                "full",
                "Ended runs in the tables",
                "ended runs",
                "orders a second",
                {"to SUCCEEDED": [(rows, whole(rounds)) for rows, rounds in taken.items()]},
            )
        ],
    )
