"""The order of the measurements."""

from __future__ import annotations

from collections.abc import Callable

from celery import current_app
from django.core.management import call_command
from rich.console import Console

from bench import measure, report, servers, workload
from bench.measure import Throughput
from sagas.topology import declare


def run(rounds: int, runs: int, chains: int, samples: int, say: Callable[[str], None]) -> bool:
    """Measure everything; write and show it. Return whether all targets are reached."""
    logs = servers.DIRECTORY
    say("migrating")
    call_command("migrate", verbosity=0)
    with current_app.connection_for_write() as broker:
        declare(broker)
    workload.prepare_shop()
    bare: list[float] = []
    distinct: list[Throughput] = []
    hot: list[Throughput] = []
    bare_idle: list[float] = []
    idle: list[float] = []
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}: bare chain")
        bare.append(measure.bare_throughput(chains, logs))
        say(f"round {number} of {rounds}: orders, distinct SKUs")
        distinct.append(measure.order_throughput(f"distinct{number}", runs, logs, hot=False))
        say(f"round {number} of {rounds}: orders, one hot SKU")
        hot.append(measure.order_throughput(f"hot{number}", runs, logs, hot=True))
        say(f"round {number} of {rounds}: idle latency, bare chain")
        bare_idle += measure.bare_latency(samples // rounds, logs)
        say(f"round {number} of {rounds}: idle latency, orders")
        idle += measure.order_latency(samples // rounds, logs, name=f"idle{number}")
    settings = {"rounds": rounds, "runs": runs, "chains": chains, "samples": samples}
    result = report.summarise(bare=bare, distinct=distinct, hot=hot, bare_idle=bare_idle, idle=idle, settings=settings)
    report.write(result)
    return report.show(result, Console())
