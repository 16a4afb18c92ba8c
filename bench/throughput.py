"""The throughput when all work exists before the first task begins.

Publishing or inserting during the measurement would use half of a two-core machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from django.db import connection, transaction

from bench import books, cpu, database, probe
from bench.measured import Rate, Throughput
from bench.servers import ROOT
from bench.workers import CHILDREN, NOTHING, Bare, bare_worker, local_worker, order_worker
from bench.workload import SKUS, SLOTS, Load, Shop, cancel_all, pay_all, refresh_statistics
from sagas.states import State

#: Seconds between checks whether everything is done.
_LOOK = 0.25


def of_bare_chains(count: int, kind: Bare) -> Rate:
    """Chains a second, from the moment when all workers are ready to the last chain's last task."""
    environment = {"BENCH_BARE": "quorum" if kind.safe else "classic", "DJANGO_SETTINGS_MODULE": ""}
    command = [
        sys.executable,
        "-c",
        f"from bench import bare; bare.declare(); [bare.publish() for _ in range({count})]",
    ]
    probe.reset()
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=True)  # noqa: S603 - ours
    with bare_worker(kind) as pids:
        # Of two workers, one is ready before the other, and has begun.
        meter, before, began = Meter(workers=pids), probe.ends(), time.time()
        database.until(lambda: probe.ends() >= count, pause=_LOOK)
        left = count - before
        if left < count / 4:
            msg = f"only {left} of {count} chains were left when all workers were ready"
            raise RuntimeError(msg)
        cost = meter.per_run(left)
    return Rate(left / (probe.last_end() - began), cost)


def of_orders(
    shop: Shop,
    count: int,
    *,
    skus: int = SKUS,
    slots: int = SLOTS,
    cancel: float = 0.0,
    children: int = CHILDREN,
    check: bool = True,
    broker: bool = True,
    environment: Mapping[str, str] = NOTHING,
) -> Throughput:
    """Orders a second, to AWAITING_CONFIRM and, after the payments, on to SUCCEEDED.

    Args:
        shop: where they are placed.
        count: how many.
        skus: how many SKUs they share.
        slots: how many slots they share.
        cancel: this part of them is cancelled instead of paid.
        children: processes that perform tasks.
        check: count all orders afterwards, which takes long where there are millions.
        broker: whether they are carried by RabbitMQ.
        environment: of the worker, besides this process's.

    Raises:
        Unbalanced: an order did not end as it should, or a count is wrong.
    """
    load = shop.place(count, skus=skus, slots=slots)
    forward = drain(load, State.AWAITING_CONFIRM, children=children, broker=broker, environment=environment)
    cancelled = load.ids[: int(count * cancel)]
    paid = load.ids[len(cancelled) :]
    cancel_all(Load(cancelled, load.committed_at))
    pay_all(Load(paid, load.committed_at))
    ends = (State.SUCCEEDED, State.FAILED)
    finish = drain(load, *ends, children=children, broker=broker, environment=environment)
    shop.cancelled += len(cancelled)
    if check:
        books.check(shop.placed, cancelled=shop.cancelled)
    seconds = forward.seconds + finish.seconds
    return Throughput(
        forward=count / forward.seconds,
        finish=count / finish.seconds,
        whole=count / seconds,
        commits=(forward.commits + finish.commits) / count,
        messages=(forward.messages + finish.messages) / count,
        forward_cpu=forward.cpu,
        whole_cpu={kind: forward.cpu[kind] + finish.cpu[kind] for kind in forward.cpu},
    )


@dataclass(frozen=True, slots=True)
class Drained:
    """The cost of bringing a load to a state.

    Attributes:
        seconds: from the first claim.
        commits: of the database.
        messages: task messages.
        cpu: milliseconds a run, by kind of process.
    """

    seconds: float
    commits: int
    messages: int
    cpu: cpu.Seconds


def drain(
    load: Load,
    *states: State,
    children: int = CHILDREN,
    broker: bool = True,
    environment: Mapping[str, str] = NOTHING,
) -> Drained:
    """Let a worker bring all runs to one of ``states``; seconds from its first claim to the last log row."""
    refresh_statistics()
    probe.reset()
    commits = database.commits()
    # All checks in one transaction, so that they do not count as commits.
    with (_celery if broker else _local)(children, environment) as (pids, first_claim), transaction.atomic():
        meter = Meter(workers=pids)
        database.until(lambda: database.all_in(load, *states), pause=_LOOK)
        cost = meter.per_run(len(load.ids))
        began = first_claim()
    seconds = database.last_entry(load) - began
    # Commits and messages are complete only now, after the workers' end.
    return Drained(seconds, database.commits() - commits, probe.published(), cost)


#: Processes, and when their first claim began, which is known once all is done.
_Started = tuple[list[int], Callable[[], float]]


@contextmanager
def _celery(children: int, environment: Mapping[str, str]) -> Iterator[_Started]:
    with order_worker(children, environment) as pids:
        # The first task of a worker is a dispatch, and all work is due, so it begins with the first claim.
        yield pids, probe.began


@contextmanager
def _local(children: int, environment: Mapping[str, str]) -> Iterator[_Started]:
    with ExitStack() as stack:
        with transaction.atomic(), connection.cursor() as cursor:
            # One process is ready before the other: their claims wait for this lock.
            cursor.execute("LOCK TABLE sagas_run IN EXCLUSIVE MODE")
            pids = stack.enter_context(local_worker(children, environment))
        began = time.time()
        yield pids, lambda: began


class Meter:
    """The CPU time of workers and servers since it was made."""

    def __init__(self, **roots: Sequence[int]) -> None:
        self._roots = {**roots, **cpu.servers()}
        self._before = cpu.read(self._roots)

    def per_run(self, runs: int) -> cpu.Seconds:
        """Milliseconds a run, by kind of process and in ``total``."""
        return cpu.per_run(self._before, cpu.read(self._roots), runs)
