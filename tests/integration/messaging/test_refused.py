"""RabbitMQ refuses what is published: leases are given back, nobody is called, and the work goes on when it may."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.db import transaction

import sagas
from sagas import State
from sagas.models import Run
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Lab
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.runs import assert_effects_once, assert_jar_adds_up, await_states
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("database")

#: Performs all but the third step.
WORKER = {
    "queues": "sagas.dispatch,sagas.cancel,orders,coupons,delivery",
    "LEASE": 1,
    "TICK": 0.2,
}
RUNS = 20
#: A message for no run.
NOBODY = {"saga": "lab.Lab", "version": 1, "step": "three", "phase": "forward"}


@pytest.fixture
def third_step() -> Iterator[Worker]:
    """Somebody who performs the third step; for ``getfixturevalue``, when the time has come."""
    worker = Worker(queues="inventory")
    yield worker.await_ready()
    worker.stop()


def test_runs_wait_without_a_lapsed_lease_while_their_next_message_is_refused(
    own_worker: Worker, request: pytest.FixtureRequest
) -> None:
    # Given a queue that holds a message already, and takes no other
    jar = f"jar-{uuid4().hex[:8]}"
    Jar.objects.create(name=jar, available=1000)
    broker.publish_task("inventory", "sagas.step", [[]], NOBODY)
    with broker.refusing("inventory"):
        # When more come, again and again
        with transaction.atomic():
            ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(RUNS)]
        before_it = Run.objects.filter(pk__in=ids, cursor=2)
        eventually(lambda: before_it.count() == RUNS, what="all before the third step")
        refused = own_worker.text().count("MessageNacked")
        eventually(lambda: own_worker.text().count("MessageNacked") > refused + 5, within=30, what="refusals")

        # Then all wait, with no lease counted against them
        assert broker.length("inventory") == 1
        assert set(Run.objects.filter(pk__in=ids).values_list("claims", flat=True)) <= {0, 1}
        assert own_worker.process.poll() is None

    # And they go on as soon as they may
    request.getfixturevalue("third_step")
    await_states(ids, State.AWAITING_CONFIRM)
    for run_id in ids:
        assert_effects_once(run_id)
    assert_jar_adds_up(jar, 1000)
