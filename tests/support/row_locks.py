"""Locks the rows that a step needs, so that its runs wait inside their transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support import servers, shop_invariants
from tests.support.awaiting import eventually
from tests.support.driver import psycopg

#: The rows that each step locks.
_ROWS = {
    "create_order": "SELECT FROM orders_order ORDER BY id FOR UPDATE",
    "reserve_inventory": "SELECT FROM inventory_batch ORDER BY key FOR UPDATE",
    # A use takes from the coupon, an undo changes its grant.
    "apply_coupon": "SELECT FROM coupons_coupon ORDER BY code FOR UPDATE; "
    "SELECT FROM coupons_grant ORDER BY id FOR UPDATE",
    "schedule_delivery": "SELECT FROM delivery_slot ORDER BY id FOR UPDATE",
    # The laboratory's TCC step.
    "three": "SELECT FROM lab_jar ORDER BY name FOR UPDATE",
}


@contextmanager
def blocked_at(step: str) -> Iterator[None]:
    """Lock the step's rows until the end of the block: workers that perform the step wait for them."""
    connection = psycopg.connect(servers.worker_environment()["DATABASE_URL"])
    try:
        with connection.cursor() as cursor:
            cursor.execute(_ROWS[step])
        yield
    finally:
        # The server may have been killed, which has released the lock.
        with suppress(psycopg.Error):
            connection.rollback()
        connection.close()


def await_lock_waits(count: int = 1) -> None:
    """Wait until ``count`` transactions wait for a lock."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    def waiting() -> bool:
        # Inside a transaction PostgreSQL shows what was there when it was first asked.
        shop_invariants.query("SELECT pg_stat_clear_snapshot()")
        return bool(shop_invariants.query(sql)[0][0] >= count)

    eventually(waiting, what=f"{count} transactions wait for a lock")
