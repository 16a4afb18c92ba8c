"""What the matrices of this project's sagas are played with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db.models.functions import Now
from django.utils import timezone

import sagas
from campaigns.models import Member, Places, Quota
from coupons.models import Coupon, Grant
from delivery.addresses import Address
from delivery.models import FulfilmentKind, Slot
from inventory.models import Batch
from inventory.services import add_sku
from orders import services
from orders.groups import deciding, joining, staff
from orders.groups.joining import Wish
from orders.models import Order, OrderLine
from orders.refunds.services import refund_order
from orders.services import Wanted
from payments.models import Payment
from payments.sagas import RefundPayment
from sagas import Saga
from sagas.engine import shared_decisions
from sagas.models import Confirmation, Run
from sagas.states import CARRIERS
from sagas.testing import Ended, Scenario, saga_matrix
from sagas.testing.matrix.cases import Case
from tests.lab.models import Jar, JarHold, Mark
from tests.lab.sagas import Experiment, Lab
from tests.support import tables
from tests.support.carrier import Carrier

_TABLES = (
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
    "lab_mark",
    "lab_jar",
    "lab_jarhold",
    "lab_label",
)

#: What the laboratories keep to say what was done, and what was undone.
RECORDS = ("lab_mark", "lab_label", "loyalty: loyalty_stamp")

#: The sagas that have a matrix, as the test modules declare them.
covered: set[type[Saga[Any]]] = set()


def wipe() -> None:
    """Leave nothing of other tests: the cases compare whole tables."""
    tables.empty(*_TABLES)


# -- The shop's -----------------------------------------------------------------------------------------------


#: Whither a courier brings what is ordered here.
ADDRESS = Address(recipient="Li Mei", phone="+86 21 5555 0100", street="Nanjing Road 1", city="Shanghai")


def place(kind: FulfilmentKind = FulfilmentKind.SLOT, *, card: str = "", shelf_life: int | None = None) -> UUID:
    """Open a shop, and place an order in it: two cups, with a coupon; paid already, or by charging a card."""
    code = uuid4().hex[:8]
    customer = get_user_model()._default_manager.create(username=f"customer-{code}")
    add_sku(code=f"TEA-{code}", name="Tea", price_cents=1500, available=10, shelf_life_minutes=shelf_life)
    tomorrow = Now() + timedelta(days=1)
    slot = Slot.objects.create(starts_at=tomorrow, ends_at=tomorrow + timedelta(hours=2), available=5)
    Coupon.objects.create(code=f"C-{code}", discount_cents=500, expires_at=tomorrow)
    run_id = services.place_order(
        order_no=f"D-{code}",
        customer_id=customer.pk,
        items=[Wanted(f"TEA-{code}", 2)],
        slot=slot.pk,
        coupon=f"C-{code}",
        fulfilment=kind,
        deliver_to=ADDRESS,
        card=card,
    )
    if card:
        return run_id
    # In the shop it is there with the run's confirmation. Here that comes by itself, where a case wants it.
    Payment.objects.create(
        gateway="main",
        payment_id=f"pay-{code}",
        order_no=f"D-{code}",
        run_id=run_id,
        amount=2500,
        currency="CNY",
        state="TAKEN",
    )
    return run_id


def an_order_has_all_or_nothing(ended: Ended) -> None:
    """The invariant: cups, place and coupon are gone if the order is confirmed, and there again if not; so is money."""
    order = Order.objects.get(run_id=ended.run_id)
    code = order.order_no.removeprefix("D-")
    cups = Batch.objects.values_list("available", "held", "sold").get(key=f"TEA-{code}")
    places = Slot.objects.values_list("available", "held", "sold").get(pk=order.slot)
    coupon = Coupon.objects.values_list("available", "held", "sold").get(code=f"C-{code}")
    grants = list(Grant.objects.filter(coupon=f"C-{code}").order_by("id").values_list("state", "used_by_run"))
    payment = Payment.objects.get(run_id=ended.run_id)
    returns = Run.objects.filter(saga=RefundPayment.name, business_key=payment.payment_id).count()
    owed = not ended.succeeded and Confirmation.objects.filter(run_id=ended.run_id).exists()
    # Its return is a run of its own, which may have begun.
    assert (payment.state in {"DUE_BACK", "RETURNING"}, payment.state == "TAKEN") == (owed, not owed)
    assert (payment.reason, returns) == (("undone", 1) if owed else ("", 0))
    if ended.succeeded:
        assert (order.status, cups, places) == ("CONFIRMED", (8, 0, 2), (4, 0, 1))
        assert (coupon, grants) == ((0, 0, 1), [("USED", ended.run_id)])
    else:
        assert (order.status, cups, places) == ("REJECTED", (10, 0, 0), (5, 0, 0))
        # What was used is the customer's again.
        returned = ((0, 0, 1), [("REFUNDED", ended.run_id), ("ISSUED", None)])
        assert (coupon, grants) in (returned, ((1, 0, 0), []))


def join() -> UUID:
    """Open a shop with a group buy that one member forms, and join it with two cups."""
    code = uuid4().hex[:8]
    customer = get_user_model()._default_manager.create(username=f"customer-{code}")
    add_sku(code=f"TEA-{code}", name="Tea", price_cents=1500, available=10)
    tomorrow = Now() + timedelta(days=1)
    slot = Slot.objects.create(starts_at=tomorrow, ends_at=tomorrow + timedelta(hours=2), available=5)
    campaign = staff.open_campaign(
        by="boss",
        slug=code,
        title="Tea together",
        sku=f"TEA-{code}",
        price_cents=1250,
        slot=slot.pk,
        minimum=1,
        capacity=5,
        quota=10,
        closes_at=timezone.now() + timedelta(hours=1),
    )
    run_id = joining.join(order_no=f"D-{code}", wish=Wish(campaign.pk, customer.pk, 2))
    Payment.objects.create(
        gateway="main",
        payment_id=f"pay-{code}",
        order_no=f"D-{code}",
        run_id=run_id,
        amount=2500,
        currency="CNY",
        state="TAKEN",
    )
    return run_id


def a_member_has_all_or_nothing(ended: Ended) -> None:
    """The invariant: place, cups and delivery are the member's if the run is confirmed, and free again if not."""
    order = Order.objects.get(run_id=ended.run_id)
    member = Member.objects.filter(run_id=ended.run_id).values_list("state", flat=True).first()
    of_campaign = [
        pool._default_manager.values_list("available", "held", "sold").get(pk=order.campaign)
        for pool in (Places, Quota)
    ]
    places = Slot.objects.values_list("available", "held", "sold").get(pk=order.slot)
    if ended.succeeded:
        assert (order.status, member, *of_campaign, places) == ("CONFIRMED", "PAID", (4, 0, 1), (8, 0, 2), (4, 0, 1))
    else:
        assert (order.status, *of_campaign, places) == ("REJECTED", (5, 0, 0), (10, 0, 0), (5, 0, 0))
        assert member in {None, "LEFT"}


def of_a_confirmed_order() -> UUID:
    """Two cups with a coupon, paid and confirmed; the run of the refund of all of it."""
    run_id = place()
    sagas.confirm(run_id, "payment", {"payment_id": str(uuid4())})
    Carrier().run([run_id])
    order = Order.objects.get(run_id=run_id)
    assert order.status == "CONFIRMED"
    return refund_order(order_no=order.order_no, reason="the party is off", by="mei").run_id


def of_a_member() -> UUID:
    """Two cups of a member of a group buy that has formed; the run of the refund of both."""
    run_id = join()
    sagas.confirm(run_id, "payment", {"payment_id": str(uuid4())})
    Carrier().run([run_id])
    order = Order.objects.get(run_id=run_id)
    deciding.decide(campaign_id=order.campaign or 0)
    shared_decisions.settle_some()
    Carrier().run([run_id])
    order.refresh_from_db()
    assert order.status == "CONFIRMED"
    return refund_order(order_no=order.order_no, reason="moves away", by="mei").run_id


def a_membership_is_back_or_nothing(ended: Ended) -> None:
    """The invariant: lines, money, both places, cups and membership say the same. The group stays formed."""
    request = Run.objects.values_list("request", flat=True).get(pk=ended.run_id)
    order = Order.objects.get(run_id=request["order_run"])
    payment = Payment.objects.get(run_id=order.run_id)
    member = Member.objects.get(run_id=order.run_id)
    counts = [
        pool._default_manager.values_list("available", "held", "sold").get(pk=key)
        for pool, key in ((Places, member.campaign_id), (Quota, member.campaign_id), (Slot, order.slot))
    ]
    back = payment.returning_amount + payment.returned_amount
    if ended.succeeded:
        assert (order.refunded_cents, back, member.state) == (2500, 2500, "LEFT")
        assert counts == [(5, 0, 0), (10, 0, 0), (5, 0, 0)]
    else:
        assert (order.refunded_cents, back, member.state) == (0, 0, "PAID")
        assert counts == [(4, 0, 1), (8, 0, 2), (4, 0, 1)]
    assert member.campaign.state == "FORMED"


def all_of_it_is_back_or_nothing(ended: Ended) -> None:
    """The invariant: lines, money, place, coupon and cups say the same."""
    request = Run.objects.values_list("request", flat=True).get(pk=ended.run_id)
    order = Order.objects.get(run_id=request["order_run"])
    payment = Payment.objects.get(run_id=order.run_id)
    line = OrderLine.objects.get(order=order)
    code = order.order_no.removeprefix("D-")
    cups = Batch.objects.values_list("available", "held", "sold").get(key=f"TEA-{code}")
    places = Slot.objects.values_list("available", "held", "sold").get(pk=order.slot)
    grants = list(Grant.objects.filter(coupon=f"C-{code}").order_by("id").values_list("state", flat=True))
    if ended.succeeded:
        assert (order.refunded_cents, line.refunded_quantity) == (2500, 2)
        assert payment.returning_amount + payment.returned_amount == 2500
        assert (cups, places, grants) == ((10, 0, 0), (5, 0, 0), ["REFUNDED", "ISSUED"])
    else:
        assert (order.refunded_cents, line.refunded_quantity, payment.state) == (0, 0, "TAKEN")
        assert (cups, places, grants) == ((8, 0, 2), (4, 0, 1), ["USED"])


# -- The laboratory's -----------------------------------------------------------------------------------------


def an_experiment() -> Experiment:
    """Of a jar of its own."""
    return Experiment(jar=Jar.objects.create(name=f"jar-{uuid4().hex[:8]}", available=10).name)


def marks_and_jars_agree(ended: Ended) -> None:
    """The invariant: every mark that was left is taken back or stands once, and no hold is open."""
    marks = [(mark.step, mark.operation) for mark in Mark.objects.filter(run_id=ended.run_id)]
    assert len(marks) == len(set(marks))
    holds = set(JarHold.objects.filter(run_id=ended.run_id).values_list("state", flat=True))
    assert holds <= {"CONFIRMED" if ended.succeeded else "CANCELLED"}


def quick(case: Case) -> bool:
    """Whether a case of the laboratory is for every day: those that say the same in other words are not."""
    return case.definition is Lab.definition and case.carrier == "orchestration" and not case.kills_process


def unwinds(
    saga: type[Saga[Any]],
    request: Callable[[], object] = an_experiment,
    *,
    invariant: Callable[[Ended], object] = marks_and_jars_agree,
    prepare: Callable[[Scenario], object] | None = None,
    leaves: Sequence[str] = RECORDS,
    skips: Sequence[str] = (),
    ignore: Sequence[str] = (),
    committing: Sequence[str] = ("alone",),
    mark: Callable[[Case], list[Any]] = lambda case: [] if quick(case) else [pytest.mark.slow],
    carriers: Sequence[str] = CARRIERS,
) -> Any:
    """The matrix of a saga, under both carriers. The laboratory's marks and labels stay, to say what was done."""
    covered.add(saga)
    return saga_matrix(
        saga,
        request,
        invariant=invariant,
        prepare=prepare,
        leaves=leaves,
        skips=skips,
        ignore=ignore,
        committing=committing,
        mark=mark,
        carriers=carriers,
    )
