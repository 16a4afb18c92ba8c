"""A batch is recalled: nothing more of it is held, holds move to other batches, and runs without another are undone.

Each part is a transaction of its own. Whatever dies in between, the next call goes on: it finds what is left by the
holds. What was sold already is for whoever sold it; see ``sold_cups``.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, Sum
from django.db.models.functions import Now

import sagas
from inventory import services
from inventory.models import Batch, Move, SkuHold
from inventory.participants import stock
from inventory.services import StockRefused
from sagas.pool import HoldState
from sagas.pool.relocation import FIRST, relocate

#: Runs whose holds one transaction moves.
COHORT = 100


@dataclass(slots=True)
class Recall:
    """What became of the runs that held cups of a recalled batch, each counted once.

    Attributes:
        moved: they hold cups of other batches now.
        cancelled: they are being undone.
        decided: there was nothing else for them, and they are confirmed: they will have bought it.
    """

    moved: int = 0
    cancelled: int = 0
    decided: int = 0


def recall(*, batch: str, reason: str, by: str) -> Recall:
    """Recall a batch, and move or cancel what runs hold of it. A repeat goes on where another call has stopped.

    Raises:
        StockRefused: the batch is unknown, or is the SKU's own.
    """
    services.recall(batch=batch, reason=reason, by=by)
    done = Recall()
    last = FIRST
    while True:
        part = relocate(stock, batch, after=last, most=COHORT)
        if part.last is None:
            break
        last = part.last
        done.moved += part.moved
        for run_id in part.stuck:
            # A run, its own transaction: the first is undone while the last is looked at.
            try:
                sagas.cancel(run_id, reason=f"batch {batch} is recalled: {reason}", by=by)
            except (sagas.AlreadyDecided, sagas.RunNotFound):
                done.decided += 1
            else:
                done.cancelled += 1
    # An undo that had begun before the recall may have given something back since.
    services.recall(batch=batch, reason=reason, by=by)
    return done


@dataclass(frozen=True, slots=True)
class Preview:
    """What a recall of a batch would find.

    Attributes:
        available: cups that would be thrown away.
        held: cups that runs under way hold.
        runs: how many runs that are.
        elsewhere: available cups of the SKU's other batches that are good now.
    """

    available: int
    held: int
    runs: int
    elsewhere: int


def preview(*, batch: str) -> Preview:
    """Read what a recall of a batch would find. Nothing is locked: it may be otherwise a moment later.

    Raises:
        StockRefused: the batch is unknown, or is the SKU's own.
    """
    sku = sku_of(batch=batch)
    row = Batch.objects.get(key=batch)
    holds = SkuHold.objects.filter(pool_key=batch, state=HoldState.HELD)
    others = Batch.objects.filter(sku=sku, recalled_at=None).exclude(key=batch)
    good = others.filter(Q(spoils_at=None) | Q(spoils_at__gt=Now()))
    return Preview(
        available=row.available,
        held=row.held,
        runs=holds.values("run_id").distinct().count(),
        elsewhere=good.aggregate(cups=Sum("available"))["cups"] or 0,
    )


def sku_of(*, batch: str) -> str:
    """The SKU of a batch that can be recalled.

    Raises:
        StockRefused: the batch is unknown, or is the SKU's own.
    """
    sku: str | None = Batch.objects.filter(key=batch).values_list("sku_id", flat=True).first()
    if sku is None:
        msg = f"There is no batch {batch}."
        raise StockRefused(msg)
    if sku == batch:
        raise StockRefused(services.OWN_BATCH)
    return sku


def sold_cups(*, batch: str) -> dict[UUID, int]:
    """How many cups of a batch were bought by which run; runs that are pruned are not known."""
    rows = SkuHold.objects.filter(pool_key=batch, state=HoldState.CONFIRMED)
    return dict(rows.values_list("run_id").annotate(Sum("quantity")).order_by("run_id"))


def allocated(*, batch: str) -> dict[str, int]:
    """How many cups of a batch were allocated, and did not come back, by what has them."""
    moves = Move.objects.filter(batch=batch).exclude(allocated_to="").order_by("allocated_to")
    sums = moves.values_list("allocated_to").annotate(Sum("available"), Sum("written_off"))
    return {account: -available - lost for account, available, lost in sums if available + lost < 0}
