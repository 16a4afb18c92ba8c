"""Workers of every pool that are stopped in the middle of their work: nothing is lost, and they end in time."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.apart import apart
from tests.hosts.host import MANAGE, Host, host
from tests.support.awaiting import eventually

BOOKINGS = 40
#: Each booking takes so long, and a cohort of them as many times as it has runs.
SLOW = "import time\nwrite_at_once = write\ndef write(call):\n    time.sleep(0.05)\n    write_at_once(call)\n"
BOOK = f"""
from booking.models import Hall
from booking.sagas import Book, Visit
import sagas
Hall.objects.bulk_create([Hall(code="large", available={BOOKINGS})], ignore_conflicts=True)
for n in range({BOOKINGS}):
    sagas.start(Book, Visit(hall="large"))
"""
#: Seconds that an orchestrator gives to a container by default.
GRACE = 30

CASES = [
    pytest.param("prefork", signal.SIGTERM, {}, id="prefork, warm"),
    pytest.param("prefork", signal.SIGQUIT, {}, id="prefork, cold"),
    pytest.param("prefork", signal.SIGQUIT, {"worker_soft_shutdown_timeout": 3}, id="prefork, soft"),
    pytest.param("prefork", signal.SIGTERM, {"worker_max_tasks_per_child": 1}, id="prefork, a child a task"),
    pytest.param("prefork", signal.SIGTERM, {"worker_max_memory_per_child": 1}, id="prefork, a child a task by memory"),
    pytest.param("threads", signal.SIGTERM, {}, id="threads, warm"),
    pytest.param("threads", signal.SIGQUIT, {}, id="threads, cold"),
    pytest.param("solo", signal.SIGTERM, {}, id="solo, warm"),
    pytest.param("solo", signal.SIGQUIT, {}, id="solo, cold"),
    pytest.param("gevent", signal.SIGTERM, {}, id="gevent, warm"),
    pytest.param("gevent", signal.SIGQUIT, {}, id="gevent, cold"),
]


@contextmanager
def worker(project: Host, name: str, pool: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the engine, with its children, and with none of them behind the block."""
    command = [sys.executable, "-m", "celery", "-A", "sagas", "worker", "-n", f"{name}@%h", "-c", "2", "-P", pool]
    with (project.folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-l", "INFO"],
            cwd=project.folder,
            env=project.environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("pool", "number", "settings"), CASES)
def test_a_worker_that_is_stopped_loses_nothing(
    tmp_path: Path, pool: str, number: signal.Signals, settings: dict[str, int]
) -> None:
    if pool == "gevent" and importlib.util.find_spec("gevent") is None:
        pytest.skip("gevent is not installed")
    with apart() as urls, host(tmp_path) as project:
        # Given a project with workers, whose participant takes its time
        more = f"SAGAS = {{'QUEUES': ['booking'], 'BROKER_URL': {urls['RABBITMQ_URL']!r}, 'LEASE': 3.0, "
        more += f"'REDIS_URL': {urls['REDIS_URL']!r}, 'CELERY': {settings!r}}}\n"
        with (tmp_path / "host/settings.py").open("a") as file:
            file.write(more)
        sagas = tmp_path / "booking/sagas.py"
        sagas.write_text(sagas.read_text().replace("def tear", f"{SLOW}\ndef tear"))
        project.migrate()
        project.run(*MANAGE, "sagas", "topology")
        with worker(project, "first", pool) as first:
            project.python(BOOK)
            eventually(lambda: notes(project) > 0, within=90, what="the first bookings")
            # When it is stopped meanwhile
            first.send_signal(number)
            # Then it ends in time
            first.wait(timeout=GRACE)
        # And the next one ends what it has left
        with worker(project, "next", "prefork"):
            waiting = "SELECT count(*) FROM sagas_run WHERE state = 'AWAITING_CONFIRM'"
            eventually(lambda: project.sql(waiting) == [(BOOKINGS,)], within=120, what="all bookings")
        # And each has its effects once
        assert notes(project) == BOOKINGS
        assert project.sql("SELECT available, held FROM booking_hall") == [(0, BOOKINGS)]


def notes(project: Host) -> int:
    (row,) = project.sql("SELECT count(*) FROM booking_note")
    return int(row[0])
