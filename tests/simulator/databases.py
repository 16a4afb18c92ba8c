"""Databases for simulations that run beside each other: copies of the migrated test databases, one pair a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections
from django.test.utils import setup_databases

from tests.simulator.session import ALIASES
from tests.support.databases import drop_database


def migrate() -> None:
    """Make the test databases, unless they are there, and let go of them: nobody copies one that is in use."""
    setup_databases(verbosity=0, interactive=False, keepdb=True, aliases=dict.fromkeys(ALIASES))
    for alias in ALIASES:
        connections[alias].close()


def name(original: str, number: int) -> str:
    """What the copy for a process is called."""
    return f"{original}_simulated_{number}"


def copy(number: int) -> None:
    """Make the copies for a process."""
    for original in _originals():
        _maintain(f'DROP DATABASE IF EXISTS "{name(original, number)}"')
        _maintain(f'CREATE DATABASE "{name(original, number)}" TEMPLATE "{original}"')


def drop(number: int) -> None:
    """Drop them."""
    for original in _originals():
        drop_database(_maintain, name(original, number))


def use(number: int) -> None:
    """Have this process use its copies. Before its first connection."""
    for alias in ALIASES:
        settings = connections[alias].settings_dict
        settings["NAME"] = name(_test_name(alias), number)


@contextmanager
def used(number: int) -> Iterator[None]:
    """Make the test databases and copies of them, and use these; drop the copies at the end."""
    migrate()
    with copied(number):
        yield


@contextmanager
def copied(number: int) -> Iterator[None]:
    """Use copies of the test databases, which are there and nobody uses; drop them at the end."""
    for alias in ALIASES:
        connections[alias].close()
    copy(number)
    use(number)
    try:
        yield
    finally:
        for alias in ALIASES:
            connections[alias].close()
        for alias in ALIASES:
            connections[alias].settings_dict["NAME"] = _test_name(alias)
        drop(number)


def _test_name(alias: str) -> str:
    original = connections[alias].settings_dict["NAME"].split("_simulated_")[0]
    return original if original.startswith("test_") else f"test_{original}"


def _originals() -> list[str]:
    return [_test_name(alias) for alias in ALIASES]


def _maintain(sql: str) -> None:
    with connections["default"]._nodb_cursor() as cursor:
        cursor.execute(sql)
