"""Metrics, alerts and dashboards say the same, and are what the code declares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml

from deploy.grafana import dashboards
from tests.docs import alerts_page, metrics_table
from tests.docs.papers import ROOT

RECORDING = ROOT / "deploy/prometheus/recording.yaml"
#: What Prometheus itself has of each target.
OF_PROMETHEUS = {"up", "scrape_duration_seconds"}


def exported() -> set[str]:
    """The names under which the metrics are found in Prometheus."""
    found = set(OF_PROMETHEUS)
    for rows in metrics_table.declared().values():
        for name, kind, _, _ in rows:
            found |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if kind == "histogram" else {name}
    return found


def recorded() -> dict[str, str]:
    """The recording rules: their names and expressions."""
    rules = [rule for group in yaml.safe_load(RECORDING.read_text())["groups"] for rule in group["rules"]]
    return {rule["record"]: rule["expr"] for rule in rules}


def names(expression: str) -> Iterator[str]:
    """The metrics that an expression asks for."""

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name is not None
            yield node.name
        for part in ("expr", "lhs", "rhs", "vector_selector", "param"):
            if (inner := getattr(node, part, None)) is not None:
                yield from walk(inner)
        for inner in getattr(node, "args", None) or ():
            yield from walk(inner)

    return walk(promql_parser.parse(expression))


PANELS = [
    pytest.param(expression, id=f"{board.uid}: {panel.title}")
    for board in dashboards.BOARDS
    for panel in board.panels
    for expression, _ in panel.queries
]


def test_the_reference_has_the_metrics_of_the_code() -> None:
    assert metrics_table.tables() in metrics_table.PAPER.read_text(), "python -m tests.docs.metrics_table"


def test_the_page_of_alerts_is_that_of_the_rules() -> None:
    assert alerts_page.PAPER.read_text() == alerts_page.page(), "python -m tests.docs.alerts_page"


@pytest.mark.parametrize("board", dashboards.BOARDS, ids=lambda board: board.uid)
def test_the_dashboards_are_those_that_the_code_builds(board: dashboards.Board) -> None:
    kept = (dashboards.HERE / f"{board.uid}.json").read_text()
    assert json.loads(kept) == json.loads(dashboards.build(board)), "python -m deploy.grafana.dashboards"


@pytest.mark.parametrize("expression", PANELS)
def test_a_panel_asks_for_what_is_exported(expression: str) -> None:
    asked = set(names(expression.replace("$saga", ".*")))
    assert asked
    assert asked <= exported() | recorded().keys()


def test_rules_ask_for_what_is_exported_or_recorded() -> None:
    for expression in recorded().values():
        assert set(names(expression)) <= exported()
    for alert in alerts_page.alerts():
        asked = set(names(alert["expr"]))
        assert asked
        assert asked <= exported() | recorded().keys(), alert["alert"]


def test_each_alert_has_a_cause_a_check_and_a_cure() -> None:
    assert len(alerts_page.alerts()) >= 10
    for alert in alerts_page.alerts():
        assert {"summary", "cause", "check", "cure"} == alert["annotations"].keys(), alert["alert"]


def test_each_counter_and_histogram_of_the_engine_is_drawn_or_judged() -> None:
    drawn = {name for param in PANELS for name in names(str(param.values[0]).replace("$saga", ".*"))}
    drawn |= {name for expression in recorded().values() for name in names(expression)}
    drawn |= {name for alert in alerts_page.alerts() for name in names(alert["expr"])}
    left = {name for name in exported() - drawn if not name.endswith(("_bucket", "_sum", "_count"))}
    assert left == {"sagas_runs_capped"}
