"""PgBouncer in transaction mode before the session's PostgreSQL: every transaction may get another session."""

from __future__ import annotations

import os
from contextlib import closing
from functools import cache
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.support import servers
from tests.support.driver import psycopg

#: What the shop's settings say by ``options`` elsewhere.
ROLE = {
    "lock_timeout": "10s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",
    "client_connection_check_interval": "5s",
}


@cache
def url() -> str:
    """Start it, unless it runs; give the URL through it. Without PgBouncer the test is skipped."""
    try:
        found = servers.start_pooler()
    except servers.NotThere as missing:
        pytest.skip(f"PgBouncer is not on this machine, and cannot be installed: {missing}")
    return found


def through(database_url: str) -> str:
    """The same database through it."""
    here = urlsplit(url())
    return urlunsplit(urlsplit(database_url)._replace(netloc=here.netloc))


def give_limits_to_the_role() -> None:
    """Have each new session of the role begin with the limits that a pooler does not let a client send."""
    with closing(psycopg.connect(os.environ["DATABASE_URL"])) as connection, connection, connection.cursor() as cursor:
        for name, value in ROLE.items():
            cursor.execute(f"ALTER ROLE CURRENT_USER SET {name} = '{value}'")


def release(name: str) -> None:
    """End the pooler's sessions of a database, which could not be dropped otherwise."""
    console = urlunsplit(urlsplit(url())._replace(path="/pgbouncer"))
    with closing(psycopg.connect(console)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"KILL {name}")
            cursor.execute(f"RESUME {name}")
