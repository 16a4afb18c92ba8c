"""``manage.py sagas alive``: a worker that has ended, hangs or has lost its database is told by the exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

import sagas
from sagas import store
from sagas.store.workers import Heartbeat
from tests.integration.conftest import Start
from tests.integration.local.test_work import SETTINGS, Work
from tests.lab.sagas import Experiment, Lab
from tests.support import servers
from tests.support.awaiting import eventually

pytestmark = pytest.mark.usefixtures("alone")

HERE = socket.gethostname()
WELL = Heartbeat(f"worker1@{HERE}", ticked=0.4, delivered=0.7, busy=1, longest=0.1, queues=("orders",))
#: No process has this number: it is above the greatest that Linux gives.
NO_PROCESS = 2**22 + 1


def ask(*arguments: str) -> str:
    out = StringIO()
    call_command("sagas", "alive", *arguments, stdout=out)
    return out.getvalue().strip()


def beat(name: str, *, silent: float = 0.0) -> None:
    """A heartbeat of this worker, so many seconds ago."""
    store.workers.record_heartbeat(replace(WELL, name=name))
    let_be_silent(name, silent)


def let_be_silent(name: str, seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_worker SET beat_at = beat_at - %s * interval '1 second' WHERE name = %s", [seconds, name]
        )


@pytest.fixture
def without_a_broker(settings: Settings) -> None:
    settings.SAGAS = {**django_settings.SAGAS, **SETTINGS}


@pytest.fixture
def work(without_a_broker: None) -> Iterator[Work]:
    work = Work(2)
    yield work
    work.stop()


def test_workers_of_this_machine_that_beat_are_alive() -> None:
    beat(WELL.name)
    beat("worker1@elsewhere", silent=60)
    assert ask() == f"alive: {WELL.name}"


def test_no_worker_of_this_machine_is_not_alive() -> None:
    beat("worker1@elsewhere")
    with pytest.raises(CommandError, match=f"^no worker of {HERE} has given a sign of life$"):
        ask()


def test_a_silent_worker_is_not_alive() -> None:
    beat(WELL.name)
    beat(f"worker2@{HERE}", silent=22)
    with pytest.raises(CommandError, match=rf"^worker2@{HERE} has been silent for 22 s \(at most 15\)"):
        ask()


def test_a_worker_is_asked_by_its_name() -> None:
    beat(WELL.name)
    beat(f"worker2@{HERE}", silent=22)
    assert ask(WELL.name) == f"alive: {WELL.name}"
    with pytest.raises(CommandError, match=r"^worker3@elsewhere is not there$"):
        ask(WELL.name, "worker3@elsewhere")


def test_a_worker_that_hangs_in_one_delivery_is_not_alive() -> None:
    store.workers.record_heartbeat(replace(WELL, longest=400.0))
    with pytest.raises(CommandError, match=r"has been at one delivery for 400 s \(at most 300\)"):
        ask()
    assert ask("--hangs-after", "500") == f"alive: {WELL.name}"


def test_a_killed_process_that_has_a_successor_does_not_count_for_an_hour() -> None:
    # Given a process that was killed, whose row is still there, and another one
    beat(f"work-{NO_PROCESS}@{HERE}", silent=60)
    beat(f"work-{os.getpid()}@{HERE}")
    # Then
    assert ask() == f"alive: work-{os.getpid()}@{HERE}"
    # But if it was the only one, nobody is alive
    store.workers.forget(f"work-{os.getpid()}@{HERE}")
    with pytest.raises(CommandError, match="no worker of"):
        ask()


def test_processes_without_a_broker_are_alive_until_one_hangs_or_they_are_stopped(work: Work) -> None:
    # Given
    first, second = sorted(work.children())
    known = {f"work-parent-{work.process.pid}@{HERE}", *(f"work-{pid}@{HERE}" for pid in (first, second))}
    assert set(ask().removeprefix("alive: ").split(", ")) == known

    # When one of them hangs: it does not beat
    os.kill(first, signal.SIGSTOP)
    let_be_silent(f"work-{first}@{HERE}", 22)

    # Then
    with pytest.raises(CommandError, match=f"^work-{first}@{HERE} has been silent"):
        ask()
    os.kill(first, signal.SIGCONT)
    eventually(lambda: str(first) in ask_quietly(), what="alive again")

    # And when they are stopped, none is alive
    work.stop()
    with pytest.raises(CommandError, match="no worker of"):
        ask()


def test_a_parent_that_is_stopped_is_not_alive_though_its_processes_are(work: Work) -> None:
    # Given
    parent = f"work-parent-{work.process.pid}@{HERE}"
    eventually(lambda: parent in ask_quietly(), what="the parent's first beat")

    # When
    os.kill(work.process.pid, signal.SIGSTOP)
    let_be_silent(parent, 22)

    # Then nobody would start a process anew
    try:
        with pytest.raises(CommandError, match=f"^{parent} has been silent for"):
            ask()
    finally:
        os.kill(work.process.pid, signal.SIGCONT)
    eventually(lambda: parent in ask_quietly(), what="alive again")


def test_a_parent_without_processes_is_not_alive() -> None:
    beat(f"work-parent-{os.getpid()}@{HERE}")
    with pytest.raises(CommandError, match=f"^no worker of {HERE} has given a sign of life$"):
        ask()


def test_a_parent_that_was_killed_does_not_count_for_an_hour() -> None:
    beat(f"work-parent-{NO_PROCESS}@{HERE}", silent=60)
    beat(f"work-{os.getpid()}@{HERE}")
    assert ask() == f"alive: work-{os.getpid()}@{HERE}"


def test_a_process_without_a_broker_that_is_at_a_participant_for_long_goes_on_to_beat(
    without_a_broker: None, tmp_path: Path
) -> None:
    # Given a participant that does not return
    end = tmp_path / "end"
    sagas.start(Lab, Experiment(until=str(end)))
    # The run is nobody else's meanwhile, and its transaction is not ended for having been idle.
    work = Work(1, LAB_SAGAS=json.dumps({**SETTINGS, "LEASE": 60.0}))
    try:
        (pid,) = work.children()
        name = f"work-{pid}@{HERE}"
        eventually(lambda: is_busy(name), within=60, what=lambda: f"a beat of a busy process: {work.text()}")

        # When it is there for longer than a process may be silent
        let_be_silent(name, 22)

        # Then
        eventually(lambda: is_busy(name), within=60, what=lambda: f"the next beat of a busy process: {work.text()}")
        assert ask(name) == f"alive: {name}"
    finally:
        end.touch()
        work.stop()


def is_busy(name: str) -> bool:
    """Whether the last heartbeat is not old, and says that the process performs something."""
    known = [worker for worker in store.workers.known_workers() if worker.beat.name == name]
    return any(not worker.is_silent and worker.beat.longest > 0.1 for worker in known)


def ask_quietly(*arguments: str) -> str:
    try:
        return ask(*arguments)
    except CommandError:
        return ""


@pytest.mark.slow
def test_a_celery_worker_is_alive_until_it_is_stopped(start_worker: Start) -> None:
    worker = start_worker()
    # Its name, given without a machine, is taken as one.
    name = f"celery@{worker.name}"
    eventually(lambda: ask_quietly(name), what="its first beat")
    worker.stop()
    with pytest.raises(CommandError, match=f"{name} is not there"):
        ask(name)


def test_a_database_that_does_not_answer_is_one_line_and_exit_code_one(tmp_path: Path) -> None:
    # Given settings of a database that is not there
    (tmp_path / "away_settings.py").write_text(
        "from tests.static_settings import *\n"
        "DATABASES['default'] = {**DATABASES['default'], 'HOST': '127.0.0.1', 'PORT': '1'}\n"
    )
    environment = {**servers.worker_environment(), "DJANGO_SETTINGS_MODULE": "away_settings"}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(servers.ROOT)])

    # When
    done = subprocess.run(
        [sys.executable, "-m", "django", "sagas", "alive"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=60,
    )

    # Then
    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: the database cannot be worked with:")
    assert "Traceback" not in done.stderr
