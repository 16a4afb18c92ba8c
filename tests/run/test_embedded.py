"""``make run EMBEDDED=1`` and what ``make run`` does on a machine without RabbitMQ and Redis."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from local_platform import environment
from local_platform.record import Record
from local_platform.servers import choose
from private_services import apt, ports, programs
from private_services.console import Failure
from private_services.instance import Instance

from tests.run.test_run import RUN, Running, _clean, directory, play_the_demo
from tests.support import servers
from tests.support.awaiting import eventually

__all__ = ["directory"]


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any server's programs, and an ordinary user whose environment gives no server."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(programs, "PLACES", ())
    monkeypatch.setattr(apt, "can_install", lambda: False)
    for variable in environment.SERVICE_URLS:
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.usefixtures("bare_machine")
def test_a_machine_without_servers_runs_on_postgresql_alone_and_says_what_the_others_add(tmp_path: Path) -> None:
    # Given services.env of a time when there were others
    instance = Instance(tmp_path)
    instance.update_environment(
        {"DATABASE_URL": "postgresql://x", "RABBITMQ_URL": "amqp://x", "REDIS_URL": "redis://x"}
    )
    # When
    choice = choose(instance, embedded=False)
    # Then
    assert choice.names == ("postgres",)
    assert not choice.embedded
    assert choice.urls(instance.environment()) == {
        "DATABASE_URL": "postgresql://x",
        "RABBITMQ_URL": "",
        "REDIS_URL": "",
    }
    first, second = choice.described(instance)
    assert first == "mode: PostgreSQL; no RabbitMQ and no Redis; `manage.py sagas work` performs the orders"
    assert "RabbitMQ adds Celery workers" in second
    assert "Redis adds limits" in second


@pytest.mark.usefixtures("bare_machine")
def test_a_given_broker_is_used_where_the_machine_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_URL", "amqp://elsewhere//")
    choice = choose(Instance(tmp_path), embedded=False)
    assert set(choice.names) == {"postgres", "rabbitmq"}
    first, second = choice.described(Instance(tmp_path))
    assert first == "mode: PostgreSQL, RabbitMQ; no Redis; Celery workers perform the orders"
    assert "RabbitMQ adds" not in second


@pytest.mark.usefixtures("bare_machine")
def test_root_on_debian_gets_all_servers_and_reads_what_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "can_install", lambda: True)
    choice = choose(Instance(tmp_path), embedded=False)
    assert choice.absent == ()
    assert "make run EMBEDDED=1" in list(choice.described(Instance(tmp_path)))[1]
    # Also there, who asks for PostgreSQL alone gets that
    assert choose(Instance(tmp_path), embedded=True).names == ("postgres",)


@pytest.mark.usefixtures("bare_machine")
def test_postgresql_alone_and_a_url_contradict_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere/0")
    with pytest.raises(Failure, match=r"and REDIS_URL is set\. Unset it, or EMBEDDED\."):
        choose(Instance(tmp_path), embedded=True)
    # Other than a URL of our own, from services.env
    Instance(tmp_path).update_environment({"REDIS_URL": "redis://elsewhere/0"})
    assert choose(Instance(tmp_path), embedded=True).names == ("postgres",)


def test_a_contradiction_is_told_in_one_line_and_nothing_is_started(tmp_path: Path) -> None:
    answer = subprocess.run(
        [str(RUN), "--dir", str(tmp_path), "--embedded"],
        # Answering or not: it is not asked.
        env={**_clean(), "PORT": str(ports.choose(taken=())), "RABBITMQ_URL": "amqp://shop:p4ssword@rabbit//"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr == (
        "EMBEDDED=1 starts PostgreSQL alone, of a wheel, and RABBITMQ_URL is set. Unset it, or EMBEDDED.\n"
    )
    assert not (tmp_path / "services").exists()


def test_the_project_without_broker_and_redis_passes_its_checks() -> None:
    program = (
        "import django; django.setup()\n"
        "from django.core.management import call_command\n"
        "from orders.api.protocol.throttles import count\n"
        "from sagas.conf import config\n"
        "call_command('check', fail_level='WARNING')\n"
        "print(config().broker, config().redis_url, count('orders', 'anyone'))\n"
    )
    told = {"DJANGO_SETTINGS_MODULE": "drinkgroup.settings", "RABBITMQ_URL": "", "REDIS_URL": ""}
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=servers.ROOT,
        env={**_clean(), **told},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout.splitlines()[-1] == "None None None", answer.stderr


def test_a_folder_in_which_nothing_can_be_made_is_named_by_bootstrap_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(servers.ROOT / "scripts" / "bootstrap", tmp_path / "scripts")
    (tmp_path / ".run").touch()
    answer = subprocess.run([tmp_path / "scripts" / "bootstrap"], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr == (
        f"bootstrap: {tmp_path}/.run cannot be written: free some space, or clone this into a folder of your own.\n"
    )
    assert not (tmp_path / ".venv").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_platform_runs_on_the_wheels_postgresql_alone(directory: Path) -> None:
    # Given
    running = Running(directory, "--embedded").await_ready()
    assert "mode: PostgreSQL 18 of a wheel; no RabbitMQ and no Redis" in running.text()
    # When its workers are killed
    died = Record.load(directory).children["workers"]
    os.kill(died.pid, signal.SIGKILL)
    eventually(lambda: "workers: started again" in running.text(), within=60, what="workers again")
    # Then the demo ends as it should
    play_the_demo(directory)
    # And nothing is left at the end
    started = running.others()
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 0
    assert not any(process.is_running() for process in started)
    assert Record.load(directory).servers == []
