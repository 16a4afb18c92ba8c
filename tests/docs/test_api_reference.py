"""The commands of the API reference, run one after the other against the shop, as a reader would."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orders.api.schema import _MEANING
from sagas import State
from tests.docs.apart import apart, running
from tests.docs.papers import ROOT, blocks, table
from tests.support.awaiting import eventually

REFERENCE = "docs/reference/api.md"
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Path]:
    """The shop, with demo data, a worker and a web process; a folder like the repository beside ``make run``."""
    # Bound here and inherited by the server: a port that is only looked for may be somebody else's by then.
    with apart() as urls, socket.create_server(("127.0.0.1", 0)) as listening:
        environment = {
            **os.environ,
            **urls,
            "DJANGO_SETTINGS_MODULE": "drinkgroup.settings",
            "PYTHONPATH": str(ROOT),
            "DRINKGROUP_WEBHOOK_SECRET": SECRET,
        }

        def manage(*arguments: str) -> str:
            command = [sys.executable, str(ROOT / "manage.py"), *arguments]
            return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

        manage("migrate", "--verbosity", "0")
        token = json.loads(manage("seed", "--json"))["token"]
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        (tmp_path / ".run").mkdir()
        (tmp_path / ".venv").symlink_to(sys.prefix)
        (tmp_path / ".run/demo.env").write_text(
            f"DRINKGROUP_URL={url}\nDRINKGROUP_TOKEN={token}\nDRINKGROUP_WEBHOOK_SECRET={SECRET}\n"
        )
        for block in blocks(REFERENCE, "python"):
            (tmp_path / block.title).write_text(block.text)
        web = [
            sys.executable,
            "-m",
            "gunicorn",
            "drinkgroup.wsgi",
            "--bind",
            f"fd://{listening.fileno()}",
            "--config",
            str(ROOT / "gunicorn.conf.py"),
        ]
        worker = [sys.executable, "-m", "celery", "-A", "sagas", "worker", "-n", tmp_path.name, "-c", "1"]
        with running(web, tmp_path, environment, files=[listening.fileno()]), running(worker, tmp_path, environment):
            eventually(lambda: answers(f"{url}/readyz"), what="the web answers")
            yield tmp_path


def answers(url: str) -> bool:
    """Whether something answers there."""
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.skipif(shutil.which("curl") is None, reason="the reference's commands need curl")
def test_the_commands_in_the_reference_work_as_written(shop: Path) -> None:
    script = "".join(block.text for block in blocks(REFERENCE, "sh"))
    ended = 'until api "orders/$order_no/" | grep -qE "SUCCEEDED|FAILED"; do sleep 0.1; done'
    paid = 'pay.py "$order_no" pay_1 2400\n'
    assert paid in script
    script = f"set -eu\n{script}\n{ended}\napi orders/\n".replace(paid, f"{paid}{ended}\n")
    done = subprocess.run(["bash", "-c", script], cwd=shop, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines() if line]
    menu, replayed, read, paid_answer, confirmed, cancelled, claimed, claim, coupons, refused, orders = said
    assert {drink["sku"] for drink in menu} >= {"OOLONG-M"}
    assert replayed["order_no"] == read["order_no"] == paid_answer["order_no"]
    assert paid_answer["payment_id"] == "pay_1"
    assert confirmed["state"] == State.SUCCEEDED
    assert cancelled["state"] in {State.COMPENSATING, State.FAILED}
    assert claimed["coupon"] == claim["coupon"] == "TEATIME"
    assert {claimed["state"], claim["state"]} <= set(State) - {State.FAILED}
    assert {one["coupon"] for one in coupons["results"]} <= {"TEATIME"}
    assert refused["status"] == 422
    assert [order["state"] for order in orders["results"]] == [State.FAILED, State.SUCCEEDED]


def test_every_state_is_explained() -> None:
    assert {row[0].strip("`") for row in table(REFERENCE, "`state`")} == set(State)


def test_every_status_is_explained() -> None:
    documented = {int(row[0]) for row in table(REFERENCE, "status")}
    # Nobody asks for another media type by accident, and a 500 is nothing to act upon.
    assert documented == set(_MEANING) - {406, 500}
