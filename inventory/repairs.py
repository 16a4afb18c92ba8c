"""Repairs of batches whose counts contradict their ledger or their holds. Each leaves a row of the ledger."""

from __future__ import annotations

from typing import Any, cast

from django.db.models.functions import Now

from inventory import ledger
from inventory.models import Batch, Move, MoveKind, SkuHold
from sagas.invariants import RepairRefused
from sagas.pool import HoldState, Pool
from sagas.pool.repairs import PoolRepairs


class BatchRepairs(PoolRepairs):
    """People's moves and the holds are taken for true: the counts are set to what they come to."""

    def lock(self, key: str) -> Batch:
        """Lock the batch of the SKU that is its own, and with it all batches of the SKU."""
        sku = Batch.objects.filter(key=key).values_list("sku_id", flat=True).first()
        if sku is None or not Batch.objects.select_for_update(no_key=True).filter(key=sku).first():
            msg = f"There is no batch {key}."
            raise RepairRefused(msg)
        return cast(Batch, super().lock(key))

    def end(self, hold: Any) -> None:
        """The ledger reads when a hold has ended."""
        SkuHold.objects.filter(pk=hold.pk).update(state=HoldState.CANCELLED, ended_at=Now())

    def write(self, row: Pool, *, held: int, sold: int, returned: int) -> None:  # noqa: ARG002 - the ledger has it
        """Write what the ledger comes to."""
        batch = cast(Batch, row)
        counts = ledger.comes_to(batch.key)
        if (counts.held, counts.sold) != (held, sold):
            msg = (
                f"The ledger of {batch.key} comes to {counts.held} held and {counts.sold} sold, and its holds to "
                f"{held} and {sold}: a hold was changed or removed. Restore it first."
            )
            raise RepairRefused(msg)
        if min(counts.available, counts.written_off) < 0:
            msg = f"The ledger of {batch.key} comes to {counts.available} available: first enter what was received."
            raise RepairRefused(msg)
        batch.held, batch.sold = held, sold
        batch.available, batch.written_off = counts.available, counts.written_off
        batch.save(update_fields=["held", "sold", "available", "written_off"])

    def note(self, row: Pool, *, reason: str, by: str) -> None:
        """A move of nothing, which says who has set the counts to the ledger, and why."""
        Move.objects.create(batch=row.pk, kind=MoveKind.ADJUSTED, reason=f"repaired: {reason}"[:200], by=by)


repairs = BatchRepairs(Batch, SkuHold)
