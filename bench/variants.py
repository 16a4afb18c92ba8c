"""``make bench-variants``: the four variants of a saga: two carriers, with compensation and with time-outs.

Orders, definition, servers and worker are the same; only ``CARRIER`` differs. Rounds alternate, so that a drift
favours both equally often.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

from django.core.management import call_command
from django.db import connection
from rich.console import Console
from rich.table import Table

from bench import database, throughput
from bench.books import Unbalanced
from bench.report import OUT
from bench.throughput import Drained
from bench.workers import order_worker
from bench.workload import Load, Shop, cancel_all, pay, pay_all
from sagas.messaging.app import app
from sagas.messaging.topology import declare
from sagas.states import State

CARRIERS = ("orchestration", "choreography")
ROUNDS = 3
ORDERS = 1200
SAMPLES = 40
VARIANTS_OUT = OUT.with_name("variants.json")

#: What happens to orders whose steps are done, and the state in which they end.
FATES: dict[str, tuple[Callable[[Load], None], State]] = {}


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Measure both carriers on empty servers whose URLs are in the environment."""
    call_command("migrate", verbosity=0)
    with app.connection_for_write() as broker:
        declare(broker)
    FATES.update(
        confirmed=(pay_all, State.SUCCEEDED),
        compensated=(cancel_all, State.FAILED),
        timed_out=(_let_deadlines_pass, State.FAILED),
    )
    shop = Shop()
    rates: dict[str, dict[str, list[Drained]]] = {c: defaultdict(list) for c in CARRIERS}
    idle: dict[str, list[float]] = {carrier: [] for carrier in CARRIERS}
    for number in range(ROUNDS):
        for carrier in CARRIERS[:: -1 if number % 2 else 1]:
            os.environ["CARRIER"] = carrier
            for fate, (decide, state) in FATES.items():
                say(f"round {number + 1} of {ROUNDS}: {carrier}, {fate}")
                load = shop.place(ORDERS)
                rates[carrier]["to_awaiting"].append(throughput.drain(load, State.AWAITING_CONFIRM))
                decide(load)
                rates[carrier][fate].append(throughput.drain(load, state))
            say(f"round {number + 1} of {ROUNDS}: {carrier}, idle")
            idle[carrier] += _idle(shop)
    _check()
    return {
        carrier: {
            "idle_p50_ms": median(idle[carrier]),
            **{
                fate: {
                    "runs_per_s": max(ORDERS / drained.seconds for drained in found),
                    "commits_per_run": median(drained.commits / ORDERS for drained in found),
                    "messages_per_run": median(drained.messages / ORDERS for drained in found),
                }
                for fate, found in rates[carrier].items()
            },
        }
        for carrier in CARRIERS
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Print both side by side, and store them."""
    VARIANTS_OUT.parent.mkdir(exist_ok=True)
    VARIANTS_OUT.write_text(json.dumps(found, indent=2) + "\n")
    table = Table("of the same orders", *CARRIERS, "ratio")
    for fate in ("to_awaiting", *FATES):
        for figure, form in (("runs_per_s", ",.0f"), ("commits_per_run", ".3f"), ("messages_per_run", ".3f")):
            one, other = (found[carrier][fate][figure] for carrier in CARRIERS)
            table.add_row(f"{fate}: {figure}", format(one, form), format(other, form), f"{other / one:.2f}")
    one, other = (found[carrier]["idle_p50_ms"] for carrier in CARRIERS)
    table.add_row("idle, to the fourth step, p50, ms", f"{one:.1f}", f"{other:.1f}", f"{other / one:.2f}")
    console.print(table)


def _idle(shop: Shop) -> list[float]:
    found: list[float] = []
    with order_worker():
        for number in range(-3, SAMPLES // ROUNDS + 1):
            load = shop.place(1)
            database.until(lambda load=load: database.all_in(load, State.AWAITING_CONFIRM), pause=0.005)  # type: ignore[misc]
            if number >= 0:
                found.append((max(database.times(load.ids[0]).values()) - load.committed_at) * 1000)
            pay(load.ids)
            database.until(lambda load=load: database.all_in(load, State.SUCCEEDED), pause=0.005)  # type: ignore[misc]
    return found


def _let_deadlines_pass(load: Load) -> None:
    """Move the begin of the orders so far back that their deadlines are over."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET started_at = started_at - interval '1 day', deadline = deadline - interval '1 day', "
            "due_at = clock_timestamp() WHERE id BETWEEN %s AND %s AND state = 'AWAITING_CONFIRM'",
            load.bounds,
        )


def _check() -> None:
    """Check that all runs have ended, and that nothing is held."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM sagas_run WHERE state NOT IN ('SUCCEEDED', 'FAILED')), "
            "(SELECT sum(held) FROM inventory_batch), (SELECT sum(held) FROM delivery_slot), "
            "(SELECT sum(sold) FROM delivery_slot) - (SELECT count(*) FROM sagas_run WHERE state = 'SUCCEEDED')"
        )
        found = cursor.fetchone()
    if any(found):
        msg = f"left alive, held cups, held places, places sold too many: {found}"
        raise Unbalanced(msg)
