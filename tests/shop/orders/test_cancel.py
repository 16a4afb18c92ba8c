"""A customer's cancel: as long as the order is not confirmed."""

from __future__ import annotations

import pytest

from orders.models import Order, OrderStatus
from sagas.models import Run
from tests.shop.conftest import ORDERS, Api, Shop, confirm


def test_a_cancel_compensates_the_run(api: Api, shop: Shop) -> None:
    order_no = api.order(shop).body["order_no"]
    reply = api.post(f"{ORDERS}{order_no}/cancel/")
    assert (reply.status, reply.body) == (202, {"order_no": order_no, "state": "COMPENSATING"})
    body = api.get(f"{ORDERS}{order_no}/").body
    assert (body["state"], body["reason"]["kind"]) == ("COMPENSATING", "cancelled")
    # No step had touched the order, so no compensation will
    assert Order.objects.get(order_no=order_no).status == OrderStatus.REJECTED


def test_a_repeated_cancel_gets_the_same_answer(api: Api, shop: Shop) -> None:
    placed = api.order(shop)
    order_no = placed.body["order_no"]
    first = api.post(f"{ORDERS}{order_no}/cancel/")
    second = api.post(f"{ORDERS}{order_no}/cancel/")
    assert (second.status, second.body) == (first.status, first.body)
    # And names the order's saga
    named = [reply.headers["X-Saga-ID"] for reply in (placed, first, second)]
    assert named == [str(Order.objects.get().run_id)] * 3


def test_a_cancel_of_an_undone_order_gets_the_same_answer(api: Api, shop: Shop) -> None:
    order_no = api.order(shop).body["order_no"]
    api.post(f"{ORDERS}{order_no}/cancel/")
    Run.objects.filter(business_key=order_no).update(state="FAILED", due_at=None)
    reply = api.post(f"{ORDERS}{order_no}/cancel/")
    assert (reply.status, reply.body["state"]) == (200, "FAILED")


def test_a_confirmed_order_cannot_be_cancelled(api: Api, shop: Shop) -> None:
    order_no = api.order(shop).body["order_no"]
    assert confirm(order_no).status == 200
    reply = api.post(f"{ORDERS}{order_no}/cancel/")
    assert (reply.status, reply.problem) == (409, "order-decided")
    assert Run.objects.get(business_key=order_no).state == "PENDING"
    assert Order.objects.get(order_no=order_no).status == OrderStatus.RECEIVED


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_cancel_needs_no_body(api: Api, shop: Shop, body: bytes) -> None:
    order_no = api.order(shop).body["order_no"]
    assert api.call("POST", f"{ORDERS}{order_no}/cancel/", body=body).status == 202


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [(b'{"items": ["TEA"]}', 422, "unknown-field"), (b"[]", 422, "invalid-request"), (b"{", 400, "malformed-json")],
)
def test_a_cancel_with_unknown_fields_is_refused(
    api: Api, shop: Shop, *, body: bytes, status: int, problem: str
) -> None:
    # Whoever wants to cancel a part would else have cancelled all
    order_no = api.order(shop).body["order_no"]
    reply = api.call("POST", f"{ORDERS}{order_no}/cancel/", body=body)
    assert (reply.status, reply.problem) == (status, problem)
    assert Run.objects.get(business_key=order_no).state == "PENDING"
