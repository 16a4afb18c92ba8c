"""Real workers whose cohorts are cut off, or wait for a lock that somebody holds: the others get on."""

from __future__ import annotations

from contextlib import closing

import pytest
import redis
from django.conf import settings
from django.db import connection

import sagas
from sagas import State
from tests.integration.conftest import Start
from tests.lab.points import CUT_OFF
from tests.lab.sagas import Experiment, Lab, Unconfirmed
from tests.support.awaiting import eventually
from tests.support.driver import psycopg
from tests.support.runs import await_state, await_states, new_jar, state, story

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("count", [7, 20], ids=["begun by the dispatcher", "by messages"])
def test_a_run_that_always_ends_its_session_is_found(alone: None, start_worker: Start, count: int) -> None:
    # Given
    ids = [sagas.start(Unconfirmed, Experiment()) for _ in range(count)]
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        client.set(CUT_OFF, str(ids[3]))
        neighbours = [run_id for run_id in ids if run_id != ids[3]]

        # When
        worker = start_worker(concurrency=2)
        await_states(neighbours, State.SUCCEEDED, within=60)
        await_state(ids[3], State.FAILED, within=120)

        # Then
        client.delete(CUT_OFF)
    for run_id in neighbours:
        assert not [line for line in story(run_id) if line.endswith("FAULT")]
    assert story(ids[3]).count("one.forward FAULT") == 3
    assert worker.process.poll() is None


def test_other_runs_go_on_while_a_row_is_locked(alone: None, start_worker: Start) -> None:
    # Given somebody who holds a jar, and runs that want it amid others
    jar, other = new_jar(1000), new_jar(1000)
    wanted = {**connection.get_connection_params(), "cursor_factory": None, "application_name": "psql"}
    worker = start_worker(concurrency=4)
    with closing(psycopg.connect(**wanted)) as psql:
        with psql.cursor() as cursor:
            cursor.execute("UPDATE lab_jar SET available = available WHERE name = %s", [jar])
        # When
        waiting = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(6)]
        ids = [sagas.start(Lab, Experiment(jar=other)) for _ in range(30)]

        # Then the others wait for no payment longer than they would
        await_states(ids, State.AWAITING_CONFIRM, within=60)
        worker.await_text("for a lock that is held by")
        assert f"process {psql.info.backend_pid} (application 'psql'" in worker.text()
        for run_id in waiting:
            assert state(run_id) in {State.EXECUTING, State.COMPENSATING, State.FAILED}
            assert not [line for line in story(run_id) if line.endswith("FAULT")]
        psql.rollback()
    # And those that are still in time get on as soon as it is given back
    eventually(
        lambda: all(state(run_id) in {State.AWAITING_CONFIRM, State.FAILED} for run_id in waiting),
        within=60,
        what="all decided",
    )
