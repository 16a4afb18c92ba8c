"""The participants of the delivery domain: a place in a slot that takes orders, and the work of its store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from django.db import connection

from delivery.models import FulfilmentKind, Slot, SlotHold
from sagas import Call, Outcome, Rejected, set_based
from sagas.db import array, uuid_array
from sagas.pool import PoolResource
from sagas.postgresql import prepared


class WantsDelivery(Protocol):
    """The part of a request that delivery needs."""

    @property
    def slot(self) -> int:
        """Id of the slot."""
        ...

    @property
    def order_no(self) -> str:
        """By which the store and its customer know the order."""
        ...

    @property
    def made(self) -> Sequence[tuple[str, int]]:
        """What the store makes: SKUs and quantities."""
        ...

    @property
    def fulfilment(self) -> FulfilmentKind:
        """How the customer gets it."""
        ...


class SlotFull(Rejected):
    """The slot has no place left."""


class SlotPast(Rejected):
    """The slot has begun, or its cut-off is over."""


def demand(request: WantsDelivery) -> Mapping[int, int]:
    """One order takes one place."""
    return {request.slot: 1}


class Slots(PoolResource[WantsDelivery]):
    """Places in slots. Whoever confirms a place gives the store its work, in the same commit.

    So there is exactly one fulfilment for each confirmed order: a confirm comes behind the pivot, is never taken back,
    and is repeated until it is done. A hook might be lost, and a sweep would have to look for what is missing.
    """

    @set_based
    def confirm(self, calls: Sequence[Call[WantsDelivery]]) -> list[Outcome]:
        """Turn places into sales, and write what the stores have to make. A repeat changes nothing."""
        outcomes = super().confirm.many(calls)
        requests = [call.request for call in calls]
        with connection.cursor() as cursor:
            prepared.execute(
                cursor,
                _ACCEPT,
                [
                    uuid_array(call.run_id for call in calls),
                    array(request.order_no for request in requests),
                    array(request.slot for request in requests),
                    array(request.fulfilment.value for request in requests),
                    array(json.dumps(request.made) for request in requests),
                ],
                rows=prepared.ANY,
            )
        return list(outcomes)


_ACCEPT = (
    "INSERT INTO delivery_fulfilment (run_id, order_no, store_id, slot, due_at, kind, lines) "
    "SELECT v.run_id, v.order_no, slot.store_id, slot.id, slot.starts_at, v.kind, v.lines "
    "FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::text[], %s::text[]::jsonb[]) "
    "AS v(run_id, order_no, slot, kind, lines) JOIN delivery_slot AS slot ON slot.id = v.slot "
    "ORDER BY v.run_id ON CONFLICT (run_id) DO NOTHING"
)

slots = Slots(
    pool=Slot,
    hold=SlotHold,
    demand=demand,
    rejection=SlotFull,
    closes="closes_at",
    closed=lambda slot: SlotPast(f"slot {slot} has begun, or takes no more orders"),
)
