"""The orders of the benchmark, inserted as by the API, and their payments. This part is not measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from uuid import UUID

import uuid_utils.compat
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

import sagas
from coupons.models import Coupon
from delivery.models import Slot
from inventory.models import Batch, Sku
from orders.models import Order
from orders.requests import Item, OrderRequest
from orders.sagas import PlaceOrder

#: SKUs of the "distinct" load, and delivery slots of both. Each order takes one cup, one coupon and one place.
SKUS = 1000
SLOTS = 200
#: Enough that nothing is rejected.
PLENTY = 10_000_000
_BATCH = 200
#: Confirmations in one transaction. Each is a savepoint; with more than 64 PostgreSQL slows down.
_SAVEPOINTS = 50
_PAYERS = 4
#: Of each SKU.
PRICE = 1500
_DISCOUNT = 100


@dataclass(frozen=True, slots=True)
class Load:
    """Orders that were placed together, without others between them, so that their ids are a range.

    Attributes:
        ids: their runs, in order.
        committed_at: when the (last) transaction that started them was committed; seconds since the epoch.
    """

    ids: tuple[UUID, ...]
    committed_at: float

    @property
    def bounds(self) -> tuple[UUID, UUID]:
        """The first and the last run."""
        return self.ids[0], self.ids[-1]


class Shop:
    """One customer who orders, with coupons, stock and slots."""

    def __init__(self, *, slots: int = SLOTS) -> None:
        """Create stock, slots and a customer in an empty database.

        Args:
            slots: how many delivery slots there are.
        """
        #: Orders placed so far, and those of them that were cancelled.
        self.placed = self.cancelled = 0
        self._numbers = count(1)
        self._customer: User = get_user_model()._default_manager.create(username="bench")
        self.skus = [f"BENCH-{number}" for number in range(SKUS)]
        Sku.objects.bulk_create(Sku(code=code, name=code, price_cents=PRICE) for code in self.skus)
        # Each has a batch by a trigger. These cups are no part of the ledger.
        Batch.objects.update(available=PLENTY)
        tomorrow = timezone.now() + timedelta(days=1)
        made = Slot.objects.bulk_create(
            Slot(starts_at=tomorrow, ends_at=tomorrow + timedelta(minutes=10 + number), available=PLENTY)
            for number in range(slots)
        )
        self.slots = [slot.id for slot in made]

    def place(self, orders: int, *, skus: int = SKUS, slots: int = SLOTS) -> Load:
        """Insert orders and start their runs.

        Args:
            orders: how many.
            skus: how many of the SKUs they share.
            slots: how many of the slots they share.
        """
        ids: list[UUID] = []
        committed: list[float] = []
        for begin in range(0, orders, _BATCH):
            with transaction.atomic():
                # Registered before the runs register their kicks, so it is called before them.
                transaction.on_commit(lambda: committed.append(time.time()))
                ids += self._place_batch(min(_BATCH, orders - begin), skus=skus, slots=slots)
        self.placed += orders
        return Load(tuple(ids), committed[-1])

    def _place_batch(self, orders: int, *, skus: int, slots: int) -> list[UUID]:
        numbers = [next(self._numbers) for _ in range(orders)]
        requests = [self._request(number, skus=skus, slots=slots) for number in numbers]
        ids = [uuid_utils.compat.uuid7() for _ in requests]
        Coupon.objects.bulk_create(
            Coupon(
                code=request.order_no,
                customer=self._customer,
                discount_cents=_DISCOUNT,
                expires_at=timezone.now() + timedelta(days=1),
            )
            for request in requests
        )
        Order.objects.bulk_create(
            Order(
                order_no=request.order_no,
                run_id=run_id,
                customer=self._customer,
                slot=request.slot,
                coupon=request.order_no,
                discount_cents=_DISCOUNT,
            )
            for run_id, request in zip(ids, requests, strict=True)
        )
        for run_id, request in zip(ids, requests, strict=True):
            sagas.start(PlaceOrder, request, business_key=request.order_no, run_id=run_id)
        return ids

    def _request(self, number: int, *, skus: int, slots: int) -> OrderRequest:
        return OrderRequest(
            order_no=f"B{number}",
            customer_id=self._customer.pk,
            items=(Item(self.skus[number % skus], 1, PRICE),),
            slot=self.slots[number % min(slots, len(self.slots))],
            coupon=f"B{number}",
            discount_cents=_DISCOUNT,
        )


def pay(ids: Sequence[UUID]) -> None:
    """Confirm the payments of some runs, in one transaction."""
    with transaction.atomic():
        for run_id in ids:
            sagas.confirm(run_id, "payment", {"payment_id": str(run_id)})


def pay_all(load: Load) -> None:
    """Confirm the payment of every run, over several connections, because each spends most of its time waiting."""
    with ThreadPoolExecutor(_PAYERS) as payers:
        list(payers.map(_pay_some, [load.ids[payer::_PAYERS] for payer in range(_PAYERS)]))


def cancel_all(load: Load) -> None:
    """Cancel every run, as its customer."""
    for begin in range(0, len(load.ids), _SAVEPOINTS):
        with transaction.atomic():
            for run_id in load.ids[begin : begin + _SAVEPOINTS]:
                sagas.cancel(run_id, reason="changed my mind", by="bench")


def _pay_some(ids: Sequence[UUID]) -> None:
    try:
        for begin in range(0, len(ids), _SAVEPOINTS):
            pay(ids[begin : begin + _SAVEPOINTS])
    finally:
        connection.close()


def refresh_statistics() -> None:
    """Update the planner's statistics, as autovacuum would do at some time during the measurement."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
