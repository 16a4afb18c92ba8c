"""Every saga of this project ends wholly confirmed or wholly undone, whatever goes wrong at whichever operation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models.functions import Now
from pytest_django import DjangoDbBlocker

from coupons.models import Coupon
from delivery.models import Slot
from inventory.models import Sku
from orders import services
from orders.models import Order
from orders.sagas import PlaceOrder
from orders.services import Wanted
from sagas import Saga
from sagas.testing import Ended, saga_matrix
from sagas.testing.troubles import Case
from tests.lab.models import Jar, JarHold, Mark
from tests.lab.sagas import (
    Charged,
    Experiment,
    Forked,
    Hopeless,
    Hurried,
    Lab,
    Pivoted,
    ShortLab,
    Telling,
    Twice,
    Unconfirmed,
)

TABLES = (
    "orders_order, orders_orderline, orders_idempotencykey, inventory_sku, inventory_skuhold, delivery_slot, "
    "delivery_slothold, coupons_coupon, coupons_redemption, lab_mark, lab_jar, lab_jarhold, lab_label"
)


@pytest.fixture(scope="module")
def empty(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Nothing of other tests: the cases compare whole tables."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {TABLES}")


# -- The shop's -----------------------------------------------------------------------------------------------


def place() -> UUID:
    """Open a shop, and place an order in it: two cups, with a coupon."""
    code = uuid4().hex[:8]
    customer = get_user_model()._default_manager.create(username=f"customer-{code}")
    Sku.objects.create(code=f"TEA-{code}", name="Tea", price_cents=1500, available=10)
    tomorrow = Now() + timedelta(days=1)
    slot = Slot.objects.create(starts_at=tomorrow, ends_at=tomorrow + timedelta(hours=2), available=5)
    Coupon.objects.create(code=f"C-{code}", discount_cents=500, expires_at=tomorrow)
    return services.place_order(
        order_no=f"D-{code}",
        customer_id=customer.pk,
        items=[Wanted(f"TEA-{code}", 2)],
        slot=slot.pk,
        coupon=f"C-{code}",
    )


def an_order_has_all_or_nothing(ended: Ended) -> None:
    """The invariant: cups, place and coupon are gone if the order is confirmed, and there again if not."""
    order = Order.objects.get(run_id=ended.run_id)
    code = order.order_no.removeprefix("D-")
    cups = Sku.objects.values_list("available", "held", "sold").get(code=f"TEA-{code}")
    places = Slot.objects.values_list("available", "held", "sold").get(pk=order.slot)
    used = Coupon.objects.get(code=f"C-{code}").used
    if ended.succeeded:
        assert (order.status, cups, places, used) == ("CONFIRMED", (8, 0, 2), (4, 0, 1), True)
    else:
        assert (order.status, cups, places, used) == ("REJECTED", (10, 0, 0), (5, 0, 0), False)


def killed_under_one_carrier(case: Case) -> list[Any]:
    return [pytest.mark.slow] if case.deadly and case.carrier == "choreography" else []


test_place_order = saga_matrix(
    PlaceOrder,
    place,
    invariant=an_order_has_all_or_nothing,
    fixtures=["empty"],
    committing=["alone"],
    mark=killed_under_one_carrier,
)


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
    return case.saga is Lab and case.carrier == "orchestration" and not case.deadly


def unwinds(saga: type[Saga[Any]]) -> Any:
    """The matrix of a laboratory's saga."""
    return saga_matrix(
        saga,
        an_experiment,
        invariant=marks_and_jars_agree,
        fixtures=["empty"],
        committing=["alone"],
        mark=lambda case: [] if quick(case) else [pytest.mark.slow],
    )


test_lab = unwinds(Lab)
test_short_lab = unwinds(ShortLab)
test_unconfirmed = unwinds(Unconfirmed)
test_twice = unwinds(Twice)
test_forked = unwinds(Forked)
test_pivoted = unwinds(Pivoted)
test_charged = unwinds(Charged)
test_hopeless = unwinds(Hopeless)
test_hurried = unwinds(Hurried)
test_telling = unwinds(Telling)
