"""A shop in which something of everything has happened, and SQL that goes past every guard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as project
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import override_settings
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from campaigns.models import Campaign, Places
from coupons.models import Coupon
from delivery.models import Slot
from inventory.services import add_batch
from orders import demo
from orders.fulfilment.services import rebook
from orders.groups import deciding, staff
from orders.models import Order
from orders.reconciliation import checking
from orders.refunds.services import refund_order
from sagas.engine import shared_decisions
from sagas.invariants import Violation
from sagas.models import Run
from tests.conftest import SharedWorkers
from tests.shop.conftest import SECRET, Api, Shop, build_shop
from tests.shop.payments.test_webhook import send
from tests.support import shop as whole
from tests.support import tables
from tests.support.carrier import Carrier
from tests.support.leftovers import forget_runs


@dataclass(frozen=True)
class Scene:
    """What there is: orders by number, each carried to where its name says."""

    shop: Shop
    paid: str
    undone: str
    waiting: str
    refunded: str
    partly: str
    moved: str
    formed: Campaign
    short: Campaign
    member: str
    coupon: str

    def run(self, order_no: str) -> UUID:
        run_id: UUID = Order.objects.values_list("run_id", flat=True).get(order_no=order_no)
        return run_id


def carry() -> None:
    """Do all that is to be done."""
    for _ in range(20):
        Carrier().run(list(Run.objects.values_list("pk", flat=True)))
        if not shared_decisions.settle_some().more and not Run.objects.filter(
            due_at__lte=timezone.now(), state__in=["PENDING", "EXECUTING", "CONFIRMING", "COMPENSATING"]
        ):
            return


def order(api: Api, shop: Shop, quantity: int = 2, *, pay: bool = True, **body: Any) -> str:
    """Place an order, have its steps done, and pay it."""
    reply = api.order(shop, items=[{"sku": shop.tea.code, "quantity": quantity}], **body)
    assert reply.status == 202, reply.body
    order_no = str(reply.body["order_no"])
    carry()
    if pay:
        send(order_no, payment_id=f"pay_{order_no}", amount=Order.objects.get(order_no=order_no).total_cents)
        carry()
    return order_no


def campaign(shop: Shop, slug: str) -> Campaign:
    return staff.open_campaign(
        by="boss",
        slug=slug,
        title="Tea together",
        sku=shop.tea.code,
        price_cents=900,
        slot=shop.slot.pk,
        minimum=2,
        capacity=3,
        quota=8,
        closes_at=timezone.now() + timedelta(hours=1),
    )


def join(to: Campaign, *, pay: bool = True) -> str:
    customer = get_user_model()._default_manager.create(username=f"member-{to.pk}-{Run.objects.count()}")
    reply = Api(demo.token(customer=customer)).post(f"/api/v1/campaigns/{to.pk}/join/", {"quantity": 2})
    assert reply.status == 202, reply.body
    order_no = str(reply.body["order_no"])
    carry()
    if pay:
        send(order_no, payment_id=f"pay_{order_no}", amount=1800)
        carry()
    return order_no


def build_scene() -> Scene:
    shop = build_shop()
    api = Api(demo.token(customer=shop.customer))
    spoils_at = shop.slot.ends_at + timedelta(days=1)
    add_batch(sku=shop.tea.code, spoils_at=spoils_at, quantity=5, reason="pressed", by="mei")
    codes = [shop.coupon(), shop.coupon(), shop.coupon()]
    paid = order(api, shop, 4, coupon=codes[0])
    # Paid before its steps are done, and the last of them is refused
    undone = str(api.order(shop, coupon=codes[1]).body["order_no"])
    send(undone, payment_id=f"pay_{undone}", amount=2000)
    Slot.objects.filter(pk=shop.slot.pk).update(closes_at=timezone.now())
    carry()
    Slot.objects.filter(pk=shop.slot.pk).update(closes_at=shop.slot.starts_at)
    refunded = order(api, shop, coupon=codes[2])
    refund_order(order_no=refunded, reason="spilt", by="mei")
    partly = order(api, shop, 3)
    refund_order(order_no=partly, reason="spilt", by="mei", lines={shop.tea.code: 1})
    carry()
    moved = order(api, shop, 1)
    later = shop.slot.ends_at + timedelta(hours=3)
    other = Slot.objects.create(
        store_id=shop.slot.store_id, starts_at=later, ends_at=later + timedelta(hours=1), available=9
    )
    rebook(customer_id=Order.objects.get(order_no=moved).customer_id, order_no=moved, slot=other.pk)
    # Claimed, and not used
    claimed = f"CLAIM-{shop.tea.code[-8:]}"
    Coupon.objects.create(code=claimed, discount_cents=100, expires_at=spoils_at, available=3)
    assert api.post(f"/api/v1/coupons/{claimed}/claim/").status == 202
    carry()
    formed, short = campaign(shop, "formed"), campaign(shop, "short")
    member, _ = join(formed), join(formed)
    join(short)
    for each in (formed, short):
        ended = timezone.now() - timedelta(seconds=120)
        Campaign.objects.filter(pk=each.pk).update(closed_at=ended)
        Places.objects.filter(pk=each.pk).update(closes_at=ended)
    deciding.sweep()
    carry()
    deciding.sweep()
    formed.refresh_from_db()
    short.refresh_from_db()
    assert (formed.outcome, short.outcome) == ("FORMED", "SHORT")
    # Last, so that it still waits for its payment
    waiting = order(api, shop, 2, pay=False)
    return Scene(shop, paid, undone, waiting, refunded, partly, moved, formed, short, member, codes[0])


@pytest.fixture(scope="module", autouse=True)
def _nothing_left() -> None:
    """The scene sees to what was committed before it, and is committed itself, for all files."""


@pytest.fixture(scope="package")
def scene(
    topology: None, django_db_setup: None, django_db_blocker: DjangoDbBlocker, shared_workers: SharedWorkers
) -> Iterator[Scene]:
    """Built once, and committed; what a test does to it is rolled back."""
    shared_workers.stop()
    limits = {whose: {"orders": 0, "cups": 0} for whose in project.OPEN_ORDERS}
    with django_db_blocker.unblock(), override_settings(WEBHOOK_SECRET=SECRET, OPEN_ORDERS=limits):
        empty()
        yield build_scene()
        empty()


_KEPT = ("orders_finding", "orders_watchedrun", "orders_reconciliationpass")


def empty() -> None:
    forget_runs()
    tables.empty(*whole.TABLES, "payments_refund", "orders_orderrefund", *_KEPT)


@pytest.fixture
def undone_again(scene: Scene, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Whatever the test writes is rolled back."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)


def corrupt(sql: str, params: dict[str, Any] | None = None) -> int:
    """Execute a statement that fires no trigger of ours, as a restore or the owner could; return how many rows."""
    with connection.cursor() as cursor:
        # What the statements before have left to check stands in the way.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in _GUARDED:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute(sql, params)
        return int(cursor.rowcount)


_GUARDED = (
    *("sagas_run", "sagas_log", "sagas_confirmation", "sagas_escalation", "inventory_batch", "inventory_move"),
    *("coupons_grant", "payments_payment", "payments_refund", "campaigns_campaign", "campaigns_member"),
    *("campaigns_places", "delivery_fulfilment"),
)


def reconcile(*arguments: str) -> str:
    """Call the command; return what it says."""
    said = StringIO()
    try:
        call_command("reconcile", *arguments, stdout=said)
    except CommandError as error:
        said.write(f"failed: {error}")
    return said.getvalue()


def violations() -> list[Violation]:
    """Everything that reconciliation finds."""
    return [violation for part in checking.check_all() for violation in part.violations]
