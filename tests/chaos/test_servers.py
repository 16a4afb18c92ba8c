"""RabbitMQ, Redis and PostgreSQL die by SIGKILL while two hundred orders are in flight; queues are wiped whole."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support import broker, row_locks, servers, shop_invariants
from tests.support.awaiting import eventually
from tests.support.customers import Customers
from tests.support.platform_fixtures import WorkerGroup
from tests.support.shop import TEA, Shop
from tests.support.shop_invariants import assert_shop_invariants, await_all_ended
from tests.support.web import Caller, Reply

pytestmark = pytest.mark.chaos

ORDERS = 100
QUICK: Any = {"confirm_within": 1.5, "LEASE": 1, "COHORT": 20}
STEPS = [
    pytest.param("create_order", marks=pytest.mark.slow),
    "reserve_inventory",
    pytest.param("apply_coupon", marks=pytest.mark.slow),
    pytest.param("schedule_delivery", marks=pytest.mark.slow),
]


def assert_all_is_well(customers: Customers, shop: Shop) -> None:
    await_all_ended()
    customers.assert_outcomes()
    assert_shop_invariants(shop.before)


@pytest.mark.parametrize("step", STEPS)
def test_rabbitmq_is_killed_and_restarted(step: str, worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    worker_group.start(**QUICK)
    with Customers(customer, shop) as customers:
        customers.place_orders(ORDERS // 2)
        customers.await_answers(ORDERS // 4)
        with row_locks.blocked_at(step):
            row_locks.await_lock_waits()
            servers.kill("rabbitmq")
        # Orders are taken as ever.
        customers.place_orders(ORDERS // 2)
        customers.await_answers(ORDERS)
        servers.start("rabbitmq")
    assert_all_is_well(customers, shop)


@pytest.mark.parametrize("step", STEPS)
def test_redis_is_killed_and_restarted(step: str, worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    worker_group.start(**QUICK)
    with Customers(customer, shop) as customers:
        customers.place_orders(ORDERS // 2)
        customers.await_answers(ORDERS // 4)
        with row_locks.blocked_at(step):
            row_locks.await_lock_waits()
            servers.kill("redis")
        customers.place_orders(ORDERS // 2)
        customers.await_answers(ORDERS)
        servers.start("redis")
    assert_all_is_well(customers, shop)


def test_redis_is_killed_and_not_restarted(worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    worker_group.start(**QUICK)
    try:
        with Customers(customer, shop) as customers:
            customers.place_orders(ORDERS // 2)
            customers.await_answers(ORDERS // 4)
            servers.kill("redis")
            customers.place_orders(ORDERS // 2)
        assert_all_is_well(customers, shop)
    finally:
        servers.start("redis")


@pytest.mark.parametrize("step", STEPS)
def test_postgresql_is_killed_and_restarted(step: str, worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    worker_group.start(**QUICK)
    with Customers(customer, shop) as customers:
        customers.place_orders(ORDERS // 2)
        customers.await_answers(ORDERS // 4)
        with row_locks.blocked_at(step):
            row_locks.await_lock_waits()
            servers.kill("postgres")
        # Nobody can be answered now; everybody repeats the request, with its idempotency key.
        customers.place_orders(ORDERS // 2)
        servers.start("postgres")
    assert_all_is_well(customers, shop)
    assert shop_invariants.query("SELECT count(*) FROM orders_order") == [(ORDERS,)]


def test_the_web_answers_while_postgresql_hangs_and_serves_again_afterwards(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Given a web whose threads all have a session
    replies: list[Reply] = []

    def place() -> None:
        replies.append(customer.place([(TEA, 1)], slot=shop.slot))

    def at_once(*calls: Callable[[], None]) -> None:
        with ThreadPoolExecutor(len(calls)) as pool:
            for call in [pool.submit(call) for call in calls]:
                call.result()

    worker_group.start(**QUICK)
    at_once(*[place] * 16)
    assert {reply.status for reply in replies} == {202}
    replies.clear()
    # When the server says nothing any more
    with servers.paused():
        at_once(*[place] * 8, lambda: replies.append(customer.call("GET", "/readyz")))
    # Then nobody is kept, and each is told to come again
    assert [reply.status for reply in replies] == [503] * 9
    # A second later; or, if it has waited for a thread too long, later by as much
    assert all(1 <= int(reply.headers["Retry-After"]) <= 10 for reply in replies)
    # And orders are taken, and worked off, as soon as it goes on
    assert customer.call("GET", "/readyz").status == 200
    assert customer.place([(TEA, 1)], slot=shop.slot).status == 202
    await_all_ended()
    assert_shop_invariants(shop.before)


@pytest.mark.parametrize("step", STEPS)
def test_all_queues_are_purged(step: str, worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    worker_group.start(**QUICK)
    with Customers(customer, shop) as customers:
        customers.place_orders(ORDERS // 2)
        customers.await_answers(ORDERS // 4)
        with row_locks.blocked_at(step):
            customers.place_orders(ORDERS // 2)
            row_locks.await_lock_waits()
            # (at a moment all may be out at workers)
            lost = eventually(wipe_queues, within=60, what="something to lose")
        assert lost
    assert_all_is_well(customers, shop)


def wipe_queues() -> int:
    """Purge every queue that RabbitMQ has; return how many messages were lost."""
    lines = servers.rabbitmqctl("-q", "list_queues", "--no-table-headers", "name", "exclusive").splitlines()
    queues = dict(line.split("\t") for line in lines)
    # What `rabbitmqctl purge_queue` does, which takes a second to start for each queue. Exclusive are those
    # over which Celery's remote control answers: no message of ours goes there.
    return broker.purge(*(name for name, exclusive in queues.items() if exclusive == "false"))
