"""What a customer does on the page of a confirmed order: follow it in its store, take another time, give it back."""

from __future__ import annotations

from datetime import time, timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from delivery.models import Closure, Fulfilment, FulfilmentState, OpeningHours, Slot, SlotHold, Store
from orders.fulfilment import services
from orders.models import Order, OrderRefund
from sagas.testing import given_run
from tests.shop.conftest import Api, Shop
from tests.shop.pages.test_history import browser, pay, placed, run, text

__all__ = ["browser"]
MAKING = FulfilmentState.MAKING


@pytest.fixture
def order_no(api: Api, shop: Shop) -> str:
    number = placed(api, shop)
    pay(number)
    run(number).then_succeeded()
    return number


@pytest.fixture
def other(shop: Shop) -> Slot:
    """Another time at the same store."""
    start = shop.slot.starts_at + timedelta(hours=2)
    return Slot.objects.create(starts_at=start, ends_at=start + timedelta(hours=1), available=1)


def move(order_no: str, to: FulfilmentState, reason: str = "") -> None:
    work = Fulfilment.objects.get(order_no=order_no)
    services.move(order_no=order_no, to=to, version=work.version, by="li", reason=reason)


def test_the_page_shows_how_far_the_store_is(browser: Client, api: Api, shop: Shop, order_no: str) -> None:
    unpaid = placed(api, shop)
    assert "In the store" not in text(browser, f"/orders/{unpaid}/")
    assert "<b>Accepted</b>" in text(browser, f"/orders/{order_no}/")
    move(order_no, MAKING)
    assert "It is being made." in text(browser, f"/orders/{order_no}/")
    move(order_no, FulfilmentState.REFUSED, "no milk left")
    shown = text(browser, f"/orders/{order_no}/")
    assert "<b>Making</b>" in shown
    assert "<b>Refused</b>" in shown
    assert "no milk left" in shown
    # Nobody reads of a drink that does not come that it is confirmed
    assert "Cancelled. What you paid goes back." in shown
    assert "li" not in [word.strip("<>/") for word in shown.split() if word == "li"]


def test_another_time_is_taken_on_the_page(browser: Client, shop: Shop, order_no: str, other: Slot) -> None:
    page = f"/orders/{order_no}/"
    assert f'<option value="{other.pk}">' in text(browser, page)
    for _ in range(2):
        answer = browser.post(f"{page}rebook/", {"slot": str(other.pk)}, follow=True)
        assert "You have another time." in answer.content.decode()
    # Booked there, and released here
    other.refresh_from_db()
    shop.slot.refresh_from_db()
    assert (other.available, other.sold, shop.slot.available, shop.slot.sold) == (0, 1, 50, 0)
    assert SlotHold.objects.get(run_id=Order.objects.get(order_no=order_no).run_id).pool_key == str(other.pk)


@pytest.mark.parametrize("slot", ["", "x", "0", "99999999999999999999", "full"])
def test_a_time_that_cannot_be_had_changes_nothing(
    browser: Client, shop: Shop, order_no: str, other: Slot, slot: str
) -> None:
    Slot.objects.filter(pk=other.pk).update(available=0, sold=1)
    answer = browser.post(f"/orders/{order_no}/rebook/", {"slot": str(other.pk) if slot == "full" else slot})
    assert answer.status_code == 409
    assert "Choose another one" in answer.content.decode()
    assert Order.objects.get(order_no=order_no).slot == shop.slot.pk


def test_a_confirmed_order_is_given_back_once(browser: Client, shop: Shop, order_no: str) -> None:
    page = f"/orders/{order_no}/"
    assert "Cancel, and get the money back" in text(browser, page)
    for _ in range(2):
        answer = browser.post(f"{page}give-back/", follow=True)
        assert "What you paid goes back." in answer.content.decode()
    refund = OrderRefund.objects.get(order__order_no=order_no)
    given_run(refund.run_id).then_succeeded()
    shop.slot.refresh_from_db()
    assert (shop.slot.available, shop.slot.sold) == (50, 0)
    assert "Cancel, and get the money back" not in text(browser, page)
    assert ">refunded</b>" in text(browser, "/orders/")


def test_an_order_that_its_customer_gave_back_is_not_called_refused(
    browser: Client, api: Api, shop: Shop, order_no: str
) -> None:
    # When
    browser.post(f"/orders/{order_no}/give-back/")
    given_run(OrderRefund.objects.get(order__order_no=order_no).run_id).then_succeeded()
    # Then
    shown = text(browser, f"/orders/{order_no}/")
    assert "<b>Cancelled</b>" in shown
    assert "You have given it back." in shown
    assert "Refused" not in shown
    chinese = browser.get(f"/orders/{order_no}/", headers={"Accept-Language": "zh-CN"}).content.decode()
    assert "<b>已取消</b>" in chinese
    assert "您已退单。" in chinese


def test_a_customer_reads_why_cups_of_an_order_were_given_back(
    browser: Client, api: Api, shop: Shop, order_no: str
) -> None:
    one = {"lines": [{"sku": shop.tea.code, "quantity": 1}], "reason": "one too many"}
    assert api.post(f"/api/v1/orders/{order_no}/refund/", one, Idempotency_Key="a").status == 202
    given_run(OrderRefund.objects.get(order__order_no=order_no).run_id).then_succeeded()
    shown = text(browser, f"/orders/{order_no}/")
    assert "<b>Partly refunded</b>" in shown
    assert "<span>one too many</span>" in shown


def test_what_is_being_made_keeps_its_time(browser: Client, shop: Shop, order_no: str, other: Slot) -> None:
    page = f"/orders/{order_no}/"
    move(order_no, MAKING)
    shown = text(browser, page)
    assert "Take another time" not in shown
    assert "Cancel, and get the money back" not in shown
    late = browser.post(f"{page}rebook/", {"slot": str(other.pk)})
    assert (late.status_code, "too late" in late.content.decode()) == (409, True)
    other.refresh_from_db()
    assert other.available == 1


def test_behind_the_cut_off_nothing_is_given_back(browser: Client, shop: Shop, order_no: str) -> None:
    Slot.objects.filter(pk=shop.slot.pk).update(closes_at=timezone.now() - timedelta(minutes=1))
    late = browser.post(f"/orders/{order_no}/give-back/")
    assert (late.status_code, "too late" in late.content.decode()) == (409, True)
    assert not OrderRefund.objects.filter(order__order_no=order_no).exists()


def test_an_order_is_changed_by_its_customer_only(shop: Shop, order_no: str, other: Slot) -> None:
    anyone, stranger = Client(), Client()
    stranger.force_login(shop.other)
    for path in ("rebook", "give-back"):
        assert anyone.post(f"/orders/{order_no}/{path}/", {"slot": other.pk}).status_code == 302
        assert stranger.post(f"/orders/{order_no}/{path}/", {"slot": other.pk}).status_code == 404
        assert stranger.get(f"/orders/{order_no}/{path}/").status_code == 405
    guarded = Client(enforce_csrf_checks=True)
    guarded.force_login(shop.customer)
    assert guarded.post(f"/orders/{order_no}/rebook/", {"slot": other.pk}).status_code == 403
    assert not OrderRefund.objects.filter(order__order_no=order_no).exists()


def test_anybody_sees_when_the_stores_are_open(shop: Shop) -> None:
    store = Store.objects.create(code=f"s-{uuid4().hex[:8]}", name="外滩 The Bund", timezone="Asia/Shanghai")
    for weekday in OpeningHours.Weekday.values:
        hours = [(10, 20)] if weekday < 6 else [(11, 13), (15, 18)]
        for opens, closes in hours:
            OpeningHours.objects.create(store=store, weekday=weekday, opens=time(opens), closes=time(closes))
    now = timezone.now()
    Closure.objects.create(
        store=store, starts_at=now, ends_at=now + timedelta(days=2), reason="private", closed_by="li"
    )
    start = now + timedelta(days=3)
    Slot.objects.create(store=store, starts_at=start, ends_at=start + timedelta(hours=1), available=1)
    shown = text(Client(), "/stores/")
    assert "外滩 The Bund" in shown
    assert "<dt>Monday – Friday</dt><dd>10:00–20:00</dd>" in shown
    assert "<dt>Saturday – Sunday</dt><dd>11:00–13:00, 15:00–18:00</dd>" in shown
    assert "1 left" in shown
    assert f"{now.astimezone(store.zone):%Y-%m-%d %H:%M}" in shown
    assert "private" not in shown
