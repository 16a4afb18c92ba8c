"""The throughput when all work exists before the first task begins.

Publishing or inserting during the measurement would use half of a two-core machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from bench import bare, books, database, probe
from bench.measured import Throughput
from bench.workers import bare_worker, order_worker
from bench.workload import Load, Shop, pay_all, refresh_statistics
from sagas.states import State

#: Seconds between checks whether everything is done.
_LOOK = 0.25


def of_bare_chains(count: int) -> float:
    """Chains a second, from the first chain's first task to the last chain's last."""
    bare.declare()
    probe.reset()
    for _ in range(count):
        bare.publish()
    with bare_worker():
        database.until(lambda: probe.ends() >= count, pause=_LOOK)
    return count / (probe.last_end() - probe.began())


def of_orders(shop: Shop, count: int, *, hot: bool, placed: int) -> Throughput:
    """Orders a second, to AWAITING_CONFIRM and, after the payments, on to SUCCEEDED.

    Args:
        shop: where they are placed.
        count: how many.
        hot: all take the same SKU.
        placed: orders placed before.

    Raises:
        Unbalanced: an order did not succeed, or a count is wrong.
    """
    load = shop.place(count, hot=hot)
    forward = drain(load, State.AWAITING_CONFIRM)
    pay_all(load)
    finish = drain(load, State.SUCCEEDED)
    books.check(placed + count)
    seconds = forward.seconds + finish.seconds
    return Throughput(
        forward=count / forward.seconds,
        finish=count / finish.seconds,
        whole=count / seconds,
        commits=(forward.commits + finish.commits) / count,
        messages=(forward.messages + finish.messages) / count,
    )


@dataclass(frozen=True, slots=True)
class Drained:
    """The cost of bringing a load to a state: seconds from the first claim, commits and task messages."""

    seconds: float
    commits: int
    messages: int


def drain(load: Load, state: State) -> Drained:
    """Let a worker bring all runs to ``state``; seconds from its first claim to the last log row."""
    refresh_statistics()
    probe.reset()
    commits = database.commits()
    # All checks in one transaction, so that they do not count as commits.
    with order_worker(), transaction.atomic():
        database.until(lambda: database.all_in(load, state), pause=_LOOK)
    # The first task of a worker is a dispatch, and all work is due, so it begins with the first claim.
    seconds = database.last_entry(load) - probe.began()
    # Commits and messages are complete only now, after the workers' end.
    return Drained(seconds, database.commits() - commits, probe.published())
