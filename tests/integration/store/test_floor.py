"""Claims under a floor: where dead index entries are many, and no run may be missed that is due before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

import sagas
from sagas import runtime, store
from sagas.store import claims
from tests.lab.sagas import Experiment, Lab
from tests.support import servers
from tests.support.awaiting import eventually
from tests.support.driver import psycopg

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def crowded(alone: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every look from the start takes long."""
    monkeypatch.setattr(claims, "_CROWDED", 0.0)
    monkeypatch.setattr(runtime.memory, "is_due_crowded", True)
    monkeypatch.setattr(runtime.memory, "floor_until", float("-inf"))
    yield


def claimed() -> set[UUID]:
    with transaction.atomic():
        return {row.id for row in store.claims.lock_due(100, lapsed=False, begin=True)}


def sql(statement: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def test_no_floor_is_asked_for_where_claims_are_fast(alone: None) -> None:
    assert store.claims.floor() is None


def test_a_slow_claim_has_the_next_one_look_why(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    run_id = sagas.start(Lab, Experiment())
    monkeypatch.setattr(claims, "_SLOW", 0.0)
    monkeypatch.setattr(claims, "_CROWDED", float("inf"))

    # When
    assert claimed() == {run_id}
    suspected = runtime.memory.is_due_crowded
    assert claimed() == {run_id}

    # Then it has looked, and there was nothing
    assert suspected
    monkeypatch.setattr(claims, "_SLOW", float("inf"))
    assert store.claims.floor() is None
    assert not runtime.memory.is_due_crowded


def test_the_floor_is_below_the_oldest_live_run(crowded: None) -> None:
    # Given a run that has been due for an hour, and that another session has locked
    run_id = sagas.start(Lab, Experiment())
    sql("UPDATE sagas_run SET due_at = now() - interval '1 hour' WHERE id = %s", run_id)
    with psycopg.connect(servers.worker_environment()["DATABASE_URL"]) as other, other.cursor() as cursor:
        cursor.execute("SELECT FROM sagas_run WHERE id = %s FOR UPDATE", [str(run_id)])
        assert claimed() == set()
        other.rollback()

        # When, then
        assert claimed() == {run_id}


def test_new_runs_and_runs_that_are_woken_are_found_at_once(crowded: None) -> None:
    # Given a floor, and a run that is due in an hour
    later = sagas.start(Lab, Experiment())
    sql("UPDATE sagas_run SET due_at = now() + interval '1 hour' WHERE id = %s", later)
    assert claimed() == set()
    until = runtime.memory.floor_until

    # When, then
    new = sagas.start(Lab, Experiment())
    assert claimed() == {new}
    with transaction.atomic():
        store.runs.make_due([later])
    assert claimed() == {new, later}
    assert runtime.memory.floor_until == until


@pytest.mark.parametrize("make", [store.runs.cut_leases, store.runs.wait_until])
def test_a_wait_that_ended_long_ago_makes_a_run_due_now(make: Callable[..., None], crowded: None) -> None:
    # Given
    run_id = sagas.start(Lab, Experiment())
    sql("UPDATE sagas_run SET due_at = now() + interval '1 hour' WHERE id = %s", run_id)
    assert claimed() == set()

    # When
    with transaction.atomic():
        make({run_id: time.time() - 3600})

    # Then
    assert claimed() == {run_id}


def test_a_lease_that_is_given_back_is_found_after_a_tick(crowded: None) -> None:
    # Given
    run_id = sagas.start(Lab, Experiment())
    with transaction.atomic():
        assert [row.id for row in store.claims.lock_due(1, lapsed=False, begin=True)] == [run_id]
        store.claims.lease([run_id], begin=True)
    assert claimed() == set()

    # When
    store.claims.release_leases([run_id])

    # Then
    eventually(lambda: claimed() == {run_id})


def test_a_run_that_comes_to_light_behind_the_floor_is_found_at_the_next_look(crowded: None) -> None:
    # Given a transaction that has started a run, and is open for longer than the floor allows for
    assert claimed() == set()
    run_id = sagas.start(Lab, Experiment())
    sql("UPDATE sagas_run SET due_at = now() - interval '1 hour' WHERE id = %s", run_id)

    # When, then
    eventually(lambda: claimed() == {run_id})


def test_a_process_without_runs_that_are_due_waits_for_the_next_one(crowded: None) -> None:
    run_id = sagas.start(Lab, Experiment())
    assert claimed() == {run_id}
    sql("UPDATE sagas_run SET due_at = now() + interval '1 hour' WHERE id = %s", run_id)
    seconds = store.claims.next_due()
    assert seconds is not None
    assert 3500 < seconds <= 3600
