"""A customer's orders on pages: only one's own, as they stand, and what can still be done."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from pytest_django import Settings

from orders.api import streams
from orders.models import Order
from orders.services import receive_payment
from payments.services import SUCCEEDED, Message
from sagas.testing import Scenario, given_run
from tests.shop.conftest import Api, Shop


@pytest.fixture
def browser(shop: Shop) -> Client:
    client = Client()
    client.force_login(shop.customer)
    return client


def placed(api: Api, shop: Shop, **changes: Any) -> str:
    return str(api.order(shop, **changes).body["order_no"])


def run(order_no: str) -> Scenario:
    return given_run(Order.objects.get(order_no=order_no).run_id)


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def pay(order_no: str) -> None:
    word = uuid4().hex
    receive_payment(message=Message(f"msg-{word}", "{}", order_no, f"pay-{word}", 2500, "CNY", SUCCEEDED))


def test_an_orders_page_tells_its_life(browser: Client, api: Api, shop: Shop, settings: Settings) -> None:
    settings.PAYMENT_PAGE = "https://pay.example/pay?order_no={order_no}&amount={amount}&currency={currency}"
    order_no = placed(api, shop)
    page = f"/orders/{order_no}/"
    assert "Received. We look whether everything is there." in text(browser, page)
    # When its steps are done
    run(order_no).then_waits()
    shown = text(browser, page)
    assert "Reserved for you. Please pay." in shown
    assert "2 × Tea" in shown
    assert "data-seconds=" in shown
    assert f'href="https://pay.example/pay?order_no={order_no}&amp;amount=2500&amp;currency=CNY"' in shown
    # When it is paid
    pay(order_no)
    shown = text(browser, page)
    assert "Paid. We confirm it." in shown
    assert "pay.example" not in shown
    assert "Cancel the order" not in shown
    run(order_no).then_succeeded()
    shown = text(browser, page)
    assert "Confirmed." in shown
    assert "¥25.00</span> · taken" in shown
    # The store has still something to tell
    assert f'data-events="/api/v1/orders/{order_no}/events/' in shown


def test_an_order_that_could_not_be_says_why(browser: Client, api: Api, shop: Shop) -> None:
    order_no = placed(api, shop, items=[{"sku": shop.tea.code, "quantity": 101}])
    run(order_no).then_failed()
    shown = text(browser, f"/orders/{order_no}/")
    assert "Cancelled." in shown
    assert "101" in shown
    # Nothing more will come
    assert 'data-events=""' in shown


def test_a_customer_cancels_by_the_page_once_or_twice(browser: Client, api: Api, shop: Shop) -> None:
    order_no = placed(api, shop)
    for _ in range(2):
        answer = browser.post(f"/orders/{order_no}/cancel/", follow=True)
        assert "The order is cancelled." in answer.content.decode()
    run(order_no).then_failed()
    assert "Cancelled. You have cancelled it." in text(browser, f"/orders/{order_no}/")
    assert browser.get(f"/orders/{order_no}/cancel/").status_code == 405


def test_a_confirmed_order_is_not_cancelled_and_the_page_says_so(browser: Client, api: Api, shop: Shop) -> None:
    order_no = placed(api, shop)
    run(order_no).then_waits()
    pay(order_no)
    answer = browser.post(f"/orders/{order_no}/cancel/")
    assert answer.status_code == 409
    assert 'role="alert"' in answer.content.decode()


def test_another_customers_order_is_not_there(browser: Client, stranger: Api, shop: Shop) -> None:
    theirs = placed(stranger, shop)
    assert browser.get(f"/orders/{theirs}/").status_code == 404
    assert browser.post(f"/orders/{theirs}/cancel/").status_code == 404
    assert theirs not in text(browser, "/orders/")
    assert browser.get("/orders/NO-SUCH/").status_code == 404


def test_the_list_goes_on_page_by_page(browser: Client, api: Api, shop: Shop) -> None:
    numbers = [placed(api, shop) for _ in range(22)]
    first = text(browser, "/orders/")
    assert [number in first for number in numbers] == [False] * 2 + [True] * 20
    last = Order.objects.get(order_no=numbers[2]).pk
    assert f"?before={last}" in first
    second = text(browser, f"/orders/?before={last}")
    assert [number in second for number in numbers] == [True] * 2 + [False] * 20
    # What no page has offered begins from the start
    assert numbers[-1] in text(browser, "/orders/?before=x")


def test_the_page_opens_the_events_of_its_order_and_of_no_other(browser: Client, api: Api, shop: Shop) -> None:
    order_no, other = placed(api, shop), placed(api, shop)
    shown = text(browser, f"/orders/{order_no}/")
    url = streams.ticket_url(customer_id=shop.customer.pk, order_no=order_no)
    assert f'data-events="/api/v1/orders/{order_no}/events/?ticket=' in shown
    # 503: it would wait, and the test's client cannot
    assert Api().get(url).status == 503
    assert Api().get(url.replace(order_no, other)).status == 401


def test_an_order_whose_run_is_gone_is_shown_all_the_same(browser: Client, api: Api, shop: Shop) -> None:
    order_no = placed(api, shop)
    Order.objects.filter(order_no=order_no).update(status="CONFIRMED", run_id=uuid4())
    assert "Confirmed." in text(browser, f"/orders/{order_no}/")
