"""Watched runs: a function is called at a change, which Redis has announced or the database shows."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from threading import Event
from uuid import UUID, uuid4

import pytest
import redis
from django.conf import settings as django_settings
from django.db import DatabaseError, connection, transaction
from pytest_django import Settings

import sagas
from sagas import runtime, store, watching
from sagas.redis.changes import CHANNEL, _read
from tests.lab.sagas import Experiment, Lab
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def rarely(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database is not asked: what comes was announced."""
    monkeypatch.setattr(watching, "ASKED_EVERY", 3600.0)
    yield
    eventually(lambda: runtime.own.watcher is None or runtime.own.watcher.count == 0, what="nobody watches")


def await_listening() -> None:
    client = redis.Redis.from_url(django_settings.SAGAS["REDIS_URL"])
    try:
        eventually(lambda: dict(client.pubsub_numsub(CHANNEL))[CHANNEL.encode()], what="a subscription")
    finally:
        client.close()


def test_a_change_that_is_announced_calls_the_function_once(rarely: None) -> None:
    # Given
    run_id = sagas.start(Lab, Experiment())
    calls: list[float] = []
    watching.watch(run_id, 60, lambda: calls.append(time.monotonic()))
    await_listening()
    assert not calls

    # When
    Carrier().run([run_id])
    sagas.cancel(run_id, reason="test")

    # Then
    eventually(lambda: calls, what="the call")
    assert len(calls) == 1


def test_a_change_that_is_rolled_back_is_not_announced(rarely: None) -> None:
    # Given
    run_id, other = (sagas.start(Lab, Experiment()) for _ in range(2))
    called, also = Event(), Event()
    watched = watching.watch(run_id, 60, called.set)
    watching.watch(other, 60, also.set)
    await_listening()

    # When
    with transaction.atomic():
        sagas.cancel(run_id, reason="test")
        transaction.set_rollback(True)
    sagas.cancel(other, reason="test")

    # Then the other one's has come, and this one's has not
    assert also.wait(20)
    assert not called.is_set()
    watched.cancel()


def test_a_change_that_nobody_announces_is_seen_in_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a run that changes without a change of its state
    monkeypatch.setattr(watching, "ASKED_EVERY", 0.05)
    run_id = sagas.start(Lab, Experiment())
    called = Event()
    watching.watch(run_id, 60, called.set)

    # When
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_run SET attempt = attempt + 1 WHERE id = %s", [run_id])

    # Then
    assert called.wait(20)


def test_without_redis_the_database_is_asked(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    # Given
    settings.SAGAS = {**django_settings.SAGAS, "REDIS_URL": None}
    monkeypatch.setattr(watching, "ASKED_EVERY", 0.05)
    run_id = sagas.start(Lab, Experiment())
    called = Event()
    watching.watch(run_id, 60, called.set)

    # When
    sagas.cancel(run_id, reason="test")

    # Then
    assert called.wait(20)


def test_a_run_that_is_committed_while_it_is_watched_is_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given nobody's id
    monkeypatch.setattr(watching, "ASKED_EVERY", 0.05)
    run_id = uuid4()
    called = Event()
    watching.watch(run_id, 60, called.set)

    # When
    sagas.start(Lab, Experiment(), run_id=run_id)

    # Then
    assert called.wait(20)


def test_when_the_time_is_over_the_function_is_called_though_nothing_has_changed(rarely: None) -> None:
    called = Event()
    watching.watch(sagas.start(Lab, Experiment()), 0.01, called.set)
    assert called.wait(20)


def test_a_cancelled_watch_calls_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two watches of a run, of which one is cancelled
    monkeypatch.setattr(watching, "ASKED_EVERY", 0.05)
    run_id = sagas.start(Lab, Experiment())
    called, also = Event(), Event()
    watched = watching.watch(run_id, 60, called.set)
    watching.watch(run_id, 60, also.set)
    watched.cancel()

    # When
    sagas.cancel(run_id, reason="test")

    # Then
    assert also.wait(20)
    assert not called.is_set()


def test_a_function_that_breaks_is_logged_and_the_others_are_called(caplog: pytest.LogCaptureFixture) -> None:
    # Given
    def break_() -> None:
        msg = "no"
        raise RuntimeError(msg)

    run_id = sagas.start(Lab, Experiment())
    called = Event()
    watching.watch(run_id, 0.01, break_)

    # When
    watching.watch(run_id, 0.2, called.set)

    # Then
    assert called.wait(20)
    assert "what was to be done at the change of a run failed" in caplog.text


def test_a_database_that_fails_for_a_moment_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    # Given nobody who announces the change
    settings.SAGAS = {**django_settings.SAGAS, "REDIS_URL": None}
    monkeypatch.setattr(watching, "ASKED_EVERY", 0.02)
    run_id = sagas.start(Lab, Experiment())
    called = Event()
    watching.watch(run_id, 60, called.set)
    find, fails = store.runs.find_versions, [3]

    def failing(ids: Collection[UUID]) -> dict[UUID, str]:
        if fails[0]:
            fails[0] -= 1
            raise DatabaseError("away")
        return find(ids)

    monkeypatch.setattr(store.runs, "find_versions", failing)

    # When
    sagas.cancel(run_id, reason="test")

    # Then
    assert called.wait(20)
    assert "what is watched was not looked at" in caplog.text


def test_one_question_is_for_all_runs_that_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    monkeypatch.setattr(watching, "ASKED_EVERY", 0.05)
    runs = {sagas.start(Lab, Experiment()) for _ in range(3)}
    watches = [watching.watch(run_id, 60, lambda: None) for run_id in runs]
    asked: list[set[object]] = []
    find = store.runs.find_versions

    def noting(ids: Collection[UUID]) -> dict[UUID, str]:
        asked.append(set(ids))
        return find(ids)

    monkeypatch.setattr(store.runs, "find_versions", noting)

    # Then
    eventually(lambda: asked, what="a question")
    assert asked[0] == runs
    for watched in watches:
        watched.cancel()


def test_what_else_is_watched_is_asked_for_once_for_all_and_its_change_calls_the_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given runs that do not change any more, and something that does
    monkeypatch.setattr(watching, "ASKED_EVERY", 0.05)
    one, other, alone = (sagas.start(Lab, Experiment()) for _ in range(3))
    besides: dict[UUID, str] = {one: "making"}
    asked: list[set[UUID]] = []

    def find(ids: Collection[UUID]) -> dict[UUID, str]:
        asked.append(set(ids))
        return {run_id: besides[run_id] for run_id in ids if run_id in besides}

    called, also, plain = Event(), Event(), Event()
    watching.watch(one, 60, called.set, besides=find)
    watches = [watching.watch(other, 60, also.set, besides=find), watching.watch(alone, 60, plain.set)]

    # When
    besides[one] = "ready"

    # Then
    assert called.wait(20)
    assert {one, other} in asked
    assert not any(alone in ids for ids in asked)
    assert not also.is_set()
    assert not plain.is_set()
    for watched in watches:
        watched.cancel()


def test_what_else_is_watched_can_be_announced(rarely: None) -> None:
    # Given
    run_id = sagas.start(Lab, Experiment())
    called = Event()
    watching.watch(run_id, 60, called.set, besides=lambda _: {})
    await_listening()

    # When it is rolled back, and then done
    with transaction.atomic():
        watching.announce([run_id])
        transaction.set_rollback(True)
    assert not called.is_set()
    watching.announce([run_id])

    # Then
    assert called.wait(20)


@pytest.mark.parametrize("data", [b"", b"{", b"{no}", b"{%s}" % (b"," * 20_000), b"\xff{}", None, 3, b"{}"])
def test_messages_that_are_not_the_engines_are_of_no_run(data: object) -> None:
    assert _read(data) == set()
