"""What one customer, or one address, may have ordered and not paid: nobody holds all the cups there are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from pytest_django import Settings

import sagas
from orders import demo
from orders.models import Order
from tests.shop.conftest import ORDERS, Api, Reply, Shop


@pytest.fixture(autouse=True)
def caps(settings: Settings) -> dict[str, Any]:
    """Small bounds, which a test may change."""
    found: dict[str, Any] = {"customer": {"orders": 3, "cups": 10}, "address": {"orders": 5, "cups": 14}}
    settings.OPEN_ORDERS = found
    return found


def order(api: Api, shop: Shop, cups: int = 1, *, address: str = "127.0.0.1", **headers: str) -> Reply:
    body = shop.body(items=[{"sku": shop.tea.code, "quantity": cups}])
    api.client.defaults["REMOTE_ADDR"] = address
    return api.post(ORDERS, body, **headers)


def another(n: int) -> Api:
    """A client of one more customer."""
    return Api(demo.token(customer=get_user_model()._default_manager.create(username=f"another-{n}")))


def test_the_open_orders_of_a_customer_are_bounded(api: Api, stranger: Api, shop: Shop) -> None:
    for _ in range(3):
        assert order(api, shop).status == 202
    refused = order(api, shop)
    assert (refused.status, refused.problem) == (429, "too-many-open-orders")
    assert refused.headers["Retry-After"] == "30"
    assert Order.objects.filter(customer=shop.customer).count() == 3
    # And nobody else is the worse for it
    assert order(stranger, shop).status == 202


def test_the_open_cups_of_a_customer_are_bounded(api: Api, shop: Shop) -> None:
    assert order(api, shop, 6).status == 202
    assert order(api, shop, 5).problem == "too-many-open-orders"
    assert order(api, shop, 4).status == 202


def test_an_order_that_could_never_be_placed_is_refused_for_good(api: Api, shop: Shop) -> None:
    refused = order(api, shop, 11)
    assert (refused.status, refused.problem, refused.pointers) == (422, "too-many-cups", ["#/items"])


@pytest.mark.parametrize("end", ["paid", "cancelled"])
def test_a_paid_or_undone_order_is_not_open(api: Api, shop: Shop, end: str) -> None:
    # Given
    for _ in range(3):
        order(api, shop)
    first = Order.objects.filter(customer=shop.customer).earliest("id")
    # When
    if end == "cancelled":
        api.post(f"{ORDERS}{first.order_no}/cancel/")
    else:
        sagas.confirm(first.run_id, "payment", {"payment_id": "pay_1"})
    # Then
    assert order(api, shop).status == 202


def test_an_order_whose_run_has_failed_is_not_open_whatever_its_status(api: Api, shop: Shop) -> None:
    for _ in range(3):
        order(api, shop)
    run_id = Order.objects.filter(customer=shop.customer).latest("id").run_id
    sagas.cancel(run_id, reason="gone")
    assert Order.objects.get(run_id=run_id).status == "RECEIVED"
    assert order(api, shop).status == 202


def test_a_repeat_of_an_open_order_gets_its_answer(api: Api, shop: Shop) -> None:
    for n in range(3):
        assert order(api, shop, Idempotency_Key=f"key-{n}").status == 202
    assert order(api, shop, Idempotency_Key="key-0").status == 202
    # And one that was refused may come again with its key
    assert order(api, shop, Idempotency_Key="later").status == 429
    api.post(f"{ORDERS}{Order.objects.latest('id').order_no}/cancel/")
    assert order(api, shop, Idempotency_Key="later").status == 202


def test_the_open_orders_of_an_address_are_bounded_for_all_customers(shop: Shop, caps: dict[str, Any]) -> None:
    for n in range(5):
        assert order(another(n), shop, address="203.0.113.7").status == 202
    assert order(another(5), shop, address="203.0.113.7").problem == "too-many-open-orders"
    assert order(another(6), shop, address="203.0.113.8").status == 202
    caps["address"]["orders"] = 0
    assert order(another(7), shop, 10, address="203.0.113.7").problem == "too-many-open-orders"
    assert order(another(8), shop, 9, address="203.0.113.7").status == 202


def test_the_address_of_a_local_proxy_is_not_counted(shop: Shop) -> None:
    for n in range(7):
        assert order(another(n), shop, address="127.0.0.1").status == 202
        assert Order.objects.latest("id").address is None


def test_a_trusted_proxy_names_the_address_of_the_client(shop: Shop, settings: Settings) -> None:
    from rest_framework.settings import api_settings

    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": 1}
    api_settings.reload()
    assert order(another(1), shop, X_Forwarded_For="198.51.100.9, 203.0.113.9").status == 202
    assert Order.objects.latest("id").address == "203.0.113.9"
    for n, nonsense in enumerate(("unknown", "", "203.0.113.9:4711", "x" * 300)):
        assert order(another(2 + n), shop, X_Forwarded_For=nonsense).status == 202
        assert Order.objects.latest("id").address is None


def test_without_bounds_no_query_is_made(api: Api, shop: Shop, caps: dict[str, Any]) -> None:
    caps["customer"] = caps["address"] = {"orders": 0, "cups": 0}
    for _ in range(6):
        assert order(api, shop, 20, address="203.0.113.7").status == 202


def test_simultaneous_orders_do_not_exceed_the_bound(lasting_shop: Shop) -> None:
    token = demo.token(customer=lasting_shop.customer)

    def place(_: int) -> int:
        try:
            return order(Api(token), lasting_shop).status
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(place, range(16)))
    assert statuses.count(202) == 3
    assert statuses.count(429) == 13
