"""A run in flight is no violation: at each commit of its way, forward and back, everything adds up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

import sagas
from orders import demo
from orders.models import Order
from orders.refunds.services import refund_order
from sagas.decisions.messages import Chain
from tests.shop.conftest import Api
from tests.shop.payments.test_webhook import send
from tests.shop.reconciliation.conftest import Scene, violations
from tests.support.carrier import chains, claim_all, deliver
from tests.support.runs import state


@pytest.fixture
def committed(scene: Scene, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


def step_through() -> int:
    """Perform what is due, an operation at a time; whatever is committed then must add up. Return how many."""
    count = 0
    assert violations() == []
    while due := chains(claim_all()):
        for chain in due:
            left: Chain | None = chain
            while left is not None:
                _, left = deliver(left)
                count += 1
                assert violations() == []
    return count


@pytest.mark.usefixtures("committed")
def test_everything_adds_up_at_each_commit_of_an_order_that_is_confirmed_and_refunded(scene: Scene) -> None:
    api = Api(demo.token(customer=scene.shop.customer))
    items = [{"sku": scene.shop.tea.code, "quantity": 1}]
    order_no = str(api.order(scene.shop, items=items, coupon=scene.shop.coupon()).body["order_no"])
    assert step_through() == 4
    send(order_no, payment_id=f"pay_{order_no}", amount=750)
    assert step_through() == 3
    assert state(scene.run(order_no)) == "SUCCEEDED"
    # When it is refunded, step by step
    refund_order(order_no=order_no, reason="spilt", by="mei")
    assert step_through() >= 5
    assert Order.objects.get(order_no=order_no).refunded_cents == 750


@pytest.mark.usefixtures("committed")
def test_everything_adds_up_at_each_commit_of_an_order_that_is_undone(scene: Scene) -> None:
    api = Api(demo.token(customer=scene.shop.customer))
    order_no = str(api.order(scene.shop, coupon=scene.shop.coupon()).body["order_no"])
    assert step_through() == 4
    sagas.cancel(scene.run(order_no), by="mei")
    assert step_through() == 4
    assert state(scene.run(order_no)) == "FAILED"
