"""Runs ended a second, when one order in ten is cancelled and undone, beside none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from bench import throughput
from bench.measured import Throughput
from bench.measures import Options, Say
from bench.measures.saturation import whole, whole_cpu
from bench.preparing import prepare
from bench.results import Curve, Found, Sheet
from bench.workload import Shop


def measure(options: Options, say: Say) -> Found:
    """Measure some shares in turns."""
    prepare()
    shop, rounds = Shop(), options.size(3, 1)
    shares = (0.0, 0.1) if options.quick else (0.0, 0.1, 0.3)
    taken: dict[float, list[Throughput]] = {share: [] for share in shares}
    for number in range(rounds):
        for share in shares[:: -1 if number % 2 else 1]:
            say(f"round {number + 1} of {rounds}: {share:.0%} cancelled")
            taken[share].append(throughput.of_orders(shop, options.size(3000, 300), cancel=share))
    return summary(taken)


def summary(taken: Mapping[float, Sequence[Throughput]]) -> Found:
    """The ratio of one in ten to none, and the curve."""
    points = [(share * 100, whole(rounds)) for share, rounds in taken.items()]
    return Found(
        ratios={
            "compensating_10_vs_0": whole(taken[0.1]) / whole(taken[0.0]),
            "compensating_10_vs_0_by_cpu": whole_cpu(taken[0.0]) / whole_cpu(taken[0.1]),
        },
        figures={f"cancelled_{share:g}": [asdict(one) for one in rounds] for share, rounds in taken.items()},
        sheets=[
            Sheet(
                "Some orders are cancelled before they are paid: runs ended a second",
                ("cancelled", "a second", "ms of CPU each"),
                [
                    [f"{share:.0%}", f"{whole(rounds):,.0f}", f"{whole_cpu(rounds):.2f}"]
                    for share, rounds in taken.items()
                ],
            )
        ],
        curves=[Curve("compensating", "Runs ended a second", "cancelled, %", "runs a second", {"orders": points})],
    )
