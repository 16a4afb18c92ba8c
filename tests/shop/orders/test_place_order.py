"""Placing an order: what is answered, what is written, and at what cost."""

from __future__ import annotations

import re

import pytest
from pytest_django import DjangoAssertNumQueries

import sagas
from orders import numbers
from orders.models import Order, OrderStatus
from sagas.models import Log, Run
from tests.shop.conftest import ORDERS, Api, Shop


def test_an_order_is_accepted_and_its_run_waits_to_begin(api: Api, shop: Shop) -> None:
    # When a customer places an order
    reply = api.order(shop, coupon=shop.coupon())
    # Then it is accepted, with its place in the world
    assert reply.status == 202
    order_no = reply.body["order_no"]
    assert re.fullmatch(numbers.PATTERN, order_no)
    assert reply.body == {"order_no": order_no, "state": "PENDING", "confirm_deadline": None}
    assert reply.headers["Location"] == f"{ORDERS}{order_no}/"
    # And order, run and first log row are there, and nothing else
    order = Order.objects.get(order_no=order_no)
    run = Run.objects.get(id=order.run_id)
    assert (order.status, order.customer, order.discount_cents) == (OrderStatus.RECEIVED, shop.customer, 500)
    assert (run.state, run.business_key, run.saga) == ("PENDING", order_no, "orders.PlaceOrder")
    assert Log.objects.filter(run_id=run.id).count() == 1
    assert order.lines.count() == 0


def test_prices_are_those_at_acceptance(api: Api, shop: Shop) -> None:
    reply = api.order(shop)
    shop.tea.price_cents = 99_900
    shop.tea.save()
    run = Run.objects.get(business_key=reply.body["order_no"])
    assert run.request["items"] == [{"sku": shop.tea.code, "quantity": 2, "unit_price_cents": 1250}]


def test_placing_an_order_needs_few_statements(
    api: Api, shop: Shop, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    coupon = shop.coupon()
    # token, savepoint, key, SKUs, slot, coupon, backlog, run and log, order, release; and what else is
    # open, under a lock of its own
    with django_assert_max_num_queries(12):
        assert api.order(shop, coupon=coupon, key="lean").status == 202


def test_a_taken_order_number_is_drawn_again(api: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an order whose number will be drawn once more
    taken = api.order(shop).body["order_no"]
    draws = iter([taken, "ORD-20261123-FREEFREE"])
    monkeypatch.setattr(numbers, "draw", lambda: next(draws))
    # When another is placed, with a key
    reply = api.order(shop, key="k")
    # Then it has the next number, and one run
    assert reply.body["order_no"] == "ORD-20261123-FREEFREE"
    assert Run.objects.filter(business_key__in=[taken, "ORD-20261123-FREEFREE"]).count() == 2


def test_orders_are_refused_while_the_backlog_is_too_old(api: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def overloaded() -> None:
        raise sagas.Overloaded("the oldest run has waited 200 s to begin", retry_after=17)

    monkeypatch.setattr(sagas, "check_admission", overloaded)
    reply = api.order(shop, key="k")
    assert (reply.status, reply.problem, reply.headers["Retry-After"]) == (503, "overloaded", "17")
    # And the key is free for the repeat
    monkeypatch.undo()
    assert api.order(shop, key="k").status == 202
