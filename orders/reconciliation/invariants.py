"""The one list of invariants: what each domain declares about its own tables, and what orders put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import campaigns.invariants
import coupons.invariants
import delivery.invariants
import inventory.invariants
import payments.invariants
from orders.reconciliation import placed, runs
from sagas.invariants import Invariant, Walk

INVARIANTS: Final[tuple[Invariant, ...]] = (
    *inventory.invariants.INVARIANTS,
    *coupons.invariants.INVARIANTS,
    *delivery.invariants.INVARIANTS,
    *payments.invariants.INVARIANTS,
    *campaigns.invariants.INVARIANTS,
    *placed.INVARIANTS,
    *runs.INVARIANTS,
)
BY_NAME: Final[Mapping[str, Invariant]] = {invariant.name: invariant for invariant in INVARIANTS}
assert len(BY_NAME) == len(INVARIANTS)


def by_walk(invariants: Sequence[Invariant] = INVARIANTS) -> dict[Walk, list[Invariant]]:
    """Group invariants by what their keys are."""
    grouped: dict[Walk, list[Invariant]] = defaultdict(list)
    for invariant in invariants:
        grouped[invariant.walk].append(invariant)
    return dict(grouped)
