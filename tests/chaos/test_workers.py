"""Workers die by SIGKILL at every instruction that matters, while two hundred orders are in flight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis
from django.conf import settings

from orders.sagas import PlaceOrder
from sagas.messaging import topology
from tests.lab.points import KEY
from tests.support import row_locks
from tests.support.awaiting import eventually
from tests.support.customers import Customers
from tests.support.platform_fixtures import WorkerGroup
from tests.support.shop import Shop
from tests.support.shop_invariants import assert_shop_invariants, await_all_ended
from tests.support.web import Caller

pytestmark = pytest.mark.chaos

ORDERS = 100
#: A lapsed lease is seen in a second, not in ten; cohorts are small, so that there are many.
QUICK: Any = {"confirm_within": 1.5, "LEASE": 1, "COHORT": 20}

FORWARD = ("create_order.forward", "reserve_inventory.try", "apply_coupon.forward", "schedule_delivery.try")
CONFIRM = ("create_order.confirm", "reserve_inventory.confirm", "schedule_delivery.confirm")
UNDO = ("schedule_delivery.cancel", "apply_coupon.compensate", "reserve_inventory.cancel", "create_order.compensate")
#: Behind the last operation of a chain nothing is published.
LAST = (FORWARD[-1], CONFIRM[-1], UNDO[-1])

EVERYWHERE = [
    *(f"{operation}.{moment}" for operation in FORWARD + CONFIRM + UNDO for moment in ("effect", "committed")),
    *(f"{operation}.published" for operation in FORWARD + CONFIRM + UNDO if operation not in LAST),
    "claim.committed",
    "claim.published",
    "expire.effect",
    "expire.committed",
]
#: One of each kind: of each phase, and of each moment.
REPRESENTATIVE = [
    "claim.committed",
    "reserve_inventory.try.committed",
    "apply_coupon.forward.published",
    "apply_coupon.compensate.effect",
    "expire.committed",
]


class Sniper:
    """Kills the first worker child that comes by an armed point."""

    def __init__(self) -> None:
        self._client = redis.Redis.from_url(settings.SAGAS["REDIS_URL"])

    def arm(self, point: str) -> None:
        self._client.set(KEY, point)

    def await_shot(self) -> None:
        eventually(lambda: not self._client.exists(KEY), within=30, what="a worker child killed")

    def close(self) -> None:
        self._client.delete(KEY)
        self._client.close()


def consumers(point: str) -> Sequence[str | None]:
    """Which queues each worker consumes at this point.

    A worker that consumes the queue of the next step, too, may go on itself. So where a worker is to die that has
    published, one worker consumes the queue of that step, or those of no step if it is the dispatcher, and another one
    those of all other steps.
    """
    if not point.endswith(".published"):
        return (None,)
    definition, step = PlaceOrder.definition, point.partition(".")[0]
    own = [] if step == "claim" else [definition.steps[definition.index(step)].queue]
    others = [queue for queue in settings.SAGAS["QUEUES"] if queue not in own]
    return [",".join([*own, topology.DISPATCH, topology.CANCEL, topology.ESCALATION]), ",".join(others)]


@pytest.fixture
def sniper(shop: Shop) -> Iterator[Sniper]:
    sniper = Sniper()
    yield sniper
    sniper.close()


@pytest.mark.parametrize(
    "point", [pytest.param(point, marks=[] if point in REPRESENTATIVE else pytest.mark.slow) for point in EVERYWHERE]
)
def test_a_worker_child_is_killed(
    point: str, worker_group: WorkerGroup, customer: Caller, shop: Shop, sniper: Sniper
) -> None:
    # Given two hundred orders, of which half are paid
    worker_group.start(queues=consumers(point), **QUICK)
    sniper.arm(point)
    with Customers(customer, shop) as customers:
        customers.place_orders(ORDERS)

        # When a worker child dies at this point
        sniper.await_shot()

    # Then every order ends as if nothing had been
    await_all_ended()
    customers.assert_outcomes()
    assert_shop_invariants(shop.before)


@pytest.mark.parametrize(
    "point",
    [
        "reserve_inventory.try.committed",
        pytest.param("schedule_delivery.try.effect", marks=pytest.mark.slow),
        "apply_coupon.compensate.effect",
        pytest.param("reserve_inventory.cancel.committed", marks=pytest.mark.slow),
        pytest.param("reserve_inventory.confirm.committed", marks=pytest.mark.slow),
        pytest.param("claim.committed", marks=pytest.mark.slow),
    ],
)
def test_a_worker_child_is_killed_under_choreography(
    point: str, worker_group: WorkerGroup, customer: Caller, shop: Shop, sniper: Sniper
) -> None:
    worker_group.carrier = "choreography"
    try:
        test_a_worker_child_is_killed(point, worker_group, customer, shop, sniper)
    finally:
        worker_group.carrier = "orchestration"


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("create_order", marks=pytest.mark.slow),
        "reserve_inventory",
        pytest.param("apply_coupon", marks=pytest.mark.slow),
        pytest.param("schedule_delivery", marks=pytest.mark.slow),
    ],
)
def test_all_workers_are_killed_at_once(step: str, worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    # Given two processes in the middle of a step, and orders piling up before it
    with Customers(customer, shop) as customers:
        customers.place_orders(ORDERS // 2)
        # The locked rows of the first step stop the orders that exist when they are locked.
        customers.await_answers()
        with row_locks.blocked_at(step):
            workers = worker_group.start(workers=2, children=1, **QUICK)
            customers.place_orders(ORDERS // 2)
            row_locks.await_lock_waits(2)

            # When all die
            for worker in workers:
                worker.kill()
        customers.await_answers()

    # Then those who come after them end what they have begun
    worker_group.start(workers=2, children=1, **QUICK)
    await_all_ended()
    customers.assert_outcomes()
    assert_shop_invariants(shop.before)
