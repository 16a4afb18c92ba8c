"""The rules and the dashboards on a real Prometheus, which scrapes a real load: every panel has something to draw."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.test import Client
from pytest_django import Settings

import sagas
from deploy.grafana import dashboards
from sagas.models import Measurement
from sagas.observability.flushing import Flusher
from tests.docs.test_metrics import recorded
from tests.integration.conftest import Start
from tests.lab.sagas import Experiment, Lab, Unconfirmed
from tests.support import servers
from tests.support.awaiting import eventually
from tests.support.metrics import TOKEN, counting, serving
from tests.support.shop import TEA, open_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("alone")]

DEPLOY = servers.ROOT / "deploy/prometheus"


def _tool(name: str) -> str:
    """A program of Prometheus: installed, or unpacked from Debian's package into ``.run``."""
    unpacked = servers.ROOT / ".run/prometheus"
    if not (unpacked / "usr/bin" / name).exists() and not shutil.which(name):
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            pytest.skip("Prometheus is not installed, and only Debian's package can be unpacked")
        unpacked.mkdir(parents=True, exist_ok=True)
        got = subprocess.run(["apt-get", "download", "prometheus"], cwd=unpacked, check=False, capture_output=True)
        if got.returncode:
            pytest.skip("Prometheus is not installed, and apt-get cannot download it")
        subprocess.run(["dpkg", "-x", *unpacked.glob("prometheus_*.deb"), unpacked], check=True)
    return shutil.which(name) or str(unpacked / "usr/bin" / name)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def exporter() -> Iterator[str]:
    """``manage.py sagas metrics --listen``: where it listens."""
    with serving() as address:
        yield address


@pytest.fixture
def prometheus(exporter: str, tmp_path: Path) -> Iterator[httpx.Client]:
    """A Prometheus with the rules of this repository, which scrapes once a second."""
    for name in ("recording.yaml", "alerts.yaml"):
        shutil.copy(DEPLOY / name, tmp_path)
    (tmp_path / "metrics-token").write_text(TOKEN)
    text = (DEPLOY / "prometheus.yaml").read_text().replace("127.0.0.1:9464", exporter).replace("15s", "1s")
    (tmp_path / "prometheus.yaml").write_text(text)
    port = _free_port()
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [
                _tool("prometheus"),
                f"--config.file={tmp_path / 'prometheus.yaml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:

        def is_ready() -> bool:
            try:
                return client.get("/-/ready").status_code == 200
            except httpx.TransportError:
                return False

        eventually(is_ready, within=60, what="Prometheus ready")
        yield client
    process.terminate()
    process.wait(timeout=30)


@pytest.mark.parametrize("arguments", [["rules", "recording.yaml", "alerts.yaml"], ["config", "prometheus.yaml"]])
def test_promtool_finds_nothing_wrong(arguments: list[str], tmp_path: Path) -> None:
    for path in DEPLOY.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    (tmp_path / "metrics-token").write_text(TOKEN)
    checked = subprocess.run(
        [_tool("promtool"), "check", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


#: Runs of an hour and of five minutes, bad and all: whether somebody is called at once.
BURNS = {
    "both windows burn": ((100, 1000), (20, 100), True),
    "it is over": ((100, 1000), (0, 100), False),
    "nothing has ended lately": ((100, 1000), (0, 0), False),
    "it has only begun": ((10, 1000), (20, 100), False),
    "too few runs are bad": ((4, 10), (4, 10), False),
}


@pytest.mark.parametrize("case", BURNS)
def test_the_rule_of_a_fast_burn_wants_both_windows_and_the_floor(case: str, tmp_path: Path) -> None:
    (bad_long, long), (bad_short, short), calls = BURNS[case]
    for path in DEPLOY.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    numbers = {
        ("bad", "1h"): bad_long,
        ("good", "1h"): long - bad_long,
        ("bad", "5m"): bad_short,
        ("good", "5m"): short - bad_short,
    }
    of = 'saga="a.Saga",objective="settled"'
    series = [
        {"series": f'sagas_objective_runs{{{of},outcome="{outcome}",window="{window}"}}', "values": f"{number}x5"}
        for (outcome, window), number in numbers.items()
    ]
    series += [
        {"series": f"sagas_objective_target{{{of}}}", "values": "0.996x5"},
        {"series": f"sagas_objective_floor{{{of}}}", "values": "5x5"},
    ]
    asked = 'count(ALERTS{alertname="SagasBudgetBurnsFast"}) or vector(0)'
    test = {"expr": asked, "eval_time": "2m", "exp_samples": [{"labels": "{}", "value": int(calls)}]}
    told = {
        "rule_files": ["recording.yaml", "alerts.yaml"],
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [test]}],
    }
    (tmp_path / "test.yaml").write_text(json.dumps(told))
    checked = subprocess.run(
        [_tool("promtool"), "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_panel_and_every_recorded_number_has_something_to_draw(
    start_worker: Start, prometheus: httpx.Client, settings: Settings, jar: str
) -> None:
    # Given a shop, workers and a web that count
    Measurement.objects.all().delete()
    settings.SAGAS = {**settings.SAGAS, "METRICS": True}
    shop = open_shop()
    start_worker(concurrency=2, METRICS=True)
    client = Client(headers={"Authorization": f"Token {shop.token}"})
    began = time.time()

    asked = {
        f"{board.uid}: {panel.title}": expression.replace("$saga", ".*")
        for board in dashboards.BOARDS
        for panel in board.panels
        for expression, _ in panel.queries
    }
    asked |= {name: name for name in recorded()}

    def drawn(expression: str) -> list[object]:
        span: dict[str, str | float] = {"query": expression, "start": began, "end": time.time(), "step": "1s"}
        answer = prometheus.get("/api/v1/query_range", params=span).json()
        assert answer["status"] == "success", (expression, answer)
        return list(answer["data"]["result"])

    with counting() as sums:
        flusher = Flusher(sums)

        def empty() -> list[str]:
            for _ in range(5):
                sagas.start(Unconfirmed, Experiment())
                sagas.cancel(sagas.start(Lab, Experiment(jar=jar)))
            body = {"items": [{"sku": TEA, "quantity": 1}], "slot": shop.slot}
            order = client.post("/api/v1/orders/", json.dumps(body), content_type="application/json")
            assert order.status_code == 202, order.content
            client.post(f"/api/v1/orders/{order.json()['order_no']}/cancel/", "{}", content_type="application/json")
            flusher.flush()
            return [title for title, expression in asked.items() if not drawn(expression)]

        # When runs end well, others are undone, and orders are cancelled, then everything is drawn in the end
        eventually(lambda: not empty(), within=90, what=lambda: f"every panel has data; these have none: {empty()}")
