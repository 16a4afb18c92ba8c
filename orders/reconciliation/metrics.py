"""The metrics of reconciliation: what is found and open, and how far the follower of the log is behind."""

from __future__ import annotations

from django.db import connection

from orders.reconciliation.following.follower import slot_of
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
    standing = slot_of(connection).standing()
    return {(): float(standing.behind)} if standing else {}
