"""What traces cost: orders with none, and with so many of a hundred sampled, in turns."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from django.db import connection

from bench import books, throughput
from bench.measures import Options, Say
from bench.measures.saturation import CPU_COLUMNS, by_kind
from bench.preparing import prepare
from bench.results import Found, Sheet
from bench.servers import ROOT
from bench.workload import Shop, pay_all
from sagas.db import uuid_array
from sagas.states import State

#: Sampled orders of a hundred; ``None`` is without OpenTelemetry.
_SHARES = (None, 0, 1, 10, 100)
_SPAN = "00f067aa0ba902b7"


@dataclass(frozen=True, slots=True)
class Cost:
    """Orders a second to SUCCEEDED, and the milliseconds of CPU of each, by kind of process."""

    per_s: float
    cpu: Mapping[str, float]


def measure(options: Options, say: Say) -> Found:
    """Measure all shares in rounds, whose order alternates."""
    prepare()
    rounds = options.size(5, 1)
    shop = Shop()
    found: dict[int | None, list[Cost]] = {share: [] for share in _SHARES}
    with _sink() as url:
        for number in range(rounds):
            for share in _SHARES[:: -1 if number % 2 else 1]:
                say(f"round {number + 1} of {rounds}: {_title(share)}")
                found[share].append(_once(shop, options.size(4000, 300), share, url))
    off = median(cost.cpu["total"] for cost in found[None])
    # The sink's own time is not counted: in production it is another machine's.
    ratios = {
        f"traces_{share}_percent_vs_none_by_cpu": median(cost.cpu["total"] for cost in found[share]) / off
        for share in _SHARES
        if share is not None
    }
    rows = [
        [_title(share), f"{max(cost.per_s for cost in costs):,.0f}", *by_kind([cost.cpu for cost in costs])]
        for share, costs in found.items()
    ]
    title = "Traces: orders a second to SUCCEEDED, and milliseconds of CPU an order"
    return Found(ratios=ratios, sheets=[Sheet(title, ("", "whole", *CPU_COLUMNS), rows)])


def _title(share: int | None) -> str:
    return "without OpenTelemetry" if share is None else f"{share} % sampled"


def _once(shop: Shop, count: int, share: int | None, url: str) -> Cost:
    load = shop.place(count)
    # As if so many had been started in a sampled trace; all rows are written, so that all kinds have the same table.
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run AS run SET trace_parent = CASE WHEN %s < 0 THEN NULL "
            "WHEN v.n %% 100 < %s THEN %s ELSE %s END "
            "FROM unnest(%s::uuid[]) WITH ORDINALITY AS v(id, n) WHERE run.id = v.id",
            [*([-1 if share is None else share] * 2), f"{_SPAN}-01", f"{_SPAN}-00", uuid_array(load.ids)],
        )
    environment = {}
    if share is not None:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": str(share / 100),
        }
    forward = throughput.drain(load, State.AWAITING_CONFIRM, environment=environment)
    pay_all(load)
    finish = throughput.drain(load, State.SUCCEEDED, environment=environment)
    books.check(shop.placed, cancelled=shop.cancelled)
    cpu = {kind: forward.cpu[kind] + finish.cpu[kind] for kind in forward.cpu}
    return Cost(count / (forward.seconds + finish.seconds), cpu)


@contextmanager
def _sink() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", "bench.sink"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
