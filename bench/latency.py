"""The latency of one chain, and of one order, on an idle system.

Both are measured alternately, with both workers running, so that other load disturbs both alike. Begin and end are
read from this machine's clock. Redis and RabbitMQ are not polled; the database is asked every few milliseconds by
primary key.
"""

from __future__ import annotations

import time

from bench import bare, database, probe
from bench.measured import Latencies
from bench.workers import bare_worker, order_worker
from bench.workload import Shop, pay
from sagas.states import State

#: The first samples of a process include its connecting, and are left out.
_WARMUP = 5
_LOOK = 0.005
#: A pause for what follows the last commit: acks, and the end of a task.
_PAUSE = 0.01


def measure(shop: Shop, samples: int, into: Latencies) -> int:
    """Measure both alternately. Return how many orders were placed."""
    with bare_worker(), order_worker():
        for number in range(-_WARMUP, samples):
            found = into if number >= 0 else Latencies()
            _bare(found)
            _order(shop, found)
    return _WARMUP + samples


def _bare(found: Latencies) -> None:
    probe.reset()
    began = time.time()
    bare.publish()
    found.bare.append((probe.await_end(database.TIMEOUT) - began) * 1000)
    time.sleep(_PAUSE)


def _order(shop: Shop, found: Latencies) -> None:
    load = shop.place(1)
    database.until(lambda: database.all_in(load, State.AWAITING_CONFIRM), pause=_LOOK)
    steps = database.times(load.ids[0])
    found.orders.append(_span(load.committed_at, steps, found))
    time.sleep(_PAUSE)
    pay(load.ids)
    paid_at = time.time()
    database.until(lambda: database.all_in(load, State.SUCCEEDED), pause=_LOOK)
    confirms = {name: at for name, at in database.times(load.ids[0]).items() if name not in steps}
    found.confirms.append(_span(paid_at, confirms, found))
    time.sleep(_PAUSE)


def _span(began: float, times: dict[str, float], found: Latencies) -> float:
    """Record each hop; return the milliseconds of all."""
    before = began
    for name, at in times.items():
        found.hops[name].append((at - before) * 1000)
        before = at
    return (before - began) * 1000
