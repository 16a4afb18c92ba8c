"""The order of the measurements: in rounds, bare chain and orders alternately."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from django.core.management import call_command

from bench import books, figures, latency, throughput
from bench.measured import Measured
from bench.surroundings import describe
from bench.workload import Shop
from sagas.messaging.app import app
from sagas.messaging.topology import declare


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a benchmark.

    Attributes:
        rounds: how often each measurement is made.
        chains: bare chains in each.
        orders: orders in each, of distinct SKUs and of one hot SKU.
        samples: samples of idle latency, over all rounds.
    """

    rounds: int
    chains: int
    orders: int
    samples: int

    @property
    def stages(self) -> int:
        """How many stages ``run`` reports."""
        return 1 + 4 * self.rounds


FULL = Size(rounds=3, chains=250, orders=1800, samples=150)
QUICK = Size(rounds=1, chains=60, orders=500, samples=15)


def run(size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything on empty servers whose URLs are in the environment.

    Args:
        size: the size.
        say: called with each stage as it begins.

    Returns:
        Ratios, figures and settings, as ``report`` writes them.

    Raises:
        Unbalanced: an order did not succeed, or a count is wrong.
    """
    say("making the database")
    call_command("migrate", verbosity=0)
    with app.connection_for_write() as broker:
        declare(broker)
    settings = {"size": asdict(size), **describe()}
    shop, placed, found = Shop(), 0, Measured()
    for number in range(1, size.rounds + 1):
        where = f"round {number} of {size.rounds}"
        say(f"{where}: bare chains")
        found.bare.append(throughput.of_bare_chains(size.chains))
        # The order alternates, so that a drift within a round favours both sides equally often.
        for hot in (False, True) if number % 2 else (True, False):
            say(f"{where}: orders, {'one hot SKU' if hot else 'distinct SKUs'}")
            rates = throughput.of_orders(shop, size.orders, hot=hot, placed=placed)
            (found.hot if hot else found.distinct).append(rates)
            placed += size.orders
        say(f"{where}: idle latencies")
        placed += latency.measure(shop, size.samples // size.rounds, found.idle)
    books.check(placed)
    settings["load_average_after"] = os.getloadavg()
    return {"ratios": figures.ratios(found), "figures": figures.figures(found), "settings": settings}
