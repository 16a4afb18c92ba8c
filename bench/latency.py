"""The latency of one chain, and of one order, on an idle system.

Both are measured alternately, with both workers running, so that other load disturbs both alike. An order has arrived
when another session sees it committed, which asks by primary key every millisecond. A chain has arrived when its fourth
task has written a note to Redis, for which the benchmark waits.
"""

from __future__ import annotations

import time
from contextlib import nullcontext

from django.conf import settings
from django.test import override_settings

from bench import bare, database, probe
from bench.lifecycles import Lifecycle
from bench.measured import Latencies
from bench.workers import bare_worker, local_worker, order_worker
from bench.workload import Shop, pay
from sagas.states import State

#: The first samples of a process include its connecting, and are left out.
_WARMUP = 5
_LOOK = 0.001
#: A pause for what follows the last commit: acks, and the end of a task.
_PAUSE = 0.05


def measure(shop: Shop, samples: int, into: Latencies, lifecycle: Lifecycle) -> None:
    """Measure both alternately.

    Args:
        shop: where the orders are placed.
        samples: how many of each.
        into: where they are added.
        lifecycle: how orders are carried and performed.
    """
    bare.declare()
    worker = order_worker if lifecycle.broker else local_worker
    # Who starts a run without a broker wakes the workers by PostgreSQL.
    carried = nullcontext() if lifecycle.broker else override_settings(SAGAS={**settings.SAGAS, "BROKER": None})
    with bare_worker(), worker(environment=lifecycle.environment), carried:
        for number in range(-_WARMUP, samples):
            found = into if number >= 0 else Latencies()
            _bare(found)
            _order(shop, found)


def _bare(found: Latencies) -> None:
    probe.reset()
    began = time.time()
    bare.publish()
    found.bare.append((probe.await_end(database.TIMEOUT) - began) * 1000)
    time.sleep(_PAUSE)


def _order(shop: Shop, found: Latencies) -> None:
    load = shop.place(1)
    database.until(lambda: database.all_in(load, State.AWAITING_CONFIRM), pause=_LOOK)
    found.orders.append((time.time() - load.committed_at) * 1000)
    steps = database.times(load.ids[0])
    _hops(load.committed_at, steps, found)
    time.sleep(_PAUSE)
    pay(load.ids)
    paid_at = time.time()
    database.until(lambda: database.all_in(load, State.SUCCEEDED), pause=_LOOK)
    found.confirms.append((time.time() - paid_at) * 1000)
    _hops(paid_at, {name: at for name, at in database.times(load.ids[0]).items() if name not in steps}, found)
    time.sleep(_PAUSE)


def _hops(before: float, times: dict[str, float], found: Latencies) -> None:
    for name, at in times.items():
        found.hops[name].append((at - before) * 1000)
        before = at
