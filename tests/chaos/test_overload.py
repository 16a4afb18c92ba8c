"""More orders come in than are worked off: they wait in the database, in order, and not in the broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagas.models import Run
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.house import Crew
from tests.support.shop import TEA, Shop
from tests.support.web import Caller
from tests.support.workers import Worker

pytestmark = pytest.mark.chaos

BACKLOG, CLAIM = 5, 10


@pytest.fixture
def dispatcher(crew: Crew, shop: Shop) -> Iterator[Worker]:
    """A worker that dispatches, and performs no step."""
    crew.dismiss()
    environment = {"LAB_SAGAS": f'{{"BACKLOG": {BACKLOG}, "CLAIM": {CLAIM}, "COHORT": 1}}'}
    worker = Worker(queues="sagas.dispatch", environment=environment).await_ready()
    yield worker
    worker.stop()


@pytest.mark.xfail(reason="a dispatch that a kick or a tick asked for does not look at the queues before it claims")
def test_an_overload_waits_in_the_database(dispatcher: Worker, customer: Caller, shop: Shop) -> None:
    # Given orders that come in one by one, each with its kick, and nobody who performs their first step
    for _ in range(10 * CLAIM):
        assert customer.place([(TEA, 1)], slot=shop.slot).status == 202

    # When enough is claimed
    eventually(lambda: broker.length("orders") >= CLAIM, what="something claimed")
    eventually(
        lambda: broker.length("sagas.delay.100") or not Run.objects.filter(state="PENDING").exists(),
        what="a dispatch that waits for the queues to run short, or everything claimed",
    )

    # Then the rest waits where it is in order
    assert broker.length("orders") <= BACKLOG + CLAIM
    assert Run.objects.filter(state="PENDING").exists()
