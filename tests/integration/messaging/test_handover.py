"""A kick is performed by a child of the worker that took it, without RabbitMQ, where a child is free."""

from __future__ import annotations

from contextlib import closing
from uuid import UUID

import psutil
import pytest
import redis
from django.conf import settings
from django.db import connection

import sagas
from sagas import State
from sagas.redis import kicks
from tests.integration.conftest import Start
from tests.lab.sagas import Experiment, Lab
from tests.support import servers
from tests.support.awaiting import eventually
from tests.support.driver import psycopg
from tests.support.row_locks import await_lock_waits, blocked_at
from tests.support.runs import assert_effects_once, await_state
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("alone")

#: Seconds between two ticks: no test waits for one.
TICK = 60


def handed_over(worker: Worker) -> int:
    return worker.text().count("a kick goes to a child")


@pytest.fixture
def worker(start_worker: Start) -> Worker:
    return start_worker(TICK=TICK)


def start(jar: str) -> UUID:
    return sagas.start(Lab, Experiment(jar=jar))


def test_a_kick_goes_to_a_free_child(worker: Worker, jar: str) -> None:
    run_id = start(jar)
    await_state(run_id, State.AWAITING_CONFIRM)
    assert_effects_once(run_id)
    assert handed_over(worker)


def test_a_kick_goes_to_rabbitmq_where_all_children_are_busy(worker: Worker, jar: str) -> None:
    with blocked_at("three"):
        first = start(jar)
        await_lock_waits()
        # When the only child is busy
        before = handed_over(worker)
        second = start(jar)
        with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
            eventually(lambda: client.exists(kicks.ASKED), what="a dispatch that was published, and has not begun")
        assert handed_over(worker) == before
    # Then the child takes it when it is free
    for run_id in (first, second):
        await_state(run_id, State.AWAITING_CONFIRM)
        assert_effects_once(run_id)


def _is_quiet() -> bool:
    """Whether nobody has asked the database for a moment: the worker's children are idle, and its tick is over."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend' "
            "AND (state <> 'idle' OR state_change > clock_timestamp() - interval '200 milliseconds')"
        )
        (busy,) = cursor.fetchone()
    return not busy


def test_after_a_child_has_died_with_a_kick_another_dispatch_is_made_at_once(
    worker: Worker, jar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run of which nobody was told
    await_state(start(jar), State.AWAITING_CONFIRM)
    with monkeypatch.context() as quiet:
        quiet.setattr(kicks, "kick", lambda: None)
        run_id = start(jar)
    before = handed_over(worker)

    # When the child that is to claim it dies before it has done so
    with closing(psycopg.connect(servers.worker_environment()["DATABASE_URL"])) as other, other.cursor() as cursor:
        # What the first run's child still does would be what waits for the lock, and the kick would join it.
        eventually(_is_quiet, what="a worker that does nothing")
        cursor.execute("LOCK sagas_run IN EXCLUSIVE MODE")
        kicks.kick()
        await_lock_waits()
        eventually(lambda: handed_over(worker) == before + 1, what="the line that says so")
        (child,) = psutil.Process(worker.process.pid).children()
        child.kill()
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )

    # Then another one claims it, and no tick has asked
    await_state(run_id, State.AWAITING_CONFIRM)
    assert_effects_once(run_id)
    assert worker.text().count("a child has died with a kick") == 1


def test_kicks_go_to_children_again_after_the_connection_was_lost(worker: Worker, jar: str) -> None:
    await_state(start(jar), State.AWAITING_CONFIRM)
    before, connected = handed_over(worker), worker.text().count("Connected to amqp")
    # When
    servers.rabbitmqctl("-q", "close_all_connections", "a test")
    eventually(lambda: worker.text().count("Connected to amqp") > connected, what="a new connection")
    # Then. A kick that comes before the worker consumes again goes to RabbitMQ.
    while handed_over(worker) == before:
        await_state(start(jar), State.AWAITING_CONFIRM)
    assert worker.process.poll() is None
