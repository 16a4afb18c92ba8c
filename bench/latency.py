"""How long one chain, or one order, takes when nothing else is there to do.

Both are taken in turn, a sample each, with both workers running: whatever else the machine does, it does to both.
Both ends are read from this machine's clock; nobody polls Redis or RabbitMQ, and the database is asked
every few milliseconds by primary key.
"""

from __future__ import annotations

import time

from bench import bare, database, probe
from bench.measured import Latencies
from bench.workers import bare_worker, order_worker
from bench.workload import Shop, pay
from sagas.states import State

#: The first samples of a process pay for its connections.
_WARMUP = 5
_LOOK = 0.005
#: Let go what follows the last commit: acks, and the end of a task.
_PAUSE = 0.01


def measure(shop: Shop, samples: int, into: Latencies) -> int:
    """Take samples of both in turn. Return how many orders were placed for it."""
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
    """Note each hop; return the milliseconds of all."""
    before = began
    for name, at in times.items():
        found.hops[name].append((at - before) * 1000)
        before = at
    return (before - began) * 1000
