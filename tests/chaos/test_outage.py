"""RabbitMQ is away for a minute: customers do not notice, and everything is worked off after."""

from __future__ import annotations

import statistics
import time

import pytest

from sagas.models import Run
from tests.support import servers
from tests.support.platform_fixtures import WorkerGroup
from tests.support.shop import TEA, Shop
from tests.support.shop_invariants import assert_shop_invariants, await_all_ended
from tests.support.web import Caller

pytestmark = pytest.mark.chaos


class Till:
    """Takes orders, one after the other, and notes how long each answer took; every second one is paid."""

    def __init__(self, customer: Caller, shop: Shop) -> None:
        self.customer = customer
        self.shop = shop
        self.paid: set[str] = set()
        self.unpaid: set[str] = set()

    def open_for(self, seconds: float) -> list[float]:
        """Take orders for so long; give the times of the answers."""
        took: list[float] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            reply = self.customer.place([(TEA, 1)], slot=self.shop.slot)
            assert reply.status == 202, reply
            took.append(reply.seconds)
            order_no = str(reply.body["order_no"])
            if len(took) % 2:
                assert self.customer.pay(order_no).status == 200
                self.paid.add(order_no)
            else:
                self.unpaid.add(order_no)
        return took


@pytest.mark.parametrize("outage", [6.0, pytest.param(60.0, marks=[pytest.mark.slow, pytest.mark.timeout(240)])])
def test_orders_are_accepted_while_rabbitmq_is_unavailable(
    outage: float, worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    worker_group.start(confirm_within=3.0)
    till = Till(customer, shop)
    before = till.open_for(3.0)

    servers.kill("rabbitmq")
    try:
        during = till.open_for(outage)
        waiting = Run.objects.filter(state="PENDING").count()
    finally:
        servers.start("rabbitmq")

    # A machine has its moods, of which one answer of many may tell; waiting for a broker would show in all of them.
    assert before
    assert statistics.median(during) < 2
    assert waiting, "nothing had to wait: the broker was not missed"
    await_all_ended(within=90)
    assert set(Run.objects.filter(state="SUCCEEDED").values_list("business_key", flat=True)) == till.paid
    assert set(Run.objects.filter(state="FAILED").values_list("business_key", flat=True)) == till.unpaid
    assert_shop_invariants(shop.before)
