"""The benchmark's arithmetic, and what it writes. That it runs at all takes minutes: ``make bench``."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import figures, report
from bench.measured import Latencies, Measured, Throughput
from bench.walk import Walk


def throughput(forward: float, finish: float) -> Throughput:
    whole = 1 / (1 / forward + 1 / finish)
    return Throughput(forward=forward, finish=finish, whole=whole, commits=0.1, messages=0.05)


@pytest.fixture
def measured() -> Measured:
    """Three rounds on a machine that was busy now and then."""
    idle = Latencies(bare=[float(n) for n in range(1, 102)], orders=[2.0 * n for n in range(1, 102)], confirms=[5, 7])
    idle.hops["create_order.forward"] = [3.0, 9.0, 4.0]
    return Measured(
        bare=[200.0, 20.0, 190.0],
        distinct=[throughput(3900, 3900), throughput(4000, 4000), throughput(800, 800)],
        hot=[throughput(700, 700), throughput(3600, 3600), throughput(3500, 3500)],
        idle=idle,
    )


@pytest.fixture
def result(measured: Measured) -> dict[str, object]:
    return {"ratios": figures.ratios(measured), "figures": figures.figures(measured), "settings": {"cpus": 2}}


def test_a_round_on_a_busy_machine_does_not_distort_the_ratios(measured: Measured) -> None:
    found = figures.ratios(measured)

    assert found["orders_vs_bare_chain"] == pytest.approx(10)
    assert found["orders_to_awaiting_vs_bare_chain"] == pytest.approx(20)
    assert found["hot_vs_distinct"] == pytest.approx(0.9)
    assert found["idle_p50_vs_bare_chain"] == pytest.approx(2)
    assert found["idle_p99_vs_bare_chain"] == pytest.approx(2)


def test_the_order_rate_counts_orders_that_succeeded(measured: Measured) -> None:
    assert figures.figures(measured)["orders_distinct"]["runs_per_s"] == pytest.approx(2000)


def test_percentiles_are_computed() -> None:
    values = [float(n) for n in range(101)]

    assert figures.percentile(values, 50) == 50
    assert figures.percentile(values, 99) == 99


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [("orders_vs_bare_chain", 5.0, 4.9), ("hot_vs_distinct", 0.8, 0.79), ("idle_p50_vs_bare_chain", 3.0, 3.1)],
)
def test_a_missed_target_is_named(measured: Measured, name: str, good: float, bad: float) -> None:
    found = figures.ratios(measured)
    assert figures.missed({**found, name: good}) == []
    assert figures.missed({**found, name: bad}) == [name]


def test_the_json_has_the_documented_fields(result: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "out" / "latest.json"

    report.write(result, path)

    read = json.loads(path.read_text())
    assert read["ratios"].keys() >= figures.TARGETS.keys()
    assert {"chains_per_s", "p50_ms", "p99_ms"} <= read["figures"]["bare_chain"].keys()
    assert {"runs_per_s", "commits_per_run", "messages_per_run"} <= read["figures"]["orders_distinct"].keys()
    assert {"p50_ms", "p99_ms", "payment_to_succeeded", "hops_p50_ms"} <= read["figures"]["idle"].keys()
    assert read["settings"] == {"cpus": 2}


def test_the_tables_show_ratios_beside_their_targets_in_80_columns(result: dict[str, object]) -> None:
    text = StringIO()

    report.show(result, Console(file=text, width=80))

    shown = text.getvalue()
    assert "…" not in shown.replace("  … ", "")
    line = next(line for line in shown.splitlines() if "idle_p50_vs_bare_chain" in line)
    assert "2.00" in line
    assert "≤ 3" in line
    assert "reached" in line


def module(name: str, text: str, **known: object) -> dict[str, Any]:
    """A module of this name and text, as its names."""
    names: dict[str, Any] = {**known, "__name__": name}
    exec(compile(text, f"{name}.py", "exec"), names)  # noqa: S102 - the text is the test's
    return names


def test_a_walk_counts_the_modules_whose_functions_are_called() -> None:
    # Given
    ground = module("sagas.ground", "def read(): pass\ndef write(): read()")
    outside = module("elsewhere", "def through(work): work()")
    upper = module(
        "sagas.upper",
        "def work(): read(); through(write); check(); read()\ndef check(): pass",
        **{name: found for one in (ground, outside) for name, found in one.items() if not name.startswith("__")},
    )
    walk, inside = Walk(), Walk(within="write")

    # When
    for one in (walk, inside):
        with one.watching():
            upper["work"]()

    # Then
    assert walk.stays == ["upper", "ground", "upper", "ground"]
    assert (walk.modules, walk.returns, walk.crossings) == (2, 2, 6)
    assert inside.stays == ["ground"]
    assert Walk.joined([walk, inside]).stays == ["upper", "ground", "upper", "ground", "ground"]
