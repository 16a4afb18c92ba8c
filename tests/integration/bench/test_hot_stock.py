"""The lock with which our orders are compared: it would be no fair rival if it sold a cup twice."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis

from tests.support.databases import drop_database
from tests.support.driver import psycopg

PROGRAMS = Path(__file__).resolve().parents[3] / "bench/peers/programs"


@pytest.fixture
def hot_stock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The program, with a database of its own. It imports its neighbours by their bare names."""
    name = f"hot_stock_{secrets.token_hex(4)}"
    server = psycopg.connect(os.environ["DATABASE_URL"])
    server.autocommit = True
    monkeypatch.syspath_prepend(PROGRAMS)
    with server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        url = urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))
        monkeypatch.setenv("DATABASE_URL", url)
        try:
            yield import_module("hot_stock")
        finally:
            for session in sys.modules["common"]._local.values():
                session.close()
            for module in ("hot_stock", "common"):
                del sys.modules[module]
            drop_database(cursor.execute, name)
            server.close()


def stock(hot_stock: Any) -> tuple[int, int, int]:
    """Cups that are available, held and sold."""
    with hot_stock.session().cursor() as cursor:
        available, held, sold, _ = hot_stock._read(cursor)
    return available, held, sold


def test_a_crowd_whose_messages_come_twice_gets_each_cup_once(hot_stock: Any) -> None:
    # Given
    hot_stock.create_stock(12)

    def order(run: int) -> bool:
        got = [hot_stock.try_(run) for _ in range(2)]
        assert got[0] == got[1]
        for _ in range(2):
            (hot_stock.cancel if run % 3 == 0 else hot_stock.confirm)(run)
        return bool(got[0]) and run % 3 != 0

    # When
    with ThreadPoolExecutor(4) as threads:
        sold = sum(threads.map(order, range(1, 37)))

    # Then
    # Who came while a cup was held that was put back later got none, so that a cup may be left.
    assert 0 < sold <= 12
    assert stock(hot_stock) == (12 - sold, 0, sold)


def test_a_lock_that_lapses_before_its_holder_has_written_sells_no_cup_twice(
    hot_stock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    hot_stock.create_stock(1)
    read, others = hot_stock._read, []

    def read_and_lose_the_lock(cursor: Any) -> Any:
        found = read(cursor)
        monkeypatch.setattr(hot_stock, "_read", read)
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
            assert client.delete(hot_stock._KEY)
        with ThreadPoolExecutor(1) as thread:
            others.append(thread.submit(hot_stock.try_, 2).result())
        return found

    monkeypatch.setattr(hot_stock, "_read", read_and_lose_the_lock)

    # When
    got = hot_stock.try_(1)

    # Then
    assert (got, others) == (False, [True])
    assert stock(hot_stock) == (0, 1, 0)


def test_only_its_holder_releases_the_lock(hot_stock: Any) -> None:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        with hot_stock._lock(hot_stock.TTL):
            client.set(hot_stock._KEY, "another's")

        assert client.get(hot_stock._KEY) == b"another's"
        client.delete(hot_stock._KEY)
