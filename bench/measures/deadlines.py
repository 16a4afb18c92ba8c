"""35,000 unpaid orders wait for their deadlines: new orders beside them."""

from __future__ import annotations

from dataclasses import asdict

from bench import throughput
from bench.measures import Options, Say
from bench.measures.saturation import CPU_COLUMNS, by_kind
from bench.preparing import prepare
from bench.results import Found, Sheet
from bench.throughput import Drained
from bench.workload import Shop
from sagas.states import State


def measure(options: Options, say: Say) -> Found:
    """Measure new orders to AWAITING_CONFIRM without and with those that wait."""
    prepare()
    shop, taken = Shop(), {}
    count, waiting = options.size(3000, 300), options.size(35_000, 1_000)

    def once() -> Drained:
        throughput.drain(shop.place(count), State.AWAITING_CONFIRM)
        return max((throughput.drain(shop.place(count), State.AWAITING_CONFIRM) for _ in range(2)), key=_rate)

    def _rate(drained: Drained) -> float:
        return count / drained.seconds

    say("without others")
    taken["0"] = once()
    say(f"{waiting:,} orders are placed and wait")
    throughput.drain(shop.place(waiting), State.AWAITING_CONFIRM)
    say(f"beside {waiting:,} others")
    taken[f"{waiting:,}"] = once()
    few, many = taken.values()
    return Found(
        ratios={"deadlines_waiting_vs_none": few.seconds / many.seconds},
        figures={"deadlines": {name: asdict(drained) for name, drained in taken.items()}},
        sheets=[
            Sheet(
                "Orders wait for their payment: new ones to the fourth step",
                ("waiting", "a second", *CPU_COLUMNS),
                [[name, f"{_rate(drained):,.0f}", *by_kind([drained.cpu])] for name, drained in taken.items()],
            )
        ],
    )
