"""The number of a saga's steps, and the size of its request. Each step takes stock, and confirms it behind the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from django.db import transaction

import sagas
from bench.measures import Options, Say
from bench.measures.saturation import CPU_COLUMNS, by_kind
from bench.preparing import prepare
from bench.results import Curve, Found, Sheet
from bench.sagas import SAGAS, STEPS, Goods
from bench.throughput import Drained, drain
from bench.workload import PRICE, Load, Shop
from inventory.models import Batch
from orders.requests import Item
from sagas.states import State

#: Bytes of the note in a request, which each step locks and reads with its run.
SIZES = (0, 1_000, 4_000, 16_000, 60_000)
#: Steps of the runs with notes.
_STEPS = 4
#: Runs that are started in one transaction.
_BATCH = 200

#: By steps, or bytes: how many runs, and what each round has found.
Taken = dict[int, tuple[int, list[Drained]]]


def measure(options: Options, say: Say) -> Found:
    """Measure both in turns."""
    prepare()
    shop = Shop()
    rounds, steps, sizes = options.size(2, 1), STEPS[: options.size(5, 2)], SIZES[: options.size(5, 2)]
    by_steps: Taken = {one: (options.size(6000 // (one + 1), 100), []) for one in steps}
    by_size: Taken = {size: (options.size(2000 if size < 10_000 else 500, 100), []) for size in sizes}
    for number in range(rounds):
        turn = -1 if number % 2 else 1
        for one in steps[::turn]:
            say(f"round {number + 1} of {rounds}: {one} step(s)")
            count, found = by_steps[one]
            found.append(drain(_start(shop, one, count, ""), State.SUCCEEDED))
        for size in sizes[::turn]:
            say(f"round {number + 1} of {rounds}: {size:,} bytes")
            count, found = by_size[size]
            found.append(drain(_start(shop, _STEPS, count, "x" * size), State.SUCCEEDED))
    sold = sum(Batch.objects.values_list("sold", flat=True))
    wanted = sum(one * count for one, (count, _) in by_steps.items()) + _STEPS * sum(n for n, _ in by_size.values())
    if sold != wanted * rounds:
        msg = f"sold {sold}, and not {wanted * rounds}"
        raise RuntimeError(msg)
    return summary(by_steps, by_size)


def _start(shop: Shop, steps: int, count: int, note: str) -> Load:
    ids = []
    for begin in range(0, count, _BATCH):
        with transaction.atomic():
            for number in range(begin, min(count, begin + _BATCH)):
                items = (Item(shop.skus[number % len(shop.skus)], 1, PRICE),)
                ids.append(sagas.start(SAGAS[steps], Goods(items, note)))
    return Load(tuple(ids), 0.0)


def summary(by_steps: Taken, by_size: Taken) -> Found:
    """Both tables and curves."""
    return Found(
        figures={
            name: {str(value): [asdict(one) for one in found] for value, (_, found) in taken.items()}
            for name, taken in (("steps", by_steps), ("payload", by_size))
        },
        sheets=[_sheet("steps", by_steps), _sheet("bytes of note, 4 steps", by_size)],
        curves=[
            Curve(
                "steps", "Steps, each with its confirm", "steps", "runs a second", {"to SUCCEEDED": _points(by_steps)}
            ),
            Curve("payload", "The size of the request", "bytes", "runs a second", {"to SUCCEEDED": _points(by_size)}),
        ],
    )


def _points(taken: Mapping[int, tuple[int, Sequence[Drained]]]) -> list[tuple[float, float]]:
    return [(value, _rate(count, found)) for value, (count, found) in taken.items()]


def _rate(count: int, found: Sequence[Drained]) -> float:
    """The best round's."""
    return max(count / drained.seconds for drained in found)


def _sheet(x: str, taken: Taken) -> Sheet:
    return Sheet(
        f"By {x}: runs a second to SUCCEEDED, and milliseconds of CPU a run",
        (x, "a second", *CPU_COLUMNS),
        [
            [f"{value:,}", f"{_rate(count, found):,.0f}", *by_kind([drained.cpu for drained in found])]
            for value, (count, found) in taken.items()
        ],
    )
