"""The participants of the delivery domain: a place in a slot that has room and has not begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from delivery import selectors
from delivery.models import Slot, SlotHold
from sagas import Call, Rejected, set_based
from sagas.definition.participants import Outcome
from sagas.pool import PoolResource


class WantsDelivery(Protocol):
    """The part of a request that delivery needs."""

    @property
    def slot(self) -> int:
        """Id of the slot."""
        ...


class SlotFull(Rejected):
    """The slot has no place left."""


class SlotPast(Rejected):
    """The slot has begun."""


def demand(request: WantsDelivery) -> Mapping[int, int]:
    """One order takes one place."""
    return {request.slot: 1}


class SlotResource(PoolResource):
    """A pool whose rows close at their time."""

    @set_based
    def try_(self, calls: Sequence[Call[WantsDelivery]]) -> list[Outcome]:
        """Hold a place for each call, in the order of the calls, in slots that have not begun."""
        begun = selectors.begun(slots={call.request.slot for call in calls})
        held = iter(super().try_.many([call for call in calls if call.request.slot not in begun]))
        return [
            SlotPast(f"slot {call.request.slot} has begun") if call.request.slot in begun else next(held)
            for call in calls
        ]


slots = SlotResource(pool=Slot, hold=SlotHold, demand=demand, rejection=SlotFull)
