"""What the matrices of this project's sagas are played with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db.models.functions import Now

from coupons.models import Coupon
from delivery.models import Slot
from inventory.models import Sku
from orders import services
from orders.models import Order
from orders.services import Wanted
from payments.models import Payment
from payments.sagas import ReturnPayment
from sagas import Saga
from sagas.models import Confirmation, Run
from sagas.testing import Ended, Scenario, saga_matrix
from sagas.testing.matrix.cases import Case
from tests.lab.models import Jar, JarHold, Mark
from tests.lab.sagas import Experiment, Lab
from tests.support import tables

_TABLES = (
    "orders_order",
    "orders_orderline",
    "orders_idempotencykey",
    "inventory_sku",
    "inventory_skuhold",
    "delivery_slot",
    "delivery_slothold",
    "coupons_coupon",
    "coupons_redemption",
    "payments_payment",
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


def place() -> UUID:
    """Open a shop, and place an order in it: two cups, with a coupon."""
    code = uuid4().hex[:8]
    customer = get_user_model()._default_manager.create(username=f"customer-{code}")
    Sku.objects.create(code=f"TEA-{code}", name="Tea", price_cents=1500, available=10)
    tomorrow = Now() + timedelta(days=1)
    slot = Slot.objects.create(starts_at=tomorrow, ends_at=tomorrow + timedelta(hours=2), available=5)
    Coupon.objects.create(code=f"C-{code}", discount_cents=500, expires_at=tomorrow)
    run_id = services.place_order(
        order_no=f"D-{code}",
        customer_id=customer.pk,
        items=[Wanted(f"TEA-{code}", 2)],
        slot=slot.pk,
        coupon=f"C-{code}",
    )
    # In the shop it is there with the run's confirmation. Here that comes by itself, where a case wants it.
    Payment.objects.create(
        payment_id=f"pay-{code}", order_no=f"D-{code}", run_id=run_id, amount=2500, currency="CNY", state="TAKEN"
    )
    return run_id


def an_order_has_all_or_nothing(ended: Ended) -> None:
    """The invariant: cups, place and coupon are gone if the order is confirmed, and there again if not; so is money."""
    order = Order.objects.get(run_id=ended.run_id)
    code = order.order_no.removeprefix("D-")
    cups = Sku.objects.values_list("available", "held", "sold").get(code=f"TEA-{code}")
    places = Slot.objects.values_list("available", "held", "sold").get(pk=order.slot)
    used = Coupon.objects.get(code=f"C-{code}").used
    payment = Payment.objects.get(run_id=ended.run_id)
    returns = Run.objects.filter(saga=ReturnPayment.name, business_key=payment.payment_id).count()
    owed = not ended.succeeded and Confirmation.objects.filter(run_id=ended.run_id).exists()
    # Its return is a run of its own, which may have begun.
    assert (payment.state in {"DUE_BACK", "RETURNING"}, payment.state == "TAKEN") == (owed, not owed)
    assert (payment.reason, returns) == (("undone", 1) if owed else ("", 0))
    if ended.succeeded:
        assert (order.status, cups, places, used) == ("CONFIRMED", (8, 0, 2), (4, 0, 1), True)
    else:
        assert (order.status, cups, places, used) == ("REJECTED", (10, 0, 0), (5, 0, 0), False)


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
    return case.saga is Lab and case.carrier == "orchestration" and not case.kills_process


def unwinds(
    saga: type[Saga[Any]],
    request: Callable[[], object] = an_experiment,
    *,
    invariant: Callable[[Ended], object] = marks_and_jars_agree,
    prepare: Callable[[Scenario], object] | None = None,
    leaves: Sequence[str] = RECORDS,
    ignore: Sequence[str] = (),
    committing: Sequence[str] = ("alone",),
    mark: Callable[[Case], list[Any]] = lambda case: [] if quick(case) else [pytest.mark.slow],
) -> Any:
    """The matrix of a saga, under both carriers. The laboratory's marks and labels stay, to say what was done."""
    covered.add(saga)
    return saga_matrix(
        saga,
        request,
        invariant=invariant,
        prepare=prepare,
        leaves=leaves,
        ignore=ignore,
        committing=committing,
        mark=mark,
    )
