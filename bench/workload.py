"""The orders of the benchmark, as the database holds them when the dispatcher finds them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.utils import timezone

import sagas
from coupons.models import Coupon
from delivery.models import Slot
from inventory.models import Sku
from orders.models import Order
from orders.requests import Item, OrderRequest
from orders.sagas import PlaceOrder

#: SKUs of the "distinct" load, and delivery slots of both.
SKUS = 1000
SLOTS = 200
_PLENTY = 10_000_000
_BATCH = 200


@dataclass(frozen=True)
class Load:
    """Prepared runs.

    Attributes:
        name: what it is called.
        ids: the runs.
        skus: whose stock they take, one cup each.
    """

    name: str
    ids: list[UUID]
    skus: list[str]


def prepare_shop() -> None:
    """Make a customer, stock and slots, all plentiful: nothing is to be rejected."""
    get_user_model()._default_manager.get_or_create(username="bench")
    Sku.objects.bulk_create(
        [Sku(code=f"B{number}", name=f"Drink {number}", price_cents=1500, available=_PLENTY) for number in range(SKUS)],
        ignore_conflicts=True,
    )
    if not Slot.objects.exists():
        begin = timezone.now() + timedelta(days=1)
        Slot.objects.bulk_create(
            [
                Slot(starts_at=begin, ends_at=begin + timedelta(hours=1 + number), available=_PLENTY)
                for number in range(SLOTS)
            ]
        )


def prepare(name: str, count: int, *, hot: bool) -> Load:
    """Insert ``count`` orders and their runs, each with a coupon of its own; nothing of it is measured.

    Args:
        name: distinguishes the loads of one benchmark.
        count: how many.
        hot: all take the same SKU.
    """
    customer = get_user_model()._default_manager.get(username="bench")
    slots = list(Slot.objects.values_list("id", flat=True))
    skus = [f"B{0 if hot else number % SKUS}" for number in range(count)]
    ids: list[UUID] = []
    expires = timezone.now() + timedelta(days=1)
    for begin in range(0, count, _BATCH):
        with transaction.atomic():
            orders, coupons = [], []
            for number in range(begin, min(begin + _BATCH, count)):
                key = f"{name}-{number}"
                item = Item(skus[number], 1, 1500)
                request = OrderRequest(key, customer.pk, (item,), slots[number % len(slots)], key, 100)
                run_id = sagas.start(PlaceOrder, request, business_key=key)
                ids.append(run_id)
                coupons.append(Coupon(code=key, customer=customer, discount_cents=100, expires_at=expires))
                orders.append(
                    Order(
                        order_no=key,
                        run_id=run_id,
                        customer=customer,
                        slot=request.slot,
                        coupon=key,
                        discount_cents=100,
                    )
                )
            Coupon.objects.bulk_create(coupons)
            Order.objects.bulk_create(orders)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sagas_run, orders_order, coupons_coupon")
    return Load(name, ids, skus)


def confirm(load: Load) -> None:
    """Let the payment of every run come."""
    for run_id in load.ids:
        sagas.confirm(run_id, "payment", {"payment_id": str(run_id)})


def check(load: Load) -> None:
    """Fail unless every run succeeded with all its effects: there is no rate without correctness."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE state = 'SUCCEEDED'), count(*) FROM sagas_run WHERE id = ANY(%s::uuid[])",
            [load.ids],
        )
        assert cursor.fetchone() == (len(load.ids), len(load.ids)), "not every run succeeded"
        cursor.execute(
            "SELECT count(*) FROM orders_order WHERE status = 'CONFIRMED' AND run_id = ANY(%s::uuid[])", [load.ids]
        )
        assert cursor.fetchone() == (len(load.ids),), "not every order is confirmed"
        for table in ("inventory_skuhold", "delivery_slothold"):
            cursor.execute(
                f"SELECT count(*), sum(quantity) FROM {table} "  # noqa: S608 - the two tables named above
                "WHERE state = 'CONFIRMED' AND run_id = ANY(%s::uuid[])",
                [load.ids],
            )
            assert cursor.fetchone() == (len(load.ids), len(load.ids)), f"holds in {table} do not add up"
        cursor.execute(
            "SELECT count(*) FROM coupons_redemption WHERE state = 'REDEEMED' AND run_id = ANY(%s::uuid[])",
            [load.ids],
        )
        assert cursor.fetchone() == (len(load.ids),), "not every coupon is redeemed"
        for pool, hold in (("inventory_sku", "inventory_skuhold"), ("delivery_slot", "delivery_slothold")):
            cursor.execute(
                f"SELECT (SELECT sum(sold) FROM {pool}), (SELECT sum(quantity) FROM {hold} "  # noqa: S608 - as above
                f"WHERE state = 'CONFIRMED'), (SELECT sum(held) FROM {pool})"
            )
            sold, confirmed, held = cursor.fetchone()
            assert sold == confirmed, f"{pool} sold {sold}, its holds say {confirmed}"
            assert held == 0, f"{pool} still holds {held}"
