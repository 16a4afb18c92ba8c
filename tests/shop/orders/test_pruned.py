"""Orders whose runs were pruned, as docs/how-to/runbook.md ("Old runs") says: what the order itself tells is left."""

from __future__ import annotations

import pytest
import uuid_utils.compat
from django.db import connection
from pytest_django import Settings

from coupons.models import Grant
from inventory import ledger
from inventory.models import SkuHold
from orders import demo
from orders.models import Order, OrderStatus
from sagas import State
from sagas.models import Run
from sagas.retention import pruning
from tests.shop.conftest import ORDERS, Api, Shop, confirm
from tests.support.carrier import Carrier
from tests.support.retention import age, keep, old_id

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
        cursor.execute("ALTER TABLE sagas_log DISABLE TRIGGER sagas_log_delete")
        cursor.execute("DELETE FROM sagas_log WHERE run_id = %s", [run_id])
        cursor.execute("ALTER TABLE sagas_log ENABLE TRIGGER sagas_log_delete")
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
    assert (read.status, read.body["state"], read.body["total_amount"]) == (200, state, 2500)
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


# -- By the engine itself ------------------------------------------------------------------------------------------


@pytest.fixture
def old(no_worker: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """All orders began long ago, and are kept for 30 days after their end."""
    keep(settings)
    monkeypatch.setattr(uuid_utils.compat, "uuid7", old_id)


def ended(shop: Shop, *, paid: bool) -> str:
    """An order that has ended long ago, with a coupon."""
    api = Api(demo.token(customer=shop.customer))
    order_no = str(api.order(shop, coupon=shop.coupon()).body["order_no"])
    run_id = Run.objects.get(business_key=order_no).pk
    Carrier().run([run_id])
    if paid:
        assert confirm(order_no, f"pay_{order_no}", says={"amount": 2000}).status == 200
    else:
        assert api.post(f"{ORDERS}{order_no}/cancel/").status == 202
    Carrier().run([run_id])
    age([run_id])
    return order_no


@pytest.mark.usefixtures("old")
def test_what_answers_for_an_order_answers_the_same_when_its_run_is_deleted(lasting_shop: Shop) -> None:
    # Given two orders of long ago, and the answers for them
    shop = lasting_shop
    api = Api(demo.token(customer=shop.customer))
    paid, cancelled = ended(shop, paid=True), ended(shop, paid=False)

    def answers() -> list[object]:
        repeat = confirm(paid, f"pay_{paid}", says={"amount": 2000})
        return [
            (repeat.status, repeat.body["outcome"], repeat.body["order_state"]),
            confirm(cancelled, f"pay_{cancelled}", says={"amount": 2000}).problem,
            api.get(f"{ORDERS}{paid}/").body["state"],
            api.get(f"{ORDERS}{cancelled}/").body["state"],
            api.post(f"{ORDERS}{paid}/cancel/").problem,
            api.post(f"{ORDERS}{cancelled}/cancel/").body["state"],
        ]

    before = answers()
    ids = list(Order.objects.filter(order_no__in=[paid, cancelled]).values_list("run_id", flat=True))

    # When their runs are deleted
    pruning.prune(limit=100, rate=1e6)

    # Then nobody sees it
    assert not Run.objects.filter(pk__in=ids).exists()
    assert answers() == before
    # And nothing is left of what they held, and the stock adds up
    assert not SkuHold.objects.filter(run_id__in=ids).exists()
    assert list(Grant.objects.filter(used_by_run__in=ids).values_list("state", flat=True)) == ["USED"]
    cups = shop.cups
    assert (cups.available, cups.held, cups.sold, cups.settled) == (98, 0, 2, 2)
    # And the ledger still explains each cup
    assert shop.tea.pk not in [key for key, *_ in ledger.unexplained()]


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize(("outcome", "status"), [(State.SUCCEEDED, "CONFIRMED"), (State.FAILED, "REJECTED")])
def test_an_order_that_a_person_has_ended_keeps_how(lasting_shop: Shop, outcome: State, status: str) -> None:
    # Given an order that still stands as placed, and whose run a person has ended
    order_no = ended(lasting_shop, paid=outcome is State.SUCCEEDED)
    Order.objects.filter(order_no=order_no).update(status=OrderStatus.PLACED)

    # When
    pruning.prune(limit=100, rate=1e6)

    # Then
    assert Order.objects.get(order_no=order_no).status == status
