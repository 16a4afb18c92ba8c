"""Celery's time limits cut off a cohort of real workers: the run that takes too long is found, the others go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings

import sagas
from sagas import State
from tests.integration.conftest import Start
from tests.lab.points import STALLED
from tests.lab.sagas import Experiment, Unconfirmed
from tests.support.runs import await_state, await_states, story

pytestmark = pytest.mark.slow


@pytest.fixture
def stalled() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        yield client
        client.delete(STALLED)


@pytest.mark.parametrize("limit", ["task_time_limit", "task_soft_time_limit"])
def test_a_run_that_takes_too_long_ends_by_its_retry_policy_and_its_neighbours_go_on(
    alone: None, start_worker: Start, stalled: redis.Redis, limit: str
) -> None:
    # Given a cohort of seven, small enough that the dispatcher itself begins with it
    ids = [sagas.start(Unconfirmed, Experiment()) for _ in range(7)]
    stalled.set(STALLED, str(ids[3]))
    neighbours = [run_id for run_id in ids if run_id != ids[3]]

    # When
    worker = start_worker(concurrency=2, LEASE=2, DELIVERIES=2, CELERY={limit: 3})

    # Then
    await_states(neighbours, State.SUCCEEDED, within=60)
    for run_id in neighbours:
        assert not [line for line in story(run_id) if line.endswith("FAULT")]
    await_state(ids[3], State.FAILED, within=120)
    assert story(ids[3]).count("one.forward FAULT") == 3
    assert worker.process.poll() is None
