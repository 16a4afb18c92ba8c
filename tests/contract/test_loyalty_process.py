"""The participant in Node.js as a program: its own tests, and a disk that is full in the middle of a record."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.support.points import NODE, SERVER, Points, needs_node

pytestmark = needs_node


@pytest.fixture
def points(tmp_path: Path) -> Iterator[Points]:
    points = Points(tmp_path)
    points.start()
    yield points
    points.stop()


def debit(points: Points, tx: str) -> httpx.Response:
    headers = {"X_Tx_ID": tx, "X_Branch_ID": "b", "Idempotency_Key": f"{tx}:b:forward"}
    return points.call("POST", "/debits", {"account": "mei", "points": 10}, **headers)


def test_the_tests_of_the_example_pass() -> None:
    assert NODE
    done = subprocess.run([NODE, "--test"], cwd=SERVER.parent, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    # Each of its files is found, and none is empty.
    assert "once an append has failed nothing is written behind it" in done.stdout
    assert "an undo that comes first undoes nothing, and refuses what comes late" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_a_disk_that_fills_up_during_a_write_loses_only_that_record(points: Points) -> None:
    # Given a disk with room for half a record
    points.open("mei", 100)
    assert debit(points, str(uuid4())).status_code == 200
    limits = resource.prlimit(points.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(points.pid, resource.RLIMIT_FSIZE, (points.journal.stat().st_size + 40, limits[1]))

    # When one more comes, then nobody is told how it ended
    tx = str(uuid4())
    with pytest.raises(httpx.TransportError):
        debit(points, tx)

    # And nothing goes on behind half a record
    assert points.await_death() == 1
    points.start()
    assert points.account("mei") == (90, 0)
    assert debit(points, tx).headers["Idempotency-Replayed"] == "false"
    points.kill()
    points.start()
    assert points.account("mei") == (80, 0)
