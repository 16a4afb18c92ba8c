"""A place apart on the session's servers, where other tests' workers do not meet what a sample starts."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.support import servers
from tests.support.databases import drop_database
from tests.support.driver import psycopg


@contextmanager
def apart() -> Iterator[dict[str, str]]:
    """Make a database and a RabbitMQ virtual host; give their URLs, and that of another Redis database."""
    name = f"papers_{secrets.token_hex(4)}"
    _execute(f"CREATE DATABASE {name}")
    servers.rabbitmqctl("add_vhost", name)
    user = urlsplit(os.environ["RABBITMQ_URL"]).username or ""
    servers.rabbitmqctl("set_permissions", "-p", name, user, ".*", ".*", ".*")
    try:
        yield {
            "DATABASE_URL": _with_path("DATABASE_URL", name),
            "RABBITMQ_URL": _with_path("RABBITMQ_URL", name),
            "REDIS_URL": _with_path("REDIS_URL", str(1 + secrets.randbelow(15))),
        }
    finally:
        servers.rabbitmqctl("delete_vhost", name)
        drop_database(_execute, name)


@contextmanager
def running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], *, files: Sequence[int] = ()
) -> Iterator[None]:
    """Run a server in a folder for a while; its output goes to a file beside it. It inherits ``files``."""
    with (folder / f"{Path(command[2]).name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, pass_fds=files
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _with_path(variable: str, path: str) -> str:
    return urlunsplit(urlsplit(os.environ[variable])._replace(path=f"/{path}"))


def _execute(sql: str) -> None:
    """Run one statement outside a transaction."""
    connection = psycopg.connect(os.environ["DATABASE_URL"])
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
    finally:
        connection.close()
