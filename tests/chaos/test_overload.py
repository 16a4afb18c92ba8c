"""More orders come in than are worked off: they wait in the database, in order, and not in the broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagas.models import Run
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.platform_fixtures import WorkerGroup
from tests.support.shop import TEA, Shop
from tests.support.web import Caller
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
