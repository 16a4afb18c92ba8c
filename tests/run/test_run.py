"""``make run`` and ``make demo``: one command each, and nothing left behind, however it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from local_platform import environment
from local_platform.child import Child
from local_platform.platform import Kept, Platform
from local_platform.record import Record, only_one
from local_platform.revival import LIMIT, LONG, Revival
from local_platform.servers import Choice
from private_services import ports
from private_services.console import Failure

from demo.client import Access, NotUp
from tests.support import servers
from tests.support.awaiting import eventually

RUN = servers.ROOT / "scripts" / "run"


def _clean() -> dict[str, str]:
    """The environment of a developer's terminal: nothing of the test's own servers and settings."""
    own = {"DATABASE_URL", "RABBITMQ_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}
    return {name: value for name, value in os.environ.items() if name not in own}


def _run(directory: Path, *arguments: str, port: int | str = 8000) -> subprocess.CompletedProcess[str]:
    command = [str(RUN), "--dir", str(directory), *arguments]
    return subprocess.run(
        command, env={**_clean(), "PORT": str(port)}, capture_output=True, text=True, timeout=100, check=False
    )


def test_a_taken_port_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        answer = _run(tmp_path, port=port)
    assert answer.returncode == 1
    assert f"Port {port} is taken by another program" in answer.stderr
    assert not (tmp_path / "services").exists()


def test_a_given_server_that_does_not_answer_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as closed:
        port = closed.getsockname()[1]
    url = f"amqp://shop:p4ssword@{ports.LOOPBACK}:{port}//"
    answer = subprocess.run(
        [str(RUN), "--dir", str(tmp_path)],
        env={**_clean(), "PORT": str(ports.choose(taken=())), "RABBITMQ_URL": url},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert answer.returncode == 1
    assert f"RABBITMQ_URL is set to a server at {ports.LOOPBACK}:{port}, which does not answer" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert "p4ssword" not in answer.stderr
    assert not (tmp_path / "services").exists()


def test_a_folder_that_cannot_be_made_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = _run(tmp_path / "file" / "run")
    assert answer.returncode == 1
    assert answer.stderr == f"{tmp_path / 'file' / 'run'}: Not a directory.\n"


def test_an_invalid_port_is_refused(tmp_path: Path) -> None:
    assert "is no port" in _run(tmp_path, port="http").stderr


def test_a_second_platform_names_the_running_one(tmp_path: Path) -> None:
    Record(url="http://127.0.0.1:8000").save(tmp_path)
    with only_one(tmp_path) as alone:
        assert alone
        answer = _run(tmp_path)
    assert answer.returncode == 1
    assert "It runs already: http://127.0.0.1:8000" in answer.stderr


def test_stopping_without_a_platform_is_reported(tmp_path: Path) -> None:
    assert _run(tmp_path, "--stop").stdout == "nothing runs\n"


def test_secrets_are_kept_and_readable_by_the_owner_only(tmp_path: Path) -> None:
    urls = dict.fromkeys(environment.SERVICE_URLS, "scheme://x")
    first = environment.build(tmp_path, urls)
    environment.write_demo_file(tmp_path, first, url="http://x", token="t", others={})
    second = environment.build(tmp_path, urls)
    for name in ("SECRET_KEY", "ADMIN_PASSWORD", "DEMO_PASSWORD", "DRINKGROUP_WEBHOOK_SECRET"):
        assert first[name] == second[name]
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    assert Access.read(environment.demo_file(tmp_path)).token == "t"


@pytest.mark.parametrize(("given", "prepares"), [({}, "on"), ({"DATABASE_URL": "scheme://x"}, "off")])
def test_statements_are_prepared_where_no_pooler_may_stand_before_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], prepares: str
) -> None:
    for name in ("DATABASE_URL", "DATABASE_PREPARES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    urls = dict.fromkeys(environment.SERVICE_URLS, "scheme://x")
    assert environment.build(tmp_path, urls)["DATABASE_PREPARES"] == prepares
    monkeypatch.setenv("DATABASE_PREPARES", "chosen")
    assert environment.build(tmp_path, urls)["DATABASE_PREPARES"] == "chosen"


def test_the_demo_without_a_platform_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotUp):
        Access.read(tmp_path / "demo.env")
    command = [sys.executable, "-m", "demo", "--env", str(tmp_path / "demo.env")]
    answer = subprocess.run(command, cwd=servers.ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "make run" in answer.stdout


def test_a_child_shows_its_warnings_and_ends_with_its_own_children(tmp_path: Path) -> None:
    # Given a child with a child of its own, that warns, and dies
    script = (
        'echo \'{"level": "info", "event": "quiet"}\'; echo \'{"level": "error", "event": "loud"}\'; '
        "echo '[2026-01-01] [1] [WARNING] odd'; "
        f"echo '[2026-01-01] [1] [ERROR] {'long' * 100}'; echo plain; sleep 300 & echo $!; exit 3"
    )
    child = Child("x", ["sh", "-c", script], environment=_clean(), directory=tmp_path, log=tmp_path / "x.log")
    assert eventually(lambda: child.exit_code) == 3
    # Then the warnings are shown, once, and of a long one it is seen that there is more
    *short, long = child.warnings()
    assert short == ["x       | error: loud", "x       | warning: odd"]
    assert long.startswith("x       | error: longlong")
    assert long.endswith("…")
    assert list(child.warnings()) == []
    # And nothing is left of it
    grandchild = int(child.log.read_text().splitlines()[-1])
    child.stop(1)
    eventually(lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == "zombie")


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where a platform of the test's own lives: below the repository, as for real."""
    path = servers.ROOT / ".run" / f"test-run-{os.getpid()}"
    yield path
    _run(path, "--stop")
    subprocess.run([servers.ROOT / "scripts" / "services", "--dir", path / "services", "destroy"], check=True)
    subprocess.run(["rm", "-rf", path], check=True)


class Running:
    """``scripts/run`` in a terminal."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        self.port = ports.choose(taken=())
        self.output = directory.with_name(f"{directory.name}.out")
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [RUN, "--dir", directory, *arguments],
                env={**_clean(), "PORT": str(self.port)},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def await_ready(self) -> Running:
        eventually(lambda: "Ready." in self.text() or self.process.poll() is not None, within=90)
        assert self.process.poll() is None, self.text()
        return self

    def text(self) -> str:
        return self.output.read_text()

    def end(self) -> int:
        code = self.process.wait(timeout=60)
        self.output.unlink()
        return code

    def others(self) -> list[psutil.Process]:
        """Everything that it has started, by the record and from there down."""
        started = Record.load(self.directory).children.values()
        found = [psutil.Process(child.pid) for child in started]
        return [process for child in found for process in [child, *child.children(recursive=True)]]


def play_the_demo(directory: Path) -> None:
    """Play it, and see that each story ended as it should."""
    command = [sys.executable, "-m", "demo", "--env", str(environment.demo_file(directory))]
    answer = subprocess.run(command, cwd=servers.ROOT, env=_clean(), capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    lines = [" ".join(line.split()[1:]) for line in answer.stdout.splitlines()]
    for told in (
        "paid in time order SUCCEEDED",
        "nobody pays order FAILED",
        "paid too late payment RETURNED",
        "juice, last second order SUCCEEDED",
        "group that forms group buy FORMED 2 of 2",
        "group that forms member 2 SUCCEEDED",
        "group too small group buy SHORT",
        "group too small payment RETURNED 9.00 CNY",
    ):
        assert any(line.startswith(told) for line in lines), f"{told!r} is not in:\n{answer.stdout}"


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_process_that_ends_is_restarted_after_growing_pauses_and_finally_given_up() -> None:
    revival = Revival()
    assert [revival.pause(0) for _ in range(LIMIT)] == [0.5, 1, 2, 4, 8, 16]
    assert revival.pause(0) is None
    # What has lived for long has died of something else
    assert revival.pause(LONG + 1) == 0.5


def test_a_process_that_keeps_ending_at_once_stops_the_platform_and_shows_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local_platform.revival.FIRST_PAUSE", 0.0)
    told: list[str] = []
    log = tmp_path / "x.log"

    def start() -> Child:
        return Child("x", ["sh", "-c", "echo alas; exit 3"], environment=_clean(), directory=tmp_path, log=log)

    children = [start()]
    platform = Platform(tmp_path, port=8000, choice=Choice(()), tell=told.append, stopping=lambda: False)

    def ended() -> str:
        return f"exit code {eventually(lambda: children[-1].exit_code)}"

    kept = Kept("x", ended, lambda: children.append(start()), log)
    with pytest.raises(Failure, match=r"(?s)x ended by itself again and again \(exit code 3\).*alas"):
        while True:
            platform.keep(kept)
    assert len(children) == LIMIT + 1
    assert told[:2] == ["x ended by itself (exit code 3); starting it again in 0 s", "x: started again"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_platform_runs_shows_its_state_and_leaves_no_processes(directory: Path) -> None:
    # Given a platform that was killed with no time to clean up
    first = Running(directory).await_ready()
    left = first.others()
    first.process.kill()
    first.end()
    assert all(process.is_running() for process in left)
    # When it is started again
    second = Running(directory).await_ready()
    # Then what was left is gone, and the demo ends as it should
    assert not any(process.is_running() for process in left)
    play_the_demo(directory)
    # When Ctrl-C is pressed, it ends in order
    started = second.others()
    second.process.send_signal(signal.SIGINT)
    assert second.end() == 0
    assert not any(process.is_running() for process in started)
    # When the workers, the web or a server die, they are started again, and that is said
    third = Running(directory).await_ready()
    for name in ("workers", "web", "web-payments"):
        died = Record.load(directory).children[name]
        os.kill(died.pid, signal.SIGKILL)
        eventually(lambda: f"{name}: started again" in third.text(), within=60, what=f"{name} again")  # noqa: B023
        assert f"{name} ended by itself (killed by signal 9); starting it again in 0.5 s" in third.text()
        assert Record.load(directory).children[name] != died
    for name in ("redis", "postgres"):
        services = [str(servers.ROOT / "scripts" / "services"), "--dir", str(directory / "services"), "kill", name]
        subprocess.run(services, check=True, capture_output=True)
        eventually(lambda: f"{name}: started again" in third.text(), within=60, what=f"{name} again")  # noqa: B023
    # Then the platform does its work, and ends in order
    eventually(lambda: answers(third.port), within=60, what="the web")
    play_the_demo(directory)
    started = third.others()
    third.process.send_signal(signal.SIGTERM)
    assert third.end() == 0
    assert not any(process.is_running() for process in started)
    services = [str(servers.ROOT / "scripts" / "services"), "--dir", str(directory / "services"), "status"]
    status = subprocess.run(services, capture_output=True, text=True, check=False).stdout
    assert status.count("not running") == 3
