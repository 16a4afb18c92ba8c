"""Metrics in tests: what this process has counted, and what the database has."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sagas import runtime, store
from sagas.metrics.sums import Sums
from tests.support import servers

#: Of who may read them.
TOKEN = "a-token-of-some-length"


@contextmanager
def serving() -> Iterator[str]:
    """``manage.py sagas metrics --listen`` in a process, on a port that it has chosen: HOST:PORT."""
    environment = servers.worker_environment()
    environment["LAB_SAGAS"] = json.dumps({"METRICS": True, "METRICS_TOKEN": TOKEN})
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "sagas", "metrics", "--listen", "127.0.0.1:0"],
        cwd=servers.ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split("//")[1].partition("/")[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def counting() -> Iterator[Sums]:
    """The sums of this process alone: nothing writes them into the database meanwhile."""
    own, declared = runtime.own, runtime.declared
    before = own.sums, declared.begin_flushing
    declared.begin_flushing = None
    own.sums = Sums()
    try:
        yield own.sums
    finally:
        own.sums, declared.begin_flushing = before


def counted(sums: Sums) -> dict[str, dict[tuple[str, ...], float]]:
    """What was added up, by name and labels: of a histogram how many values."""
    cells = sums.take()
    sums.give_back(cells)
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for key, cell in cells.items():
        found.setdefault(key.name, {})[key.labels] = sum(cell.buckets) if cell.buckets else cell.value
    return found


def stored() -> dict[str, dict[tuple[str, ...], float]]:
    """The same of what the database has."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for total in store.measurements.totals():
        number = sum(total.cell.buckets) if total.cell.buckets else total.cell.value
        found.setdefault(total.name, {})[total.labels] = number
    return found
