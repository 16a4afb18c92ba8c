"""Django's pool of connections (``OPTIONS={"pool": …}``), which needs psycopg 3."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
from django.db import connection, connections
from django.db.backends.postgresql.psycopg_any import is_psycopg3

import sagas
from sagas import State, tasks
from tests.lab.sagas import Experiment, Lab
from tests.support.carrier import Carrier, chains, claim_all
from tests.support.runs import states, story

pytestmark = [
    pytest.mark.usefixtures("alone"),
    pytest.mark.skipif(not is_psycopg3, reason="psycopg2 has no pool that Django uses"),
]


@pytest.fixture(autouse=True)
def _pooled(alone: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """At most two sessions, which outlive the connections of requests and tasks."""
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "pool", {"min_size": 1, "max_size": 2})
    yield
    connection.close()
    cast("Any", connection).close_pool()


def session() -> int:
    """The server process of this thread's session."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_runs_go_on_in_sessions_of_the_pool(jar: str) -> None:
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(3)]
    sessions = set()
    for _ in range(3):
        connection.close()
        sessions.add(session())
        Carrier().run(ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 3}
    assert len(sessions) <= 2


def test_a_session_that_cannot_write_is_not_given_out_again(jar: str) -> None:
    # Given a step that comes to a worker in the middle of a failover
    run_id = sagas.start(Lab, Experiment(jar=jar))
    chains(claim_all())
    which = {"saga": Lab.name, "version": 1, "step": "one", "phase": "forward"}
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    unfit = session()
    # When
    tasks.step.apply([[str(run_id)]], which, throw=True)
    # Then the next one is in a new session
    assert connection.connection is None
    assert session() != unfit
    tasks.step.apply([[str(run_id)]], which, throw=True)
    assert story(run_id) == ["start", "one.forward DONE"]


def test_threads_share_the_sessions_of_the_pool(jar: str) -> None:
    started: list[Any] = []

    def start() -> None:
        started.append(sagas.start(Lab, Experiment(jar=jar)))
        connections.close_all()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connection.close()
    assert states(started) == {State.PENDING: 8}
    assert len(cast("Any", connection).pool._pool) <= 2


def test_a_forked_child_has_a_pool_of_its_own() -> None:
    # Given sessions of the parent, one of which it uses
    mine = session()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            # As Celery does in a child; that of the parent goes on.
            connection.connection = None
            code = 0 if session() != mine else 2
        finally:
            os._exit(code)
    # Then
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert session() == mine
