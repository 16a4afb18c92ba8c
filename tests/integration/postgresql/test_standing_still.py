"""PostgreSQL stands still (SIGSTOP) and keeps its connections: nobody who asks it waits for long."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import OperationalError, connection, connections, transaction

from sagas import runtime
from sagas.db import is_disconnected, is_lost
from sagas.postgresql import watchdog
from tests.support.driver import psycopg
from tests.support.servers import paused

pytestmark = pytest.mark.usefixtures("database")

#: Seconds after which a test gives up: far longer than anybody should wait.
FOR_EVER = 60.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A second instead of half a minute."""
    connection.close()
    options = connection.settings_dict["OPTIONS"]
    monkeypatch.setitem(options, "patience", 1.0)
    monkeypatch.setitem(options, "connect_timeout", 2)
    yield
    connection.close()


def ask() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def use_the_drivers_cursor() -> None:
    connection.ensure_connection()
    with connection.connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def commit() -> None:
    connection.commit()


def roll_back() -> None:
    connection.rollback()


@pytest.mark.parametrize(
    ("work", "connected"),
    [
        *((work, True) for work in (ask, use_the_drivers_cursor, commit, roll_back)),
        *((work, False) for work in (ask, use_the_drivers_cursor)),
    ],
)
def test_a_statement_on_a_server_that_hangs_fails_with_a_lost_connection(
    work: Callable[[], None], connected: bool
) -> None:
    if connected:
        connection.set_autocommit(work not in {commit, roll_back})
        ask()
    with paused():
        began = time.monotonic()
        with pytest.raises((OperationalError, psycopg.OperationalError)) as lost:
            work()
        assert time.monotonic() - began < FOR_EVER
    # Then as if the server had died: the next one connects anew
    assert isinstance(lost.value, psycopg.Error) or is_lost(lost.value)
    assert is_disconnected()
    connection.close()
    ask()


def test_a_kept_session_that_is_checked_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagas.postgresql.base.USABLE_WITHIN", 0.5)
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "patience", FOR_EVER)
    ask()
    with paused():
        began = time.monotonic()
        assert not connection.is_usable()
        assert time.monotonic() - began < FOR_EVER / 2


def test_a_block_may_have_a_shorter_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "patience", FOR_EVER)
    ask()
    with paused(), watchdog.within(0.5), pytest.raises(OperationalError):
        ask()


def test_a_statement_within_the_timeout_is_left_alone() -> None:
    # Given somebody who computes for longer than a statement may take, between two of them
    with transaction.atomic():
        ask()
        threading.Event().wait(1.5)
        ask()


def test_each_of_many_threads_has_its_own_timeout() -> None:
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            ask()
        except OperationalError as error:
            ended.append(error)
        finally:
            connections.close_all()

    ready = threading.Barrier(9)

    def connect_and_wait() -> None:
        ask()
        ready.wait(FOR_EVER)
        ready.wait(FOR_EVER)
        wait()

    threads = [threading.Thread(target=connect_and_wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    ready.wait(FOR_EVER)
    with paused():
        ready.wait(FOR_EVER)
        for thread in threads:
            thread.join(FOR_EVER)
    assert len(ended) == 8


def test_a_forked_child_has_a_watchdog_of_its_own() -> None:
    ask()
    connection.close()
    pid = os.fork()
    if pid == 0:
        # The parent's thread is not here.
        code = 1
        try:
            connection.close()
            ask()
            code = 0 if runtime.own.watchdog is not None and runtime.own.watchdog._alive else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
