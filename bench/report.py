"""The figures as tables, as JSON for comparing runs of the benchmark, and as Markdown with plots."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import plots
from bench.results import TARGETS, Curve, Sheet

OUT = Path(__file__).resolve().parent / "out" / "latest.json"
MARKDOWN = OUT.with_name("latest.md")

__all__ = ["MARKDOWN", "OUT", "TARGETS", "missed", "read", "show", "tables", "write"]


def write(result: dict[str, Any], path: Path = OUT) -> None:
    """Write the figures as JSON, and beside it as Markdown and plots."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    path.with_suffix(".md").write_text(markdown(result))
    for curve in _curves(result):
        path.with_name(f"{curve.name}.svg").write_text(plots.draw(curve))


def read(path: Path = OUT) -> dict[str, Any]:
    """What was written; nothing if there is no such file."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def missed(found: Mapping[str, float]) -> list[str]:
    """Name the ratios that are worse than their targets."""
    return [name for name, target in TARGETS.items() if name in found and not target.is_reached(found[name])]


def markdown(result: dict[str, Any]) -> str:
    """Everything as one page."""
    lines = ["# Figures of the benchmark", "", f"Begun at {result['began_at']}.", ""]
    if result["quick"]:
        lines += ["**A smoke test: these are no figures.**", ""]
    for sheet in (_ratios(result), *_sheets(result)):
        lines += _table(sheet, "## {}")
    for curve in _curves(result):
        lines += [f"![{curve.title}]({curve.name}.svg)", ""]
    for name, found in result["measures"].items():
        if "failed" in found:
            lines += [f"**{name} failed**: {found['failed']}", ""]
    took = ", ".join(f"{name} {found['seconds']:.0f} s" for name, found in result["measures"].items())
    lines += [f"Seconds: {took}.", ""]
    return "\n".join(lines)


def tables(found: Mapping[str, Any], heading: str) -> list[str]:
    """The lines of the tables of one measure.

    Args:
        found: what it has found.
        heading: before each table, with a place for its title.
    """
    return [line for sheet in found["sheets"] for line in _table(Sheet(**sheet), heading)]


def _table(sheet: Sheet, heading: str) -> list[str]:
    head = [heading.format(sheet.title), "", _row(sheet.columns), _row(["---"] + ["---:"] * (len(sheet.columns) - 1))]
    return [*head, *(_row(row) for row in sheet.rows), ""]


def show(result: dict[str, Any], console: Console) -> None:
    """Print the tables, and the ratios with their targets."""
    for sheet in (*_sheets(result), _ratios(result)):
        table = Table(title=sheet.title, title_justify="left")
        for number, column in enumerate(sheet.columns):
            table.add_column(column, justify="right" if number else "left", no_wrap=not number)
        for row in sheet.rows:
            table.add_row(*row, style="red" if row[-1] == "missed" else None)
        console.print(table)
    for name, found in result["measures"].items():
        if "failed" in found:
            console.print(f"{name} failed: {found['failed']}", style="red", markup=False)


def _ratios(result: dict[str, Any]) -> Sheet:
    rows = []
    for name, found in result["ratios"].items():
        target = TARGETS.get(name)
        verdict = "" if target is None else "reached" if target.is_reached(found) else "missed"
        rows.append([name, f"{found:.2f}", str(target or ""), verdict])
    rows += [[name, why.partition(": ")[0], str(TARGETS.get(name, "")), ""] for name, why in result["missing"].items()]
    return Sheet("Ratios", ("ratio", "found", "target", ""), rows)


def _sheets(result: dict[str, Any]) -> Iterator[Sheet]:
    for found in result["measures"].values():
        for sheet in found.get("sheets", ()):
            yield Sheet(**sheet)


def _curves(result: dict[str, Any]) -> Iterator[Curve]:
    for found in result["measures"].values():
        for curve in found.get("curves", ()):
            yield Curve(**curve)


def _row(cells: Any) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
