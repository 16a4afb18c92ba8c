"""RabbitMQ delivers every step and every deadline twice: the same end, and no effect twice."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import transaction

import sagas
from sagas import State
from tests.lab.points import DOUBLED
from tests.lab.sagas import Experiment, Lab, ShortLab
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.runs import assert_effects_once, assert_jar_adds_up, await_states, counts, new_jar, story
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("database")

WORKER = {"concurrency": 2, "COHORT": 10, "environment": {"LAB_DOUBLE": "0"}}
RUNS = 60


@pytest.fixture
def jar(own_worker: Worker) -> str:
    return new_jar(1000)


def doubled() -> int:
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        count: Any = client.get(DOUBLED)
    return int(count or 0)


def await_quiet() -> None:
    """Wait until the copies are worked off too: of a run that comes last, all copies come behind theirs."""
    for name in settings.SAGAS["QUEUES"]:
        eventually(lambda name=name: broker.length(name) == 0, what=f"{name} empty")  # type: ignore[misc]


def test_runs_end_correctly_when_every_message_is_duplicated(jar: str) -> None:
    # Given runs of each fate, in cohorts that are mixed
    before = doubled()
    fates = ["confirm", "cancel", "reject"]
    with transaction.atomic():
        ids = [
            sagas.start(Lab, Experiment(jar=jar, reject=("four",) if fates[n % 3] == "reject" else ()))
            for n in range(RUNS)
        ]
    await_states(ids, State.AWAITING_CONFIRM, State.FAILED)

    # When
    with transaction.atomic():
        for run_id in ids[0::3]:
            sagas.confirm(run_id, "approval", {})
        for run_id in ids[1::3]:
            sagas.cancel(run_id)

    # Then
    assert await_states(ids, State.SUCCEEDED, State.FAILED) == {State.SUCCEEDED: 20, State.FAILED: 40}
    await_quiet()
    # A cohort goes by at least one message, and its worker goes on with the steps that follow
    assert doubled() - before >= RUNS // 10
    for run_id in ids:
        assert_effects_once(run_id)
    assert counts(jar) == (980, 0, 20)
    assert_jar_adds_up(jar, 1000)


def test_a_step_that_fails_once_succeeds_when_every_message_is_duplicated(jar: str) -> None:
    ids = [sagas.start(Lab, Experiment(jar=jar, faults={"two.forward": 1, "three.try": 1})) for _ in range(10)]
    await_states(ids, State.AWAITING_CONFIRM)
    await_quiet()
    for run_id in ids:
        assert_effects_once(run_id)
    assert counts(jar) == (990, 10, 0)
    assert_jar_adds_up(jar, 1000)


def test_a_duplicate_deadline_expires_a_run_once(jar: str) -> None:
    before = doubled()
    ids = [sagas.start(ShortLab, Experiment(jar=jar)) for _ in range(10)]
    assert await_states(ids, State.FAILED) == {State.FAILED: 10}
    await_quiet()
    assert doubled() > before
    for run_id in ids:
        assert_effects_once(run_id)
        assert story(run_id).count("expire") == 1
    assert counts(jar) == (1000, 0, 0)
