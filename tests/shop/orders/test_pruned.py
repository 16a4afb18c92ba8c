"""Orders whose runs were pruned, as docs/how-to/operate.md ("Old runs") says: what the order itself tells is left."""

from __future__ import annotations

import pytest
from django.db import connection

from orders.models import Order, OrderStatus
from sagas.models import Run
from tests.shop.conftest import ORDERS, Api, Shop, confirm

ENDED = [
    (OrderStatus.CONFIRMED, "SUCCEEDED"),
    (OrderStatus.REJECTED, "FAILED"),
    # The hook was lost that would have marked it.
    (OrderStatus.RECEIVED, "FAILED"),
    # Ended by hand.
    (OrderStatus.PLACED, "ESCALATED"),
]


def pruned(api: Api, shop: Shop, status: OrderStatus = OrderStatus.CONFIRMED) -> str:
    """An order that has ended so, long ago."""
    order_no = str(api.order(shop).body["order_no"])
    Order.objects.filter(order_no=order_no).update(status=status, total_cents=2500)
    run_id = Run.objects.get(business_key=order_no).pk
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sagas_log DISABLE TRIGGER sagas_log_guard")
        cursor.execute("DELETE FROM sagas_log WHERE run_id = %s", [run_id])
        cursor.execute("ALTER TABLE sagas_log ENABLE TRIGGER sagas_log_guard")
        cursor.execute("DELETE FROM sagas_run WHERE id = %s", [run_id])
    return order_no


@pytest.mark.parametrize(("status", "state"), ENDED)
def test_an_order_whose_run_is_pruned_can_be_read(api: Api, shop: Shop, status: OrderStatus, state: str) -> None:
    order_no, other = pruned(api, shop, status), str(api.order(shop).body["order_no"])
    listed = api.get(ORDERS)
    assert listed.status == 200
    assert {order["order_no"]: order["state"] for order in listed.body["results"]} == {
        order_no: state,
        other: "PENDING",
    }
    read = api.get(f"{ORDERS}{order_no}/")
    assert (read.status, read.body["state"], read.body["total"]) == (200, state, "25.00")
    assert (read.body["steps"], read.body["reason"], read.body["confirm_deadline"]) == ([], None, None)


def test_a_payment_for_an_order_whose_run_is_pruned_is_too_late(api: Api, shop: Shop) -> None:
    # Which payment confirmed it is pruned as well.
    assert confirm(pruned(api, shop)).problem == "order-decided"
    assert confirm(pruned(api, shop, OrderStatus.REJECTED), "pay_2").problem == "order-undone"


def test_a_cancel_of_an_order_whose_run_is_pruned_answers_by_its_status(api: Api, shop: Shop) -> None:
    reply = api.post(f"{ORDERS}{pruned(api, shop, OrderStatus.REJECTED)}/cancel/")
    assert (reply.status, reply.body["state"]) == (200, "FAILED")
    reply = api.post(f"{ORDERS}{pruned(api, shop)}/cancel/")
    assert (reply.status, reply.problem) == (409, "order-decided")
