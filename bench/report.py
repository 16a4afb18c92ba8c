"""The figures as a table for people, and as JSON for whoever compares runs."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from django.db import connection
from rich.console import Console
from rich.table import Table

from bench.measure import Throughput
from sagas.conf import config

OUT = Path(__file__).resolve().parent / "out" / "latest.json"
#: What the ratios must reach: at least, or at most.
TARGETS = {
    "orders_vs_bare_chain": (">=", 5.0),
    "hot_vs_distinct": (">=", 0.8),
    "idle_p50_vs_bare_chain": ("<=", 3.0),
}


def percentile(values: list[float], percent: int) -> float:
    """The given percentile of some values."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def summarise(
    *,
    bare: list[float],
    distinct: list[Throughput],
    hot: list[Throughput],
    bare_idle: list[float],
    idle: list[float],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Make one dict of all figures: medians over the rounds, ratios, settings."""
    chains = median(bare)
    figures = {
        "bare_chain": {"chains_per_s": chains, "rounds": bare, **_latencies(bare_idle)},
        "orders_distinct": _rates(distinct),
        "orders_hot": _rates(hot),
        "idle": _latencies(idle),
    }
    ratios = {
        # Claim to SUCCEEDED, confirm operations and all, against four tasks that do nothing.
        "orders_vs_bare_chain": median(t.whole for t in distinct) / chains,
        "orders_to_awaiting_vs_bare_chain": median(t.forward for t in distinct) / chains,
        # Round by round: each pair was measured within seconds.
        "hot_vs_distinct": median(h.whole / d.whole for h, d in zip(hot, distinct, strict=True)),
        "idle_p50_vs_bare_chain": percentile(idle, 50) / percentile(bare_idle, 50),
        "idle_p99_vs_bare_chain": percentile(idle, 99) / percentile(bare_idle, 99),
    }
    return {"ratios": ratios, "figures": figures, "settings": {**settings, **_settings()}}


def _rates(rounds: list[Throughput]) -> dict[str, Any]:
    return {
        "runs_per_s_to_awaiting_confirm": median(t.forward for t in rounds),
        "runs_per_s_confirm_to_succeeded": median(t.finish for t in rounds),
        "runs_per_s": median(t.whole for t in rounds),
        "commits_per_run": median(t.commits for t in rounds),
        "messages_per_run": median(t.messages for t in rounds),
        "rounds": [t.whole for t in rounds],
    }


def _latencies(values: list[float]) -> dict[str, float]:
    return {"p50_ms": percentile(values, 50), "p99_ms": percentile(values, 99), "samples": len(values)}


def _settings() -> dict[str, Any]:
    with connection.cursor() as cursor:
        shown = {}
        for name in ("server_version", "synchronous_commit", "fsync"):
            cursor.execute(f"SHOW {name}")
            (shown[name],) = cursor.fetchone()
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "celery": version("celery"),
        "kombu": version("kombu"),
        "django": version("django"),
        "postgresql": shown,
        "rabbitmq": "quorum queues, publisher confirms, mandatory",
        "cohort": config().cohort,
        "claim": config().claim,
        "bare_chain": "one worker, prefork 2, four no-op tasks, late acks, no results",
        "orders": "two workers, prefork 1 each",
    }


def write(result: dict[str, Any]) -> None:
    """Write ``bench/out/latest.json``."""
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2) + "\n")


def show(result: dict[str, Any], console: Console) -> bool:
    """Draw the table. Return whether all targets are reached."""
    figures, ratios = result["figures"], result["ratios"]
    table = Table(title="orders beside a bare Celery chain of four no-ops")
    for title in ("", "to AWAITING_CONFIRM /s", "on to SUCCEEDED /s", "whole /s", "commits/run", "messages/run"):
        table.add_column(title, justify="right" if title else "left")
    table.add_row("bare chain", f"{figures['bare_chain']['chains_per_s']:.0f}", "", "", "", "4")
    for name in ("orders_distinct", "orders_hot"):
        rates = figures[name]
        table.add_row(
            name.replace("_", ", "),
            f"{rates['runs_per_s_to_awaiting_confirm']:.0f}",
            f"{rates['runs_per_s_confirm_to_succeeded']:.0f}",
            f"{rates['runs_per_s']:.0f}",
            f"{rates['commits_per_run']:.2f}",
            f"{rates['messages_per_run']:.2f}",
        )
    console.print(table)
    for name, idle in (("bare chain", figures["bare_chain"]), ("orders", figures["idle"])):
        console.print(f"idle, {name}: p50 {idle['p50_ms']:.1f} ms, p99 {idle['p99_ms']:.1f} ms")
    reached = True
    for name, (relation, target) in TARGETS.items():
        good = ratios[name] >= target if relation == ">=" else ratios[name] <= target
        reached = reached and good
        console.print(f"{name}: {ratios[name]:.2f} ({relation} {target:g}) {'reached' if good else 'NOT REACHED'}")
    return reached
