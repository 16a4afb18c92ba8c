"""A kept session is asked whether it answers (`CONN_HEALTH_CHECKS`) only if it was idle or the server has spoken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import pytest
from django.core.signals import request_started
from django.db import connection

from sagas.postgresql import base
from tests.support.driver import psycopg

pytestmark = pytest.mark.usefixtures("database")


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(base, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """What each question, whether the session answers, has found."""
    found: list[bool] = []
    ask = base.DatabaseWrapper.is_usable

    def is_usable(wrapper: base.DatabaseWrapper) -> bool:
        found.append(ask(wrapper))
        return found[-1]

    monkeypatch.setattr(base.DatabaseWrapper, "is_usable", is_usable)
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 600)
    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", True)
    connection.close()
    yield found
    connection.close()


def request() -> int:
    """What a request does: Django's signal, and a statement. Return the number of its session."""
    request_started.send(sender=None)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_a_busy_session_is_not_asked_whether_it_answers(clock: Clock, asked: list[bool]) -> None:
    first = request()
    clock.now += base.IDLE - 1
    assert (request(), asked) == (first, [])


def test_a_session_that_was_idle_is_asked(clock: Clock, asked: list[bool]) -> None:
    first = request()
    clock.now += base.IDLE
    assert (request(), asked) == (first, [True])


def test_a_busy_session_that_the_server_has_ended_is_replaced_before_the_next_request(
    clock: Clock, asked: list[bool]
) -> None:
    first = request()
    other = psycopg.connect(**{**connection.get_connection_params(), "cursor_factory": None})
    with closing(other), other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    assert request() != first
    assert asked == [False]
