"""What holds between slots, holds and runs at every commit."""

from __future__ import annotations

from delivery.models import Slot, SlotHold
from sagas.pool.invariants import invariants_of
from sagas.pool.repairs import PoolRepairs

_repairs = PoolRepairs(Slot, SlotHold)

INVARIANTS = invariants_of(Slot, SlotHold, recount=_repairs.recount, release=_repairs.release)
