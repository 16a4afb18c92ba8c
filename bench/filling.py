"""Ended runs of long ago, copied from some that this benchmark performed, by SQL: a million takes about a minute."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

from django.db import connection

from bench import database
from bench.books import Unbalanced
from bench.throughput import drain
from bench.workload import Shop, pay_all
from sagas.states import State

_ORIGINALS = 1000
#: Runs that are copied in one transaction, and sessions that do so.
_CHUNK, _SESSIONS = 50_000, 2
#: Milliseconds: the copies began 400 days ago, one each.
_AGO = 400 * 24 * 3600 * 1000

#: What an order has in the engine's tables and in those of its holds: the column that names the run, and what differs.
_TABLES = {
    "sagas_run": (
        "id",
        {"business_key": "business_key || '-' || number", "finished_at": "finished_at - interval '400 days'"},
    ),
    "sagas_log": ("run_id", {}),
    "sagas_confirmation": ("run_id", {}),
    "inventory_skuhold": ("run_id", {}),
    "delivery_slothold": ("run_id", {}),
}
_IDS = """
CREATE TEMPORARY TABLE copies ON COMMIT DROP AS
SELECT was.id AS old, number,
       (lpad(to_hex((EXTRACT(EPOCH FROM now()) * 1000)::bigint - %(ago)s + number), 12, '0') || '7' ||
        substr(md5(number::text), 1, 3) || '8' || substr(md5(number::text), 4, 15))::uuid AS new
FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM sagas_run WHERE id = ANY(%(ids)s::uuid[])) AS was
JOIN generate_series(%(first)s::bigint, %(last)s::bigint) AS number ON number %% %(originals)s = was.place
"""


def fill(shop: Shop, rows: int) -> None:
    """Copy ended runs, until there are so many copies.

    Args:
        shop: where the originals are placed, the first time.
        rows: copies in all.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sagas_run WHERE finished_at < now() - interval '1 day'")
        (there,) = cursor.fetchone()
    if there >= rows:
        return
    load = shop.place(_ORIGINALS)
    drain(load, State.AWAITING_CONFIRM)
    pay_all(load)
    drain(load, State.SUCCEEDED)
    chunks = [(first, min(rows, first + _CHUNK) - 1) for first in range(there, rows, _CHUNK)]
    with ThreadPoolExecutor(_SESSIONS) as sessions:
        list(sessions.map(lambda chunk: copy(load.ids, *chunk), chunks))
    with session() as cursor:
        # What autovacuum does after so many rows, so that it is not done during the measurement.
        cursor.execute("VACUUM ANALYZE")


@contextmanager
def session() -> Iterator[Any]:
    """A cursor of a session that commits each statement, and whose statements may take as long as they like."""
    with closing(database.connect(os.environ["DATABASE_URL"])) as session, session.cursor() as cursor:
        yield cursor


def copy(
    originals: Sequence[UUID], first: int, last: int, tables: Mapping[str, tuple[str, Mapping[str, str]]] = _TABLES
) -> None:
    """Make the copies with these numbers, in one transaction.

    Args:
        originals: runs.
        first: the first number.
        last: the last number.
        tables: what is copied, as ``_TABLES``.
    """
    with session() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("BEGIN")
        given = {
            "ago": _AGO,
            "first": first,
            "last": last,
            "originals": len(originals),
            "ids": [str(run_id) for run_id in originals],
        }
        cursor.execute(_IDS, given)
        cursor.execute("ANALYZE copies")
        for table, (of_run, changed) in tables.items():
            cursor.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND table_schema = "
                "current_schema() AND column_name <> ALL(%s)",
                [table, [of_run, "id"]],
            )
            columns = [name for (name,) in cursor.fetchall()]
            values = [changed.get(name, name) for name in columns]
            copied = f"SELECT copies.new, {', '.join(values)} FROM {table} AS was"  # noqa: S608 - ours
            cursor.execute(
                f"INSERT INTO {table} ({of_run}, {', '.join(columns)}) "
                f"{copied} JOIN copies ON copies.old = was.{of_run} ORDER BY copies.new"
            )
        cursor.execute("COMMIT")


def check(shop: Shop) -> None:
    """Check that every order of the shop has succeeded.

    Raises:
        Unbalanced: one has not.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE state = 'SUCCEEDED'), count(*) FROM sagas_run "
            "WHERE finished_at IS NULL OR finished_at > now() - interval '1 day'"
        )
        found = cursor.fetchone()
    if found != (shop.placed, shop.placed):
        msg = f"succeeded and all runs: {found}, and not {shop.placed}"
        raise Unbalanced(msg)
