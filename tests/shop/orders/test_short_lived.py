"""Orders whose drinks spoil soon, or which are due soon: all their steps are one commit, and so are their confirms."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from delivery.models import Fulfilment, Slot
from inventory.models import Sku
from inventory.services import add_sku
from orders import demo, offers
from orders.models import Order
from sagas import runtime
from sagas.models import Run
from sagas.testing import given_run
from tests.shop.conftest import Api, Shop
from tests.support import tables

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api(lasting_shop: Shop) -> Api:
    offers.forget()
    # What other tests have left would keep an order that is due soon waiting for too long.
    tables.empty("sagas_run", "sagas_log", "sagas_confirmation")
    runtime.memory.looks = ()
    return Api(demo.token(customer=lasting_shop.customer))


@pytest.fixture
def juice(lasting_shop: Shop) -> Sku:
    return add_sku(
        code=f"JUICE-{lasting_shop.tea.code}", name="Juice", price_cents=900, available=10, shelf_life_minutes=119
    )


def order(api: Api, shop: Shop, **changes: Any) -> UUID:
    reply = api.order(shop, **changes)
    assert reply.status == 202, reply.body
    run_id: UUID = Order.objects.get(order_no=reply.body["order_no"]).run_id
    return run_id


def saga(run_id: UUID) -> str:
    return str(Run.objects.values_list("saga", flat=True).get(pk=run_id))


def commits(run_id: UUID) -> int:
    """How many transactions have written what the steps of a run did."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT xmin::text) FROM sagas_log WHERE run_id = %s AND outcome = %s", [run_id, "DONE"]
        )
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("fulfilment", [None, {"kind": "PICK_UP"}], ids=["slot", "picked up"])
def test_an_order_of_drinks_that_spoil_soon_has_one_commit_for_its_steps_and_one_for_its_confirms(
    api: Api, lasting_shop: Shop, juice: Sku, fulfilment: dict[str, str] | None
) -> None:
    # Given a juice beside a tea that keeps
    items = [{"sku": lasting_shop.tea.code, "quantity": 1}, {"sku": juice.code, "quantity": 1}]
    run_id = order(api, lasting_shop, items=items, **({"fulfilment": fulfilment} if fulfilment else {}))
    assert saga(run_id) == "orders.PlaceShortLivedOrder"

    # When it is performed and paid
    given_run(run_id).then_waits()
    assert commits(run_id) == 1
    given_run(run_id).when_confirmed().then_succeeded()

    # Then
    assert commits(run_id) == 2
    assert Fulfilment.objects.get(run_id=run_id).kind == (fulfilment or {"kind": "SLOT"})["kind"]


def test_an_order_that_is_due_soon_is_short_lived_too(api: Api, lasting_shop: Shop) -> None:
    soon = timezone.now() + timedelta(minutes=4)
    slot = Slot.objects.create(starts_at=soon, ends_at=soon + timedelta(minutes=10), available=5)
    assert saga(order(api, lasting_shop, slot=slot.pk)) == "orders.PlaceShortLivedOrder"


def test_other_orders_are_performed_as_ever(api: Api, lasting_shop: Shop, juice: Sku) -> None:
    assert saga(order(api, lasting_shop)) == "orders.PlaceOrder"
    assert saga(order(api, lasting_shop, fulfilment={"kind": "PICK_UP"})) == "orders.PlaceStoreOrder"
    Sku.objects.filter(pk=juice.pk).update(shelf_life_minutes=120)
    offers.forget()
    assert saga(order(api, lasting_shop, items=[{"sku": juice.code, "quantity": 1}])) == "orders.PlaceOrder"


def test_the_juice_of_the_demo_is_short_lived_and_its_teas_are_not(lasting_shop: Shop) -> None:
    demo.seed()
    assert offers.is_short_lived(codes=["OOLONG-M", "JUICE-M"], slot=lasting_shop.slot.pk)
    assert not offers.is_short_lived(codes=["OOLONG-M"], slot=lasting_shop.slot.pk)
