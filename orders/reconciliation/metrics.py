"""The metrics of reconciliation: what is found and open, and how far the follower of the log is behind."""

from __future__ import annotations

from django.db import connection

from orders.reconciliation.following.follower import SLOT
from orders.reconciliation.models import Finding
from sagas.metrics import on_scrape


@on_scrape("shop_findings_open", "Contradictions between tables that were found and are open.")
def open_findings() -> dict[tuple[str, ...], float]:
    """How many findings nobody has put right."""
    return {(): Finding.objects.filter(resolved_at=None).count()}


@on_scrape(
    "shop_follower_behind_bytes",
    "Bytes of the write-ahead log that `reconcile follow` has not read; none without its slot.",
)
def behind() -> dict[tuple[str, ...], float]:
    """A slot that is lost has all of the log before it, so that it is seen to grow."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
            "ELSE pg_current_wal_flush_lsn() END, COALESCE(confirmed_flush_lsn, '0/0'))::bigint "
            "FROM pg_replication_slots WHERE slot_name = current_database() || %s AND database = current_database()",
            [SLOT],
        )
        found = cursor.fetchone()
    return {(): float(found[0])} if found else {}
