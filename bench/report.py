"""The figures as tables, and as JSON for comparing runs of the benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import TARGETS

OUT = Path(__file__).resolve().parent / "out" / "latest.json"


def write(result: dict[str, Any], path: Path = OUT) -> None:
    """Write the figures as JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


def show(result: dict[str, Any], console: Console) -> None:
    """Print the tables: rates, latencies, and the ratios with their targets."""
    console.print(_rates(result["figures"]), _latencies(result["figures"]), _ratios(result["ratios"]))


def _rates(figures: dict[str, Any]) -> Table:
    table = _table(
        "a second, at saturation", "to\nAWAITING", "on to\nSUCCEEDED", "both", "commits\neach", "messages\neach"
    )
    bare = figures["bare_chain"]
    table.add_row("bare chain", "", "", f"{bare['chains_per_s']:,.0f}", "", f"{bare['messages_per_run']}")
    for name, title in (("orders_distinct", "orders, 1,000 SKUs"), ("orders_hot", "orders, one hot SKU")):
        rates = figures[name]
        table.add_row(
            title,
            f"{rates['runs_per_s_to_awaiting_confirm']:,.0f}",
            f"{rates['runs_per_s_confirm_to_succeeded']:,.0f}",
            f"{rates['runs_per_s']:,.0f}",
            f"{rates['commits_per_run']:.2f}",
            f"{rates['messages_per_run']:.2f}",
        )
    return table


def _latencies(figures: dict[str, Any]) -> Table:
    table = _table("milliseconds, idle", "p50", "p99", "samples")
    idle = figures["idle"]
    for title, found in (
        ("bare chain, to its fourth task", figures["bare_chain"]),
        ("order, to its fourth step", idle),
        ("order, from payment to SUCCEEDED", idle["payment_to_succeeded"]),
    ):
        table.add_row(title, f"{found['p50_ms']:.1f}", f"{found['p99_ms']:.1f}", str(found["samples"]))
    for name, milliseconds in idle["hops_p50_ms"].items():
        table.add_row(f"  … {name}", f"{milliseconds:.1f}", "", "", style="dim")
    return table


def _ratios(ratios: dict[str, float]) -> Table:
    table = _table("ratio", "found", "target", "")
    for name, found in ratios.items():
        target = TARGETS.get(name)
        verdict = "" if target is None else "[green]reached" if target.is_reached(found) else "[red]missed"
        table.add_row(name, f"{found:.2f}", str(target or ""), verdict)
    return table


def _table(*titles: str) -> Table:
    table = Table(title_justify="left")
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left", no_wrap=True)
    return table
