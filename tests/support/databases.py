"""Databases that a test makes and drops."""

from __future__ import annotations

from collections.abc import Callable


def drop_database(execute: Callable[[str], object], name: str) -> None:
    """End the sessions of a database, and drop it.

    ``WITH (FORCE)`` is refused to an ordinary role while a process of PostgreSQL's own is in the database, such as
    autovacuum. A plain DROP ends those.

    Args:
        execute: executes a statement of another database, outside a transaction.
        name: the database's.
    """
    own = f"datname = '{name}' AND usename = current_user"
    execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {own}")  # noqa: S608 - a test's name
    execute(f'DROP DATABASE IF EXISTS "{name}"')
