"""What one customer, or one address, may have ordered and not paid: nobody holds all the cups there are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from pytest_django import Settings

import sagas
from orders import demo
from orders.models import Order
from tests.shop.conftest import ORDERS, Api, Reply, Shop
from tests.support.awaiting import eventually


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


@pytest.mark.parametrize("customer", [10, 0])
def test_the_first_order_of_an_address_is_bounded_too(shop: Shop, caps: dict[str, Any], customer: int) -> None:
    # Given an address that may have fewer cups than one of its customers
    caps["address"]["cups"], caps["customer"]["cups"] = 4, customer
    assert order(another(0), shop, 5, address="203.0.113.7").problem == "too-many-open-orders"
    assert order(another(1), shop, 4, address="203.0.113.7").status == 202


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


@pytest.mark.parametrize("bound", [1, 3])
def test_simultaneous_orders_do_not_exceed_the_bound(lasting_shop: Shop, caps: dict[str, Any], bound: int) -> None:
    caps["customer"]["orders"] = bound
    token = demo.token(customer=lasting_shop.customer)

    def place(number: int) -> int:
        try:
            # With and without keys: both ways have the same lock
            if number % 2:
                return order(Api(token), lasting_shop, Idempotency_Key=f"key-{number}").status
            return order(Api(token), lasting_shop).status
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(place, range(16)))
    assert statuses.count(202) == bound
    assert statuses.count(429) == 16 - bound


def test_an_order_waits_for_the_one_before_it_and_counts_it(lasting_shop: Shop, caps: dict[str, Any]) -> None:
    # Given a limit of one, and an order that is inserted and not committed
    caps["customer"]["orders"] = 1
    token = demo.token(customer=lasting_shop.customer)

    def second() -> Reply:
        try:
            return order(Api(token), lasting_shop)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            assert order(Api(token), lasting_shop).status == 202
            # When another one comes
            waiting = threads.submit(second)
            eventually(waits_for_advisory_lock, what="the second order waits for the first")
        # Then it has not decided by what it saw when it began
        assert waiting.result(30).problem == "too-many-open-orders"
    assert Order.objects.filter(customer=lasting_shop.customer).count() == 1


def waits_for_advisory_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)")
        return bool(cursor.fetchone()[0])


def test_a_first_order_is_one_statement_without_a_transaction(lasting_shop: Shop) -> None:
    api = Api(demo.token(customer=lasting_shop.customer))
    seen: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    # Given prices, token and backlog that are remembered
    assert order(api, lasting_shop).status == 202
    Order.objects.update(status="REJECTED")
    with connection.execute_wrapper(note):
        assert order(api, lasting_shop, Idempotency_Key="key").status == 202
    # Then the order is one statement, besides its preparation
    written = [sql for sql in seen if "orders_order" in sql or sql.startswith(("EXECUTE", "SAVEPOINT"))]
    assert [sql.split()[0] for sql in written if not sql.startswith("PREPARE")] == ["EXECUTE"], seen
    # And a second one, which must be compared, is as right
    assert order(api, lasting_shop, Idempotency_Key="another").status == 202


@pytest.mark.parametrize("held", [0, 2])
def test_the_orders_of_a_busy_address_are_compared_exactly(shop: Shop, caps: dict[str, Any], held: int) -> None:
    # Given a limit of cups at an address that others come near
    caps["customer"], caps["address"] = {"orders": 0, "cups": 0}, {"orders": 0, "cups": 4}
    for n in range(held):
        assert order(another(n), shop, 1, address="203.0.113.7").status == 202
    # Then what is left is given, and no more
    assert order(another(7), shop, 5 - held, address="203.0.113.7").status == 429
    assert order(another(8), shop, 4 - held, address="203.0.113.7").status == 202
    assert order(another(9), shop, 1, address="203.0.113.7").status == 429
