"""What a customer may read: the menu, the slots, their own orders."""

from __future__ import annotations

from uuid import UUID

import pytest

from orders.models import Order
from sagas.models import Log, Run
from tests.shop.conftest import ORDERS, Api, Shop


def test_the_menu_lists_what_can_be_ordered(api: Api, shop: Shop) -> None:
    menu = {drink["sku"]: drink for drink in api.get("/api/v1/menu/").body}
    assert menu[shop.tea.code] == {
        "sku": shop.tea.code,
        "name": "Tea",
        "price_amount": 1250,
        "currency": "CNY",
        "available": 100,
    }
    assert shop.gone.code not in menu


def test_only_future_slots_are_listed(api: Api, shop: Shop) -> None:
    slots = {slot["id"]: slot for slot in api.get("/api/v1/slots/").body}
    assert slots[shop.slot.pk]["available"] == 50
    assert set(slots[shop.slot.pk]) == {"id", "store", "starts_at", "ends_at", "closes_at", "available"}
    assert shop.past.pk not in slots


def test_an_order_shows_the_status_of_every_step(api: Api, shop: Shop) -> None:
    order_no = api.order(shop).body["order_no"]
    body = api.get(f"{ORDERS}{order_no}/").body
    assert (body["order_no"], body["state"], body["slot"]) == (order_no, "PENDING", shop.slot.pk)
    assert (body["total_amount"], body["currency"], body["reason"]) == (2500, "CNY", None)
    assert body["finished_at"] is None
    steps = ["create_order", "reserve_inventory", "apply_coupon", "schedule_delivery"]
    assert [step["name"] for step in body["steps"]] == steps
    assert body["steps"][0] == {
        "name": "create_order",
        "state": "waiting",
        "started_at": None,
        "finished_at": None,
        "error": None,
    }


def test_customers_do_not_see_internal_errors(api: Api, shop: Shop) -> None:
    # Given a step that broke, with a message from the inside
    order_no = api.order(shop).body["order_no"]
    run_id: UUID = Order.objects.get(order_no=order_no).run_id
    inside = {"kind": "fault", "step": "create_order", "code": "KeyError", "detail": "password of 10.0.0.1"}
    Log.objects.create(
        run_id=run_id,
        step="create_order",
        operation="forward",
        outcome="FAULT",
        trace_id=Run.objects.get(id=run_id).trace_id,
        data=inside,
    )
    Run.objects.filter(id=run_id).update(reason=inside)
    # Then its customer learns that, and no more
    body = api.get(f"{ORDERS}{order_no}/").body
    public = {"kind": "fault", "code": "Fault", "detail": "Something broke on our side."}
    assert body["reason"] == public
    assert body["steps"][0]["state"] == "failing"
    assert body["steps"][0]["error"] == public


@pytest.mark.parametrize("call", ["GET ", "POST cancel/"])
def test_another_customers_order_is_not_found(api: Api, stranger: Api, shop: Shop, call: str) -> None:
    order_no = api.order(shop).body["order_no"]
    method, _, tail = call.partition(" ")
    reply = stranger.call(method, f"{ORDERS}{order_no}/{tail}")
    assert (reply.status, reply.problem) == (404, "order-not-found")
    # Just as one that never was
    assert stranger.call(method, f"{ORDERS}ORD-20260101-00000000/{tail}").problem == "order-not-found"
    assert Run.objects.get(business_key=order_no).state == "PENDING"


def test_the_list_has_the_customers_own_orders_newest_first(api: Api, stranger: Api, shop: Shop) -> None:
    theirs = stranger.order(shop).body["order_no"]
    mine = [api.order(shop).body["order_no"] for _ in range(25)]
    # When the pages are read to the end
    pages = [api.get(ORDERS)]
    # (an order that comes in between does not shift them)
    api.order(shop)
    while pages[-1].body["next"]:
        pages.append(api.get(pages[-1].body["next"]))
    # Then each order is there once
    listed = [order["order_no"] for page in pages for order in page.body["results"]]
    assert [len(page.body["results"]) for page in pages] == [20, 5]
    assert listed == mine[::-1]
    assert theirs not in listed
    assert pages[0].body["results"][0]["state"] == "PENDING"


def test_the_list_needs_as_many_queries_for_many_orders(
    api: Api, shop: Shop, django_assert_max_num_queries: object
) -> None:
    for _ in range(20):
        api.order(shop)
    # token, orders, lines, runs
    with django_assert_max_num_queries(4):  # type: ignore[operator]
        api.get(ORDERS)
