"""What is too old, or no RabbitMQ, is named in one line: by check, by a worker that does not start, and by doctor."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import WorkerShutdown
from django.core.management import CommandError, call_command
from pytest_django import Settings

from sagas.checks import check_requirements, check_servers
from sagas.messaging import topology
from sagas.messaging.app import _refuse, app
from sagas.requirements import server_settings, software
from sagas.requirements.software import server
from sagas.worker import Topology
from tests.support.project import START, project

TOO_OLD = [
    ("Django", "5.1.15"),
    ("celery", "5.4.0"),
    ("celery", "5.4.0rc2"),
    ("celery", "4.4.7"),
    ("kombu", "5.4.2"),
    ("redis", "4.6.0"),
    ("pydantic", "1.10.26"),
    ("pydantic", "2.6.4"),
]
GOOD = [("Django", "5.2"), ("Django", "6.0.1"), ("celery", "5.5.0"), ("celery", "5.10.1"), ("celery", "6.0.0b1")]


class Worker:
    """As far as its start looks at it."""

    app = app


def pretend(monkeypatch: pytest.MonkeyPatch, package: str, found: str) -> None:
    monkeypatch.setattr(software, "version", lambda name: found if name == package else version(name))


@pytest.mark.parametrize(("package", "found"), TOO_OLD)
def test_a_package_that_is_too_old_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, package: str, found: str
) -> None:
    pretend(monkeypatch, package, found)
    (error,) = check_requirements()
    assert f"{package.capitalize()} {found} is too old" in error.msg
    with pytest.raises(SystemExit) as refused:
        _refuse(Worker())
    assert str(refused.value).splitlines() == [f"sagas: {error.msg} {error.hint}"]
    with pytest.raises(CommandError, match=f"{found} is too old"):
        call_command("sagas", "dispatch", "--once")


@pytest.mark.parametrize(("package", "found"), GOOD)
def test_later_versions_are_accepted(monkeypatch: pytest.MonkeyPatch, package: str, found: str) -> None:
    pretend(monkeypatch, package, found)
    assert check_requirements() == []
    _refuse(Worker())


def test_a_python_that_is_too_old_is_named_at_the_import() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys; sys.version_info = (3, 10, 9); import sagas"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stderr.splitlines()[-1].startswith("ImportError: sagas: Python")


@pytest.mark.parametrize(
    ("name", "found", "is_too_old"),
    [
        ("PostgreSQL", "14.18 (Debian 14.18-1)", True),
        ("PostgreSQL", "9.6.24", True),
        ("PostgreSQL", "15.0", False),
        ("PostgreSQL", "18beta1", False),
        ("RabbitMQ", "3.9.29", True),
        ("RabbitMQ", "3.10.0", False),
        ("RabbitMQ", "4.0.5", False),
        ("Redis", "5.0.14", True),
        ("Redis", "6.0.20", False),
        ("Redis", "", False),
        ("RabbitMQ", "unknown", False),
    ],
)
def test_servers_that_are_too_old_are_refused(name: str, found: str, *, is_too_old: bool) -> None:
    lack = server(name, found)
    assert (lack is not None) is is_too_old
    if lack:
        assert str(lack).startswith(f"{name} {found} is too old")


def examined() -> str:
    """What doctor says; it ends with an error if something is wrong."""
    out = StringIO()
    try:
        call_command("sagas", "doctor", stdout=out)
    except CommandError as error:
        out.write(str(error))
    return out.getvalue()


@pytest.fixture
def old_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the tests, if the engine wanted newer ones than there are."""
    monkeypatch.setattr(software, "SERVERS", dict.fromkeys(software.SERVERS, (99,)))


def test_the_doctor_names_servers_that_are_too_old(topology: None, database: None, old_servers: None) -> None:
    told = examined()
    for name in ("PostgreSQL", "RabbitMQ", "Redis"):
        assert f"{name} " in told
    # Of each database that a step of this process is in, too.
    assert told.count("is too old: the engine needs") in {3, 4}


def test_check_names_a_postgresql_that_is_too_old(database: None, old_servers: None) -> None:
    (error,) = [found for found in check_servers(databases=["default"]) if found.id == "sagas.E026"]
    assert "PostgreSQL" in error.msg


def test_a_worker_does_not_start_on_a_postgresql_that_is_too_old(database: None, old_servers: None) -> None:
    assert {refusal.check for refusal in server_settings.refusals()} == {"E026"}


def test_a_worker_ends_on_a_rabbitmq_that_is_too_old(
    old_servers: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Parent:
        app = Worker.app

    declared: list[Any] = []
    monkeypatch.setattr(topology, "declare", declared.append)
    with pytest.raises(WorkerShutdown):
        Topology(None).start(Parent())
    assert "RabbitMQ" in caplog.text
    assert not declared


@pytest.mark.parametrize("url", ["redis://:p4ssword@127.0.0.1:1/0", "memory://", "sqs://a:p4ssword@"])
def test_check_doctor_and_workers_name_a_broker_that_is_not_rabbitmq(
    settings: Settings, database: None, url: str
) -> None:
    settings.CELERY_BROKER_URL = url
    with pytest.raises(SystemExit) as refused:
        _refuse(Worker())
    told = [str(refused.value), examined()]
    for command in (["dispatch", "--once"], ["topology"], ["dead"]):
        with pytest.raises(CommandError) as error:
            call_command("sagas", *command)
        told.append(str(error.value))
    for text in told:
        assert "The engine needs RabbitMQ" in text
        assert "p4ssword" not in text
        assert "Traceback" not in text


# -- Other versions, for real ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with packages of the versions that a test asks for."""
    folder = tmp_path_factory.mktemp("packages")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), *request.param]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No matching distribution" in done.stderr or "Connection" in done.stderr:
        pytest.skip(f"{request.param} cannot be downloaded here")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("packages", [["celery==5.5.3", "kombu==5.5.4"], ["celery==5.6.3"]], indirect=True, ids=str)
@pytest.mark.parametrize("shared", [False, True], ids=["two apps", "one app"])
def test_sagas_run_on_the_other_versions_of_celery(tmp_path: Path, packages: Path, *, shared: bool) -> None:
    with project(tmp_path, shared=shared, packages=[packages]) as till:
        till.run(sys.executable, "-m", "django", "check")
        till.run(sys.executable, "-m", "django", "migrate", "-v", "0")
        with till.workers("till" if shared else "sagas"):
            assert till.python(START).strip() == "SUCCEEDED"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "packages", [["celery==5.4.0"], ["Django==5.1.15"], ["Django==4.2.30"]], indirect=True, ids=str
)
def test_versions_that_are_too_old_are_refused_in_one_line(tmp_path: Path, packages: Path) -> None:
    with project(tmp_path, packages=[packages]) as till:
        for command in (["django", "check"], ["celery", "-A", "sagas", "worker"]):
            done = till.call(sys.executable, "-m", *command)
            assert done.returncode != 0
            assert "is too old: the engine needs" in done.stderr
            assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_python_without_a_driver_is_refused_in_one_line(tmp_path: Path) -> None:
    # Given neither of the two, as far as can be imported
    with project(tmp_path) as till:
        for name in ("psycopg", "psycopg2"):
            (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r})")
        for command in (["django", "check"], ["django", "migrate"], ["celery", "-A", "sagas", "worker"]):
            # When
            done = till.call(sys.executable, "-m", *command)
            # Then
            assert done.returncode != 0
            assert (
                "No driver of PostgreSQL can be imported: psycopg: psycopg. psycopg2: psycopg2. Install one"
                in done.stderr
            )
            assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_worker_without_settings_says_so_in_one_line(tmp_path: Path) -> None:
    with project(tmp_path) as till:
        environment = {**till.environment()}
        del environment["DJANGO_SETTINGS_MODULE"]
        command = [sys.executable, "-m", "celery", "-A", "sagas", "worker"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "DJANGO_SETTINGS_MODULE" in done.stderr
        assert "Traceback" not in done.stderr
