"""The stock moves into batches and back, with every count and hold, in a table that is full."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest

from tests.support import servers
from tests.support.driver import psycopg

_FULL = """
INSERT INTO inventory_sku (code, name, price_cents, active, available, held, sold, settled)
    SELECT 'SKU-' || n, 'Tea', 1500, true, n, n % 7, 20 + n % 5, n % 3 FROM generate_series(1, 20000) AS n;
INSERT INTO inventory_skuhold (run_id, step, pool_key, quantity, state)
    SELECT gen_random_uuid(), 'reserve', 'SKU-' || n, n % 7, 'HELD' FROM generate_series(1, 20000) AS n WHERE n % 7 > 0;
"""
_COUNTS = "SELECT code, available, held, sold, settled FROM inventory_sku ORDER BY code"
_BATCHES = "SELECT key, available, held, sold, settled FROM inventory_batch ORDER BY key"
_HOLDS = "SELECT run_id, step, pool_key, quantity, state FROM inventory_skuhold ORDER BY 1, 3"


@pytest.mark.slow
def test_a_full_stock_moves_into_batches_and_back() -> None:
    # Given a database of before, with 20,000 SKUs
    name = f"moves_{uuid4().hex[:8]}"
    url = servers.worker_environment()["DATABASE_URL"]
    there = urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    maintenance = psycopg.connect(url)
    maintenance.autocommit = True
    maintenance.cursor().execute(f'CREATE DATABASE "{name}"')
    try:
        _migrate(there, "0004")
        _execute(there, _FULL)
        counts, holds = _query(there, _COUNTS), _query(there, _HOLDS)

        # When it is migrated, then every SKU's own batch has its counts, and no hold has changed
        _migrate(there, "0006")
        assert _query(there, _BATCHES) == counts
        assert _query(there, _HOLDS) == holds
        opened = "SELECT sum(available), sum(held), sum(sold) FROM inventory_move"
        assert _query(there, opened) == [tuple(sum(row[n] for row in counts) for n in (1, 2, 3))]

        # When a run holds of two batches, one of them spoils, and the migration is taken back
        run = "01a22a67-255b-7672-9272-6b9083130dc6"
        _execute(
            there,
            "INSERT INTO inventory_batch (key, sku_id, available, held, sold, spoils_at) VALUES "
            "('SKU-1#1', 'SKU-1', 5, 2, 0, now() + interval '1 day'), ('SKU-1#2', 'SKU-1', 9, 0, 0, now());"
            "UPDATE inventory_batch SET held = held + 1, available = available - 1 WHERE key = 'SKU-1';"
            "INSERT INTO inventory_skuhold (run_id, step, pool_key, quantity, state) VALUES "
            "('01a22a67-255b-7672-9272-6b9083130dc6', 'reserve', 'SKU-1', 1, 'HELD'), "
            "('01a22a67-255b-7672-9272-6b9083130dc6', 'reserve', 'SKU-1#1', 2, 'HELD');",
        )
        _migrate(there, "0004")

        # Then the batches are added up, without what is spoiled, and so are the run's holds
        first = {row[0]: row[1:] for row in counts}["SKU-1"]
        assert {row[0]: row[1:] for row in _query(there, _COUNTS)}["SKU-1"] == (
            first[0] - 1 + 5,
            first[1] + 3,
            *first[2:],
        )
        assert [row for row in _query(there, _COUNTS) if row[0] != "SKU-1"] == [r for r in counts if r[0] != "SKU-1"]
        assert [row[2:] for row in _query(there, _HOLDS) if str(row[0]) == run] == [("SKU-1", 3, "HELD")]
        assert len(_query(there, _HOLDS)) == len(holds) + 1
        # And it can be migrated once more
        _migrate(there, "0006")
    finally:
        maintenance.cursor().execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        maintenance.close()


def _migrate(url: str, target: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--skip-checks", "inventory", target],
        env={**os.environ, **servers.worker_environment(), "DATABASE_URL": url},
        cwd=servers.ROOT,
        check=True,
        capture_output=True,
    )


def _execute(url: str, sql: str) -> None:
    connection = psycopg.connect(url)
    try:
        connection.cursor().execute(sql)
        connection.commit()
    finally:
        connection.close()


def _query(url: str, sql: str) -> list[Any]:
    connection = psycopg.connect(url)
    try:
        cursor = connection.cursor()
        cursor.execute(sql)
        return list(cursor.fetchall())
    finally:
        connection.close()
