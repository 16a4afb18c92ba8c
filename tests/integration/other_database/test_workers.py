"""Real workers that are killed around the two commits of a step in another database."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis
from django.conf import settings
from django.db import transaction

import sagas
from sagas import State
from sagas.delivery.dispatching import FEW
from tests.lab.models import Jar
from tests.lab.points import KEY
from tests.lab.sagas import Experiment, Unconfirmed
from tests.loyalty.models import Purse
from tests.loyalty.sagas import Afar, AfarPatient
from tests.support import loyalty
from tests.support.awaiting import eventually
from tests.support.loyalty import assert_all_once, counts, rows
from tests.support.runs import await_state, await_states, states, story
from tests.support.workers import Worker

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.chaos]

WORKER = {"concurrency": 2, "LEASE": 1}
RUNS = 2 * FEW

FORWARD = ("two.forward", "three.try", "four.forward")
CONFIRM = ("two.confirm", "three.confirm")
UNDO = ("four.compensate", "three.cancel", "two.compensate")
MOMENTS = ("effect", "elsewhere.committed", "committed")
#: One of each phase between the commits; the others take their time.
REPRESENTATIVE = {
    f"{operation}.elsewhere.committed" for operation in ("two.forward", "three.confirm", "four.compensate")
}


@pytest.fixture(scope="module")
def _worker(loyalty_database: None, own_worker: Worker) -> Worker:
    return own_worker


@pytest.fixture
def purse(_worker: Worker, database: None) -> Iterator[str]:
    name = f"purse-{uuid4().hex[:8]}"
    Purse.objects.create(name=name, available=1000)
    Jar.objects.create(name=name, available=1000)
    yield name
    loyalty.assert_purse_adds_up(name, 1000)


@pytest.fixture
def killer() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        yield client
        client.delete(KEY)


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, marks=[] if point in REPRESENTATIVE else [pytest.mark.slow])
        for point in (f"{operation}.{moment}" for operation in FORWARD + CONFIRM + UNDO for moment in MOMENTS)
    ],
)
def test_effects_are_once_although_a_worker_is_killed(purse: str, killer: redis.Redis, point: str) -> None:
    # Given a cohort, and a worker child that will die there
    killer.set(KEY, point)
    with transaction.atomic():
        ids = [sagas.start(Afar, Experiment(jar=purse)) for _ in range(RUNS)]
    # When they are decided, half of them each way
    await_states(ids, State.AWAITING_CONFIRM)
    with transaction.atomic():
        for run_id in ids[::2]:
            sagas.confirm(run_id, "approval", {})
        for run_id in ids[1::2]:
            sagas.cancel(run_id)
    eventually(lambda: not killer.exists(KEY), within=30, what=f"a worker killed at {point}")

    # Then all end as if nothing had been
    found = await_states(ids, State.SUCCEEDED, State.FAILED)
    assert found == {State.SUCCEEDED: RUNS // 2, State.FAILED: RUNS // 2}
    assert_all_once(ids)
    assert counts(purse) == (1000 - RUNS // 2, 0, RUNS // 2)
    if point.endswith("elsewhere.committed"):
        step_operation = point.removesuffix(".elsewhere.committed")
        assert [run_id for run_id in ids if rows(run_id).get(step_operation) == "DONE"]


def test_runs_end_after_an_outage_of_the_other_database(purse: str) -> None:
    # Given it is away
    with loyalty.away():
        with transaction.atomic():
            ids = [sagas.start(AfarPatient, Experiment()) for _ in range(RUNS)]
        eventually(lambda: all("two.forward FAULT" in story(run_id) for run_id in ids), what="all have met with it")

        # Then runs that need nothing of it go on
        neighbour = sagas.start(Unconfirmed, Experiment())
        await_state(neighbour, State.SUCCEEDED)
        assert states(ids) == {State.EXECUTING: RUNS}

    # And when it is back, the others do
    assert await_states(ids, State.SUCCEEDED) == {State.SUCCEEDED: RUNS}
    assert_all_once(ids)
