"""What RabbitMQ holds is thrown away whole, with runs in flight: all of it is found again in the database."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.db import transaction

import sagas
from sagas import State
from tests.lab.sagas import Experiment, Lab
from tests.support import broker, row_locks
from tests.support.awaiting import eventually
from tests.support.runs import (
    assert_effects_once,
    assert_jar_adds_up,
    await_state,
    await_states,
    counts,
    expired_by,
    new_jar,
    shift_clock,
)
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("database")

WORKER = {"concurrency": 2, "LEASE": 1, "COHORT": 2}
RUNS = 40


@pytest.fixture
def jar(own_worker: Worker) -> str:
    return new_jar(1000)


def test_runs_end_after_all_step_queues_are_purged(jar: str) -> None:
    # Given many cohorts, and nobody who gets beyond the third step
    with row_locks.blocked_at("three"):
        with transaction.atomic():
            ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(RUNS)]
        row_locks.await_lock_waits(2)

        # When
        lost = eventually(lambda: broker.purge(*settings.SAGAS["QUEUES"]), what="something to lose")

    # Then
    assert lost
    assert await_states(ids, State.AWAITING_CONFIRM) == {State.AWAITING_CONFIRM: RUNS}
    for run_id in ids:
        assert_effects_once(run_id)
    assert counts(jar) == (1000 - RUNS, RUNS, 0)
    assert_jar_adds_up(jar, 1000)


def test_runs_end_after_confirm_and_undo_messages_are_purged(jar: str) -> None:
    # Given runs that are all decided while nobody gets at the jar
    with transaction.atomic():
        ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(RUNS)]
    await_states(ids, State.AWAITING_CONFIRM)
    with row_locks.blocked_at("three"):
        with transaction.atomic():
            for run_id in ids[0::2]:
                sagas.confirm(run_id, "approval", {})
            for run_id in ids[1::2]:
                sagas.cancel(run_id)
        row_locks.await_lock_waits(2)

        # When
        lost = eventually(lambda: broker.purge(*settings.SAGAS["QUEUES"]), what="something to lose")

    # Then
    assert lost
    assert await_states(ids, State.SUCCEEDED, State.FAILED) == {State.SUCCEEDED: RUNS // 2, State.FAILED: RUNS // 2}
    for run_id in ids:
        assert_effects_once(run_id)
    assert counts(jar) == (1000 - RUNS // 2, 0, RUNS // 2)
    assert_jar_adds_up(jar, 1000)


def test_the_tick_expires_runs_whose_deadline_messages_are_purged(jar: str) -> None:
    # Given a run that waits, and its deadline lost
    run_id = sagas.start(Lab, Experiment(jar=jar))
    await_state(run_id, State.AWAITING_CONFIRM)
    assert eventually(lambda: broker.purge("sagas.deadline.30000"), what="a deadline to lose")

    # When half a minute is over
    shift_clock([run_id], 31)

    # Then
    await_state(run_id, State.FAILED)
    assert expired_by(run_id) == "tick"
    assert_effects_once(run_id)
    assert counts(jar) == (1000, 0, 0)
