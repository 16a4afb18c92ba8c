"""A shop of one's own: what it sells, when it delivers, which coupons are about, and a customer with a token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils import timezone

from coupons.models import Coupon
from delivery.models import Slot
from inventory.services import add_sku
from orders import demo, sold_out
from orders.models import Order
from tests.support import broker, servers, shop_invariants, tables

TABLES = (
    "sagas_run",
    "sagas_log",
    "sagas_confirmation",
    "sagas_escalation",
    "sagas_lock",
    "sagas_shareddecision",
    "orders_order",
    "orders_orderline",
    "orders_idempotencykey",
    "inventory_sku",
    "inventory_batch",
    "inventory_move",
    "inventory_skuhold",
    "inventory_skuholdday",
    "delivery_slot",
    "delivery_slothold",
    "delivery_fulfilment",
    "delivery_fulfilmentmove",
    "coupons_coupon",
    "coupons_grant",
    "coupons_couponhold",
    "payments_payment",
    "campaigns_campaign",
    "campaigns_change",
    "campaigns_member",
    "campaigns_places",
    "campaigns_placehold",
    "campaigns_quota",
    "campaigns_quotahold",
    "payments_paymentevent",
    "webhooks_event",
    "webhooks_endpoint",
)
TEA = "TEA-M"
PEACH = "PEACH-L"


@dataclass(frozen=True)
class Shop:
    """An open shop.

    Attributes:
        customer_id: whom the token is of.
        token: for the API.
        slot: id of its delivery slot.
        before: what it had when it opened.
    """

    customer_id: int
    token: str
    slot: int
    before: shop_invariants.Snapshot


def open_shop(*, stock: dict[str, int] | None = None, places: int = 100_000, coupons: Sequence[str] = ()) -> Shop:
    """Open an empty shop anew: everything that any test left in the domains and the engine is gone."""
    _forget_all()
    customer = get_user_model()._default_manager.create(username=f"customer-{uuid4().hex[:12]}")
    for code, available in (stock or {TEA: 10_000, PEACH: 10_000}).items():
        add_sku(code=code, name=code.title(), price_cents=1500, available=available)
    tomorrow = timezone.now() + timedelta(days=1)
    slot = Slot.objects.create(starts_at=tomorrow, ends_at=tomorrow + timedelta(hours=2), available=places)
    Coupon.objects.bulk_create(
        Coupon(code=code, discount_cents=500, expires_at=tomorrow + timedelta(days=30)) for code in coupons
    )
    return Shop(customer.pk, demo.token(customer=customer), slot.pk, shop_invariants.snapshot())


def run_of(order_no: str) -> UUID:
    """The run of an order."""
    return Order.objects.values_list("run_id", flat=True).get(order_no=order_no)


def _forget_all() -> None:
    # What is left of a drink is new, too.
    sold_out.forget()
    tables.empty(*TABLES)
    if servers.EMBEDDED:
        return
    broker.purge()
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        client.flushdb()
