"""Placing an order: what is answered, what is written, and at what cost."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

import sagas
from delivery.models import Slot
from orders import demo, numbers, offers
from orders.models import Order, OrderStatus
from sagas.models import Log, Run
from tests.shop.conftest import ORDERS, Api, Shop, count_rows
from tests.support.statements import SentStatements


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


def test_an_order_that_costs_something_else_by_now_is_refused(api: Api, shop: Shop) -> None:
    # Given two teas at 12.50, which the customer was shown
    assert api.order(shop, expected_total_amount=2500).status == 202
    shop.tea.price_cents = 1300
    shop.tea.save()
    offers.forget()

    # When
    reply = api.order(shop, expected_total_amount=2500, key="dearer")

    # Then nothing is left behind, and the next try with the new price is another request
    assert reply.status == 422
    assert reply.body["type"] == "/problems/price-changed"
    assert reply.body["errors"][0]["pointer"] == "#/expected_total_amount"
    assert Order.objects.filter(customer=shop.customer).count() == 1
    assert api.order(shop, expected_total_amount=2600, key="dearer").status == 202


def test_placing_an_order_needs_few_statements(
    api: Api, shop: Shop, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    coupon = shop.coupon()
    # token, SKUs, slot, coupon, backlog and its count, definitions; the order with its run, log row and key. In a
    # test's transaction also a savepoint and its release
    with django_assert_max_num_queries(11):
        assert api.order(shop, coupon=coupon, key="lean").status == 202


def test_an_order_of_a_known_customer_is_one_statement_in_autocommit(lasting_shop: Shop) -> None:
    api = Api(demo.token(customer=lasting_shop.customer))
    assert api.order(lasting_shop, key="first").status == 202
    # Given that this process remembers the token and the prices, and that the session has prepared the statement
    with SentStatements(connection) as captured:
        assert api.order(lasting_shop, key="lean").status == 202
    # Then nothing but one statement is sent
    statements = [query["sql"] for query in captured if "orders_idempotencykey WHERE id IN" not in query["sql"]]
    assert len(statements) == 1
    assert statements[0].startswith("EXECUTE sagas_")


@pytest.mark.usefixtures("no_worker")
def test_a_taken_number_leaves_no_key_run_or_event(lasting_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given that every number that is drawn is taken
    api = Api(demo.token(customer=lasting_shop.customer))
    taken = api.order(lasting_shop).body["order_no"]
    monkeypatch.setattr(numbers, "draw", lambda: taken)
    before = count_rows()
    # When an order comes in autocommit, then it fails, and the statement has written nothing
    assert api.order(lasting_shop, key="k").status == 500
    assert count_rows() == before
    # And its repeat is performed
    monkeypatch.undo()
    assert api.order(lasting_shop, key="k").status == 202


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
    def overloaded(**_: Any) -> None:
        raise sagas.Overloaded("the oldest run has waited 200 s to begin", retry_after=17)

    monkeypatch.setattr(sagas, "check_admission", overloaded)
    reply = api.order(shop, key="k")
    assert (reply.status, reply.problem, reply.headers["Retry-After"]) == (503, "overloaded", "17")
    # And the key is free for the repeat
    monkeypatch.undo()
    assert api.order(shop, key="k").status == 202


def test_an_order_must_begin_while_it_can_still_be_paid_before_its_slot_is_over(
    api: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a slot that ends in ten minutes, of which the payment may take half a minute
    ends = timezone.now() + timedelta(minutes=10)
    slot = Slot.objects.create(starts_at=ends - timedelta(minutes=5), ends_at=ends, available=5)
    asked: list[float | None] = []
    monkeypatch.setattr(sagas, "check_admission", lambda *, within=None: asked.append(within))
    # When
    api.order(shop, slot=slot.pk)
    # Then
    within = asked[-1]
    assert within is not None
    assert 500 < within <= 570


def _overloaded(**_: Any) -> None:
    raise sagas.Overloaded("a new run would wait 200 s to begin", retry_after=17)


def test_overload_refuses_a_new_order_before_its_body_is_read(
    api: Api, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    monkeypatch.setattr(sagas, "check_admission", _overloaded)
    with django_assert_max_num_queries(0):
        reply = api.call("POST", ORDERS, body=b"no JSON", headers={})
    assert (reply.status, reply.problem, reply.headers["Retry-After"]) == (503, "overloaded", "17")


def test_overload_does_not_refuse_the_repeat_of_an_accepted_order(
    api: Api, stranger: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = api.order(shop, key="k")
    monkeypatch.setattr(sagas, "check_admission", _overloaded)
    # When it is repeated, then it gets its answer
    repeat = api.order(shop, key="k")
    assert (repeat.status, repeat.body) == (202, first.body)
    # And another key, or another customer's, does not
    assert api.order(shop, key="other").status == 503
    assert stranger.order(shop, key="k").status == 503
    # And who is not authenticated learns nothing
    assert Api("").order(shop, key="k").status == 401
