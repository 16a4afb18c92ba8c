"""A signal handler raises while a statement is on its way, as Celery's soft time limit does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest
from django.db import connection, connections, transaction

from sagas.db import close_session, is_disconnected, is_lost
from tests.support.awaiting import eventually

pytestmark = pytest.mark.usefixtures("database")


class Raised(Exception):
    """What the handler raises."""


@pytest.fixture
def pid() -> Iterator[int]:
    """The server process of this thread's session."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        yield cursor.fetchone()[0]
    connection.close()


@contextmanager
def interrupted_once_asleep(pid: int) -> Iterator[None]:
    """Have a signal handler raise in the main thread as soon as the server executes the statement."""

    def handler(_: int, __: FrameType | None) -> None:
        raise Raised

    def send() -> None:
        try:
            eventually(lambda: is_asleep(pid), what="the statement is executed")
        finally:
            signal.raise_signal(signal.SIGALRM)
            connections.close_all()

    before = signal.signal(signal.SIGALRM, handler)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        sender.join()
        signal.signal(signal.SIGALRM, before)


def is_asleep(pid: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep')", [pid])
        return bool(cursor.fetchone()[0])


def sleep() -> None:
    with connection.cursor() as cursor:
        # psycopg2 waits for its end; psycopg 3 does not.
        cursor.execute("SELECT pg_sleep(3)")


def test_a_transaction_that_is_interrupted_in_a_statement_is_rolled_back_and_the_next_works(pid: int) -> None:
    # When
    with interrupted_once_asleep(pid), pytest.raises(Raised), transaction.atomic():
        sleep()
    # Then
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    eventually(lambda: not is_asleep(pid), within=2, what="the server has ended it")


def test_a_session_that_is_interrupted_outside_a_transaction_is_usable_or_lost(pid: int) -> None:
    # When
    with interrupted_once_asleep(pid), pytest.raises(Raised):
        sleep()
    # Then the server does nothing for it any more
    is_gone = is_disconnected()
    if is_gone:
        with pytest.raises(Exception) as lost, connection.cursor():
            pass
        assert is_lost(lost.value)
        close_session()
    eventually(lambda: not is_asleep(pid), within=2, what="the server has ended it")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
