"""The order page: what it shows, what it takes, and that one page is one order."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from inventory.models import Batch, Sku
from orders.models import IdempotencyKey, Order
from sagas import Overloaded
from sagas.models import Run
from tests.shop.conftest import Shop

PAGE = "/order/"


@pytest.fixture
def browser(shop: Shop) -> Client:
    client = Client()
    client.force_login(shop.customer)
    return client


def key_in(page: Any) -> str:
    found = re.search(r'name="key" value="([^"]+)"', page.content.decode())
    assert found is not None
    return found[1]


def form(shop: Shop, page_key: str, **changes: str) -> dict[str, str]:
    return {"key": page_key, "slot": str(shop.slot.pk), "kind": "SLOT", f"cups:{shop.tea.code}": "2", **changes}


def test_somebody_orders_by_a_page(browser: Client, shop: Shop) -> None:
    page = browser.get(PAGE)
    assert "¥12.50" in page.content.decode()
    answer = browser.post(PAGE, form(shop, key_in(page), expected="2500"))
    order = Order.objects.get(customer=shop.customer)
    assert (answer.status_code, answer["Location"]) == (302, f"/orders/{order.order_no}/")
    assert order.total_cents == 2500
    assert Run.objects.get(pk=order.run_id).saga == "orders.PlaceOrder"


def test_a_form_that_is_sent_twice_is_one_order_and_two_pages_are_two(browser: Client, shop: Shop) -> None:
    first, second = key_in(browser.get(PAGE)), key_in(browser.get(PAGE))
    # When the button of a page is pressed twice
    answers = [browser.post(PAGE, form(shop, first)) for _ in range(2)]
    # Then both lead to one order
    assert len({answer["Location"] for answer in answers}) == 1
    assert Order.objects.filter(customer=shop.customer).count() == 1
    # And when the same is ordered by another page, then it is another order
    assert browser.post(PAGE, form(shop, second))["Location"] != answers[0]["Location"]
    assert Order.objects.filter(customer=shop.customer).count() == 2


def test_a_page_orders_no_second_basket(browser: Client, shop: Shop) -> None:
    key = key_in(browser.get(PAGE))
    browser.post(PAGE, form(shop, key))
    answer = browser.post(PAGE, form(shop, key, **{f"cups:{shop.tea.code}": "3"}))
    assert answer.status_code == 422
    assert "This page was used for an order already" in answer.content.decode()
    assert Order.objects.filter(customer=shop.customer).count() == 1


def test_a_page_that_is_shown_again_for_an_error_keeps_its_key_and_what_was_chosen(browser: Client, shop: Shop) -> None:
    key = key_in(browser.get(PAGE))
    answer = browser.post(PAGE, form(shop, key, coupon="NOSUCH"))
    assert answer.status_code == 422
    text = answer.content.decode()
    assert "The coupon cannot be used." in text
    assert key_in(answer) == key
    assert f'value="{shop.slot.pk}" selected' in text
    assert 'value="2" data-cents' in text
    # Then it can be mended
    assert browser.post(PAGE, form(shop, key)).status_code == 302


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"slot": ""}, "Choose a time."),
        ({"slot": "x"}, "Choose a time."),
        ({"slot": "99999999999999999999999"}, "Choose a time."),
        ({"cups": "0"}, "Choose a drink."),
        ({"cups": "100"}, "between 0 and 99"),
        ({"cups": "-1"}, "between 0 and 99"),
        ({"cups": "1.5"}, "between 0 and 99"),
        ({"cups": "٣"}, "between 0 and 99"),
        ({"coupon": "x" * 33}, "no code of a coupon"),
        ({"coupon": "a\0b"}, "no code of a coupon"),
        ({"key": ""}, "The form is incomplete"),
        ({"key": "mine"}, "The form is incomplete"),
        ({"kind": "COURIER"}, "The form is incomplete"),
    ],
)
def test_an_odd_form_is_refused_and_leaves_nothing(
    browser: Client, shop: Shop, changes: dict[str, str], told: str
) -> None:
    sent = form(shop, key_in(browser.get(PAGE)), **changes)
    if "cups" in sent:
        sent[f"cups:{shop.tea.code}"] = sent.pop("cups")
    answer = browser.post(PAGE, sent)
    assert answer.status_code == 422
    assert told in answer.content.decode()
    assert not Order.objects.filter(customer=shop.customer).exists()
    assert not IdempotencyKey.objects.filter(customer=shop.customer).exists()


def test_an_unknown_drink_and_a_slot_that_is_gone_are_refused(browser: Client, shop: Shop) -> None:
    for changes, told in (
        ({"cups:NO\0NE": "1"}, "The form is incomplete"),
        ({"cups:NONE": "1"}, "There is no SKU NONE."),
        ({f"cups:{shop.gone.code}": "1"}, "not on the menu any more"),
        ({"slot": str(shop.past.pk)}, "has begun already"),
    ):
        answer = browser.post(PAGE, form(shop, key_in(browser.get(PAGE)), **changes))
        assert answer.status_code == 422, changes
        assert told in answer.content.decode()
    assert not Order.objects.filter(customer=shop.customer).exists()


def test_a_price_that_has_changed_is_shown_before_anything_is_ordered(browser: Client, shop: Shop) -> None:
    from orders import offers

    key = key_in(browser.get(PAGE))
    Sku.objects.filter(pk=shop.tea.pk).update(price_cents=1300)
    offers.forget()
    answer = browser.post(PAGE, form(shop, key, expected="2500"))
    assert answer.status_code == 422
    assert "¥13.00" in answer.content.decode()
    assert not Order.objects.filter(customer=shop.customer).exists()
    assert browser.post(PAGE, form(shop, key, expected="2600")).status_code == 302


def test_pick_up_is_another_saga(browser: Client, shop: Shop) -> None:
    browser.post(PAGE, form(shop, key_in(browser.get(PAGE)), kind="PICK_UP"))
    order = Order.objects.get(customer=shop.customer)
    assert Run.objects.get(pk=order.run_id).saga == "orders.PlaceStoreOrder"


def test_what_is_sold_out_cannot_be_chosen(browser: Client, shop: Shop) -> None:
    Batch.objects.filter(pk=shop.tea.pk).update(available=0, sold=100)
    text = browser.get(PAGE).content.decode()
    assert "sold out" in text
    assert re.search(rf'name="cups:{shop.tea.code}"[^>]* disabled', text)


def test_an_overload_is_told_and_the_page_can_be_sent_again(
    browser: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overloaded(**_: object) -> None:
        raise Overloaded("too much", retry_after=7)

    key = key_in(browser.get(PAGE))
    with monkeypatch.context() as patched:
        patched.setattr("sagas.check_admission", overloaded)
        answer = browser.post(PAGE, form(shop, key))
    assert (answer.status_code, answer["Retry-After"]) == (503, "7")
    assert "Send it again in a moment" in answer.content.decode()
    assert browser.post(PAGE, form(shop, key)).status_code == 302


def test_the_limits_of_the_api_are_those_of_the_page(browser: Client, shop: Shop, settings: Settings) -> None:
    settings.ORDERS_PER_MINUTE = 2
    answers = [browser.post(PAGE, form(shop, key_in(browser.get(PAGE)))) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [302, 302, 429]
    settings.COUPON_GUESSES_PER_MINUTE, settings.ORDERS_PER_MINUTE = 1, 1000
    guesses = [browser.post(PAGE, form(shop, key_in(browser.get(PAGE)), coupon=f"GUESS{n}")) for n in range(3)]
    assert [answer.status_code for answer in guesses] == [422, 429, 429]
