"""Redis dies, and comes back: kicks are lost, and ticks do their work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import sagas
from sagas import State
from tests.lab.sagas import Experiment, Lab, ShortLab
from tests.support import servers
from tests.support.runs import assert_effects_once, assert_jar_adds_up, await_states, counts, new_jar
from tests.support.workers import Worker

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.chaos]

WORKER = {"concurrency": 2}


@pytest.fixture
def jar(own_worker: Worker) -> str:
    return new_jar(100)


@pytest.fixture
def no_redis(own_worker: Worker) -> Iterator[None]:
    servers.kill("redis")
    yield
    servers.start("redis")


def live_through_all_fates(jar: str) -> None:
    """Runs that are confirmed, cancelled, left alone, and retried on their way."""
    ids = [sagas.start(Lab, Experiment(jar=jar, faults={"two.forward": 1})) for _ in range(12)]
    alone = [sagas.start(ShortLab, Experiment(jar=jar)) for _ in range(3)]
    await_states(ids, State.AWAITING_CONFIRM)
    for run_id in ids[:6]:
        sagas.confirm(run_id, "approval", {})
    for run_id in ids[6:]:
        sagas.cancel(run_id)
    assert await_states(ids, State.SUCCEEDED, State.FAILED) == {State.SUCCEEDED: 6, State.FAILED: 6}
    assert await_states(alone, State.FAILED) == {State.FAILED: 3}
    for run_id in [*ids, *alone]:
        assert_effects_once(run_id)
    assert counts(jar) == (94, 0, 6)
    assert_jar_adds_up(jar, 100)


def test_without_redis_all_runs_end(own_worker: Worker, no_redis: None, jar: str) -> None:
    live_through_all_fates(jar)
    assert own_worker.process.poll() is None


def test_redis_restarts_with_runs_in_flight(own_worker: Worker, jar: str) -> None:
    # Given runs that begin while it is there
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(12)]
    servers.kill("redis")
    try:
        # When they are decided while it is away
        await_states(ids, State.AWAITING_CONFIRM)
        for run_id in ids:
            sagas.cancel(run_id)
    finally:
        servers.start("redis")

    # Then they end, and so do those that come after
    assert await_states(ids, State.FAILED) == {State.FAILED: 12}
    for run_id in ids:
        assert_effects_once(run_id)
    live_through_all_fates(jar)
    assert own_worker.process.poll() is None
