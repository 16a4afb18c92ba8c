"""A batch is recalled: nothing more of it is held, holds move to other batches, and runs without another are undone.

Each part is a transaction of its own. Whatever dies in between, the next call goes on: it finds what is left by the
holds. What was sold already is for whoever sold it; see ``sold_of``.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import sagas
from inventory import services
from inventory.models import SkuHold
from inventory.participants import stock
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


def sold_of(*, batch: str) -> list[UUID]:
    """List the runs that have bought cups of a batch, and are not pruned."""
    rows = SkuHold.objects.filter(pool_key=batch, state=HoldState.CONFIRMED)
    return sorted(set(rows.values_list("run_id", flat=True)))
