"""More orders come in than are worked off: they wait in the database, in order, and not in the broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagas.models import Run
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.platform_fixtures import WorkerGroup
from tests.support.shop import TEA, Shop
from tests.support.web import Caller, Reply, Web, signed
from tests.support.workers import Worker

pytestmark = pytest.mark.chaos

BACKLOG, CLAIM = 5, 10


@pytest.fixture
def dispatcher(worker_group: WorkerGroup, shop: Shop) -> Iterator[Worker]:
    """A worker that dispatches, and performs no step."""
    worker_group.stop_all()
    environment = {"LAB_SAGAS": f'{{"BACKLOG": {BACKLOG}, "CLAIM": {CLAIM}, "COHORT": 1}}'}
    worker = Worker(queues="sagas.dispatch", environment=environment).await_ready()
    yield worker
    worker.stop()


def test_excess_orders_wait_in_the_database_and_not_in_the_broker(
    dispatcher: Worker, customer: Caller, shop: Shop
) -> None:
    # Given orders that come in one by one, each with its kick, and nobody who performs their first step
    def place() -> None:
        assert customer.place([(TEA, 1)], slot=shop.slot).status == 202

    def held_back() -> bool:
        place()
        return broker.length("sagas.delay.100") > 0

    # When the queues are long enough, and a dispatch has seen it
    eventually(held_back, what="a dispatch held back, for the queues are too long")
    claimed = broker.length("orders")
    assert claimed > BACKLOG

    # Then what comes from now on waits where it is in order
    for _ in range(5 * CLAIM):
        place()
    assert broker.length("orders") <= claimed + CLAIM
    assert Run.objects.filter(state="PENDING").count() >= 4 * CLAIM


@pytest.fixture
def busy_web() -> Iterator[Web]:
    """A web that refuses orders soon."""
    found = Web({"LAB_SAGAS": '{"ADMISSION": 3}'})
    yield found.await_ready()
    found.stop()


def test_under_overload_orders_are_refused_and_no_accepted_order_is_doomed_and_payments_are_taken(
    worker_group: WorkerGroup, busy_web: Web, web: Web, shop: Shop
) -> None:
    # Given nobody who works, and customers who go on ordering
    worker_group.stop_all()
    customer, gateway = Caller(busy_web, shop.token), Caller(web)
    accepted: list[str] = []

    def refused() -> Reply | None:
        reply = customer.place([(TEA, 1)], slot=shop.slot)
        if reply.status == 202:
            accepted.append(reply.body["order_no"])
            return None
        return reply

    # Then they are refused once they would wait too long, and are told for how long
    reply = eventually(refused, what="an order refused")
    assert reply is not None
    assert reply.status == 503
    assert 1 <= int(reply.headers["Retry-After"]) <= 60

    # When all that was accepted is paid meanwhile
    for order_no in accepted:
        text, headers = signed(order_no)
        assert gateway.call("POST", "/api/v1/payments/webhook/main/", headers=headers, raw=text).status == 200

    # Then it is confirmed to the last order, and the door is open again
    worker_group.start()
    eventually(lambda: Run.objects.filter(state="SUCCEEDED").count() == len(accepted), what="all confirmed")
    eventually(lambda: customer.place([(TEA, 1)], slot=shop.slot).status == 202, what="the door open")
