"""The wheel, built once, and a bare environment of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.package.environment import Environment, build, linked
from tests.package.letters import Database, write_project
from tests.support.databases import drop_database
from tests.support.driver import psycopg


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel without any extra but a driver."""
    return linked(tmp_path_factory.mktemp("bare") / "venv", wheel, "psycopg2")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project without a database: add ``DATABASES``."""
    write_project(tmp_path)
    return tmp_path


@pytest.fixture
def post(tmp_path: Path, database: Database) -> Path:
    """The project on a database of its own."""
    write_project(tmp_path, database.settings)
    return tmp_path


@pytest.fixture
def database() -> Iterator[Database]:
    """A database that only this test uses."""
    url = urlsplit(os.environ["DATABASE_URL"])
    name = f"package_{secrets.token_hex(4)}"
    connection = psycopg.connect(os.environ["DATABASE_URL"])
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        options = "-c lock_timeout=10s -c statement_timeout=30s -c idle_in_transaction_session_timeout=30s"
        default = {
            "ENGINE": "sagas.postgresql",
            "NAME": name,
            "USER": url.username,
            "PASSWORD": url.password or "",
            "HOST": url.hostname,
            "PORT": url.port,
            "OPTIONS": {"connect_timeout": 3, "patience": 31, "options": options},
        }
        try:
            dsn = urlunsplit(url._replace(path=f"/{name}"))
            yield Database(f"DATABASES = {{'default': {default!r}}}\n", dsn)
        finally:
            drop_database(cursor.execute, name)
            connection.close()
