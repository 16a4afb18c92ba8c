"""Conditional reads: who has the present version is answered 304, and each change is another version."""

from __future__ import annotations

import pytest
from django.db.models import F
from pytest_django import DjangoAssertNumQueries

import sagas
from delivery.models import Slot
from inventory.models import Batch
from orders import demo, selectors
from orders.models import Order
from sagas.models import Run
from sagas.pool import Pool
from tests.shop.conftest import ORDERS, Api, Shop
from tests.support.carrier import Carrier


def version(order_no: str) -> str:
    order = Order.objects.get(order_no=order_no)
    return selectors.version_of(customer_id=order.customer_id, order_no=order_no)[1]


def test_each_change_of_an_order_is_another_version(lasting_shop: Shop, no_worker: None) -> None:
    # Given
    order_no = Api(demo.token(customer=lasting_shop.customer)).order(lasting_shop).body["order_no"]
    run = Run.objects.get(business_key=order_no)
    seen = [version(order_no)]
    assert version(order_no) == seen[0]

    # When it goes on, and is undone
    Carrier().run([run.id])
    seen.append(version(order_no))
    sagas.cancel(run.id, reason="test")
    seen.append(version(order_no))
    Carrier().run([run.id])
    seen.append(version(order_no))

    # Then
    assert len(set(seen)) == len(seen)


def test_who_has_the_version_of_an_order_gets_no_body_and_costs_few_queries(
    api: Api, shop: Shop, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    path = f"{ORDERS}{api.order(shop).body['order_no']}/"
    first = api.get(path)
    etag = first.headers["ETag"]
    assert etag.startswith('W/"')
    with django_assert_max_num_queries(4):
        again = api.get(path, If_None_Match=etag)
    assert again.status == 304
    assert not again.body
    assert again.headers["ETag"] == etag
    # Both name the saga
    assert again.headers["X-Saga-ID"] == first.headers["X-Saga-ID"] == str(Order.objects.get().run_id)
    assert api.get(path, If_None_Match='W/"other", "others"').status == 200
    assert api.get(path, If_None_Match=f'"x", {etag}').status == 304


@pytest.mark.parametrize("path", ["/api/v1/menu/", "/api/v1/slots/"])
def test_menu_and_slots_have_versions(api: Api, shop: Shop, path: str) -> None:
    # Given
    etag = api.get(path).headers["ETag"]
    assert api.get(path, If_None_Match=etag).status == 304

    # When
    pools: dict[str, type[Pool]] = {"menu": Batch, "slots": Slot}
    pool = pools[path.split("/")[-2]]._default_manager.filter(pk=shop.tea.code if "menu" in path else shop.slot.pk)
    assert pool.update(available=F("available") - 1) == 1

    # Then
    assert api.get(path, If_None_Match=etag).status == 200
