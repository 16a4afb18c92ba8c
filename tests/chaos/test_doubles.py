"""The network doubles every message, and delivers forward messages after their undo: nothing happens twice."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from django.conf import settings

from orders.sagas import PlaceOrder
from sagas.messaging.publisher import STEP_TASK
from sagas.models import Run
from tests.lab.points import DOUBLED
from tests.support import broker, servers, shop_invariants
from tests.support.awaiting import eventually
from tests.support.customers import Customers
from tests.support.platform_fixtures import WorkerGroup
from tests.support.shop import Shop
from tests.support.shop_invariants import assert_shop_invariants, await_all_ended
from tests.support.web import Caller

pytestmark = pytest.mark.chaos

ORDERS = 100
QUEUES = [name for name in broker.queue_names("") if not name.startswith("sagas.dispatch")]


def messages() -> dict[str, int]:
    """How many each queue holds or has out at a worker, but for those that come by themselves, every second."""
    lines = servers.rabbitmqctl("-q", "list_queues", "--no-table-headers", "name", "messages").splitlines()
    counts = {name: int(count) for name, count in (line.split("\t") for line in lines)}
    return {name: count for name, count in counts.items() if count and not name.startswith("sagas.dispatch")}


def await_silence() -> None:
    """Wait until no queue holds a message, nor has one out at a worker."""
    try:
        # Asked first is what costs little. rabbitmqctl knows all queues, and what is out at a worker.
        eventually(lambda: not any(map(broker.length, QUEUES)), within=60, what="all messages delivered")
        eventually(lambda: not messages(), within=60, what="all messages consumed")
    except AssertionError as error:
        msg = f"{error}: {messages()}"
        raise AssertionError(msg) from error


@pytest.fixture(autouse=True)
def silence(worker_group: WorkerGroup) -> None:
    """No deadlines of the tests before are on their way: some take ten minutes, and nobody's order waits for them."""
    worker_group.stop_all()
    broker.purge(*messages())


def doubled() -> int:
    """How many messages went out a second time."""
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        count: Any = client.get(DOUBLED)
    return int(count or 0)


def test_every_message_is_delivered_twice(worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    worker_group.start(confirm_within=2.0, double=0.0, COHORT=20)
    with Customers(customer, shop) as customers:
        customers.place_orders(ORDERS)
    await_all_ended()
    await_silence()
    assert doubled()
    customers.assert_outcomes()
    assert_shop_invariants(shop.before)


@pytest.mark.slow
def test_every_step_message_is_delivered_again_after_the_run_is_decided(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Two seconds late: what was not paid has been undone by then.
    worker_group.start(confirm_within=1.0, double=2.0, COHORT=20)
    with Customers(customer, shop) as customers:
        customers.place_orders(ORDERS)
    await_all_ended()
    now = shop_invariants.snapshot()
    await_silence()
    assert doubled()
    customers.assert_outcomes()
    assert shop_invariants.snapshot() == now
    assert_shop_invariants(shop.before)


def test_forward_messages_are_delivered_after_the_undo(worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    # Given orders that are undone
    worker_group.start(confirm_within=1.0)
    numbers = [customer.place([("TEA-M", 1)], slot=shop.slot, coupon=f"C{n}").body["order_no"] for n in range(20)]
    await_all_ended()
    assert set(Run.objects.values_list("state", flat=True)) == {"FAILED"}

    # When every forward operation is delivered, late
    definition = PlaceOrder.definition
    ids = [str(run.pk) for run in Run.objects.filter(business_key__in=numbers)]
    for step in definition.steps:
        which = {"saga": definition.name, "version": definition.version, "step": step.name, "phase": "forward"}
        broker.publish_task(step.queue, STEP_TASK, [ids], which)
    await_silence()

    # Then nothing has happened
    assert shop_invariants.snapshot() == shop.before
    assert_shop_invariants(shop.before)
