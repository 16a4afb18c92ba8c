"""Stop the traffic at a chosen place: a row that a step needs is held, so that runs pile up in the middle of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg2

from tests.support import books, servers
from tests.support.awaiting import eventually

#: What a step locks, by the step.
_ROWS = {
    "create_order": "SELECT FROM orders_order ORDER BY id FOR UPDATE",
    "reserve_inventory": "SELECT FROM inventory_sku ORDER BY code FOR UPDATE",
    "apply_coupon": "SELECT FROM coupons_coupon ORDER BY code FOR UPDATE",
    "schedule_delivery": "SELECT FROM delivery_slot ORDER BY id FOR UPDATE",
    # The laboratory's TCC step.
    "three": "SELECT FROM lab_jar ORDER BY name FOR UPDATE",
}


@contextmanager
def closed_at(step: str) -> Iterator[None]:
    """Hold what the step locks until the end of the block: whoever performs it waits in mid-transaction."""
    connection = psycopg2.connect(servers.worker_environment()["DATABASE_URL"])
    try:
        with connection.cursor() as cursor:
            cursor.execute(_ROWS[step])
        yield
    finally:
        # The server may be dead by now, and the lock with it.
        with suppress(psycopg2.Error):
            connection.rollback()
        connection.close()


def await_somebody_waiting(count: int = 1) -> None:
    """Wait until so many transactions wait for a lock."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    eventually(lambda: books.query(sql)[0][0] >= count, what=f"{count} transactions at the gate")
