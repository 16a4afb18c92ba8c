"""The same four steps with other engines, and orders beside them, in turns.

Each step is one transaction that changes a stock row and adds a log row; an order's step does more. Rates and CPU time
begin with the first step that is seen committed, so that the start of processes is not counted.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import connection

from bench import database, throughput
from bench.lifecycles import COMPRESSED, ORDINARY, WITHOUT_BROKER, Lifecycle
from bench.measured import Rate, Throughput
from bench.measures import Options, Say
from bench.measures.saturation import CPU_COLUMNS, by_kind, cheapest, fastest, forward, forward_cpu
from bench.peers import ABSENT, PEERS, Peer, Unavailable
from bench.preparing import prepare
from bench.results import Found, Sheet, percentile
from bench.throughput import Meter
from bench.workload import Shop

#: Seconds that a load may take.
_PATIENCE = 120.0
#: The first samples of a process include its connecting, and are left out.
_WARMUP = 5
#: By the beginning of a ratio's name.
ORDERS: Mapping[str, Lifecycle] = {"orders": ORDINARY, "no_broker": WITHOUT_BROKER, "compressed": COMPRESSED}
#: By the end of a ratio's name: the ways of using each engine, of which the best counts.
ENGINES: Mapping[str, Sequence[str]] = {
    "dbos": ("dbos_queue", "dbos_threads"),
    "naive": ("naive",),
    "celery_saga": ("celery_saga",),
    "procrastinate": ("procrastinate",),
    "dramatiq": ("dramatiq",),
}


@dataclass(slots=True)
class Taken:
    """What was measured of one engine: rates of its rounds, latencies, and why it was given up, if it was."""

    rates: list[Rate]
    idle: list[float]
    failed: str = ""


def measure(options: Options, say: Say) -> Found:
    """Measure all in turns. One that fails is named with its reason, and does not stop the others."""
    prepare()
    shop = Shop(slots=COMPRESSED.slots)
    orders: dict[str, list[Throughput]] = {name: [] for name in ORDERS}
    taken = {peer.name: Taken([], []) for peer in PEERS}
    first = dict.fromkeys(taken, 1)

    def attempt(peer: Peer, what: str) -> None:
        count = max(20, peer.runs // options.size(1, 10))
        try:
            if what == "setup":
                create(peer)
            elif what == "rate":
                taken[peer.name].rates.append(rate_of(peer, first[peer.name], count))
                first[peer.name] += count
            else:
                samples = options.size(100, 5)
                with peer.worker():
                    found = peer.idle(first[peer.name], samples + _WARMUP)
                first[peer.name] += samples + _WARMUP
                taken[peer.name].idle += found[_WARMUP:]
        except (Unavailable, RuntimeError, database.psycopg.Error) as error:
            taken[peer.name].failed = str(error).splitlines()[0][:300]

    for peer in PEERS:
        say(f"{peer.title}: installing")
        attempt(peer, "setup")
    rounds = options.size(3, 1)
    for number in range(rounds):
        for peer in PEERS[:: -1 if number % 2 else 1]:
            if not taken[peer.name].failed:
                say(f"round {number + 1} of {rounds}: {peer.title}")
                attempt(peer, "rate")
        for name, lifecycle in list(ORDERS.items())[:: -1 if number % 2 else 1]:
            say(f"round {number + 1} of {rounds}: {lifecycle.title}")
            count = options.size(6000, 400)
            orders[name].append(
                throughput.of_orders(
                    shop,
                    count,
                    slots=lifecycle.slots,
                    broker=lifecycle.broker,
                    environment=lifecycle.environment,
                )
            )
    for peer in PEERS:
        if not taken[peer.name].failed:
            say(f"idle: {peer.title}")
            attempt(peer, "idle")
    return summary(taken, orders)


def summary(taken: Mapping[str, Taken], orders: Mapping[str, Sequence[Throughput]]) -> Found:
    """The ratios to the fastest way of each engine, and the table."""
    found = Found()
    for engine, names in ENGINES.items():
        rounds = [taken[name].rates for name in names if taken[name].rates]
        for kind in ORDERS:
            ratio, mine = f"{kind}_vs_{engine}", orders[kind]
            if rounds:
                found.ratios[ratio] = forward(mine) / max(fastest(rates) for rates in rounds)
                found.ratios[f"{ratio}_by_cpu"] = min(cheapest(rates) for rates in rounds) / forward_cpu(mine)
            else:
                found.missing[ratio] = f"not measured: {'; '.join(taken[name].failed for name in names)}"
    found.figures = {
        "peers": {name: asdict(one) for name, one in taken.items()},
        "orders": {name: [asdict(one) for one in rounds] for name, rounds in orders.items()},
        "absent": ABSENT,
    }
    rows: list[list[Any]] = [_row(peer, taken[peer.name]) for peer in PEERS]
    rows += [
        [ORDERS[name].title, f"{forward(rounds):,.0f}", *by_kind([one.forward_cpu for one in rounds]), "", ""]
        for name, rounds in orders.items()
    ]
    rows += [[name, f"not measured: {why}", *[""] * 6] for name, why in ABSENT.items()]
    found.sheets = [
        Sheet(
            "Four steps with other engines: runs a second, milliseconds of CPU a run, milliseconds idle",
            ("", "a second", *CPU_COLUMNS, "p50", "p99"),
            rows,
        )
    ]
    return found


def _row(peer: Peer, taken: Taken) -> list[str]:
    if not taken.rates:
        return [peer.title, f"not measured: {taken.failed}", *[""] * 6]
    idle = [f"{percentile(taken.idle, percent):.1f}" for percent in (50, 99)] if len(taken.idle) > 1 else ["–", "–"]
    return [peer.title, f"{fastest(taken.rates):,.0f}", *by_kind([rate.cpu for rate in taken.rates]), *idle]


def create(peer: Peer) -> None:
    """Install it, and make its database."""
    peer.install()
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "bench_{peer.name}"')
    peer.call("setup")


def rate_of(peer: Peer, first: int, count: int, *, steps: int = 4) -> Rate:
    """Runs a second, of so many steps, and what one costs, once the first step is committed."""
    peer.call("start", str(first), str(count))
    last = first + count - 1
    session = database.connect(os.environ["DATABASE_URL"].rpartition("/")[0] + f"/bench_{peer.name}")
    with contextlib.closing(session), peer.worker() as process, session.cursor() as cursor:

        def done(step: int) -> int:
            cursor.execute("SELECT count(*) FROM effect WHERE step = %s AND run BETWEEN %s AND %s", (step, first, last))
            number: Any = cursor.fetchone()
            return int(number[0])

        _until(lambda: done(1) > 0 or process.poll() is not None, pause=0.005)
        before, began, meter = done(steps), time.time(), Meter(workers=[process.pid])
        _until(lambda: done(steps) == count or process.poll() is not None, pause=0.1)
        cost = meter.per_run(max(1, count - before))
        if done(steps) < count:
            msg = f"its worker ended with {process.poll()} after {done(steps)} of {count} runs"
            raise RuntimeError(msg)
        cursor.execute(
            "SELECT EXTRACT(EPOCH FROM max(at))::float8 FROM effect WHERE run BETWEEN %s AND %s", (first, last)
        )
        ended: Any = cursor.fetchone()
    return Rate((count - before) / max(1e-6, float(ended[0]) - began), cost)


def _until(condition: Any, *, pause: float) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            msg = f"not worked off in {_PATIENCE:g} s"
            raise RuntimeError(msg)
        time.sleep(pause)
