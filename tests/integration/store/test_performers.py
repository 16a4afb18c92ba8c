"""Log rows name the worker and who undoes the effect by a number, once that is on record."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from pytest_django import Settings

import sagas
from sagas import runtime, selectors, store
from sagas.models import Log, Performer
from sagas.retention import pruning
from sagas.store import performers
from sagas.store.moves import Entry
from tests.lab.sagas import Experiment, Lab
from tests.support import retention
from tests.support.carrier import Carrier
from tests.support.row_locks import await_lock_waits

pytestmark = pytest.mark.usefixtures("alone")

BEFORE = (
    "INSERT INTO sagas_log (run_id, step, operation, outcome, attempt, at, duration_us, worker, trace_id, compensate) "
    "VALUES (%s, %s, 'forward', 'DONE', 1, now(), 0, 'worker@old', gen_random_uuid(), 'shop.give_back')"
)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A performer of whom nobody knows. Other processes keep the numbers of those that are on record."""
    monkeypatch.setattr(runtime.memory, "performers", {})
    return f"worker@{uuid4().hex}", "shop.give_back"


def log(run_id: UUID, step: str, names: tuple[str, str]) -> None:
    with transaction.atomic():
        entry = Entry(operation="forward", outcome="DONE", step=step, worker=names[0], compensate=names[1])
        store.moves.log(entry, store.runs.lock([run_id]))


def named(run_id: UUID) -> list[tuple[str | None, str, str]]:
    """What stands in each row, and what is read of it."""
    return [(e.worker, e.performed_by, e.undone_by) for e in selectors.timeline(run_id) if e.outcome != "EVENT"]


def test_the_first_row_has_the_names_and_the_next_one_their_number(names: tuple[str, str]) -> None:
    # Given
    run_id = sagas.start(Lab, Experiment())

    # When
    log(run_id, "one", names)
    log(run_id, "two", names)

    # Then
    assert named(run_id) == [(names[0], *names), (None, *names)]
    assert Performer.objects.filter(worker=names[0]).count() == 1


def test_nobody_is_on_record_whose_transaction_was_rolled_back(names: tuple[str, str]) -> None:
    # Given
    run_id = sagas.start(Lab, Experiment())

    # When
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        log(run_id, "one", names)
        raise ZeroDivisionError

    # Then
    assert not Performer.objects.filter(worker=names[0]).exists()
    log(run_id, "one", names)
    assert named(run_id) == [(names[0], *names)]


def test_a_process_finds_the_number_that_another_has_given(names: tuple[str, str]) -> None:
    # Given
    other = Performer.objects.create(worker=names[0], compensate=names[1])
    run_id = sagas.start(Lab, Experiment())

    # When
    log(run_id, "one", names)
    log(run_id, "two", names)

    # Then
    assert [e.performer_id for e in Log.objects.filter(run_id=run_id, outcome="DONE").order_by("id")] == [
        None,
        other.pk,
    ]


def test_rows_of_an_earlier_version_are_read_as_they_are() -> None:
    run_id = sagas.start(Lab, Experiment())
    with connection.cursor() as cursor:
        cursor.execute(BEFORE, [run_id, "one"])
    assert named(run_id) == [("worker@old", "worker@old", "shop.give_back")]


def test_an_effect_happens_once_whichever_version_has_written_it(names: tuple[str, str]) -> None:
    # Given an effect with a number, and one with names
    run_id = sagas.start(Lab, Experiment())
    log(run_id, "one", names)
    log(run_id, "two", names)

    # When, then
    for step in ("one", "two"):
        with pytest.raises(IntegrityError, match="sagas_log_effect_once"), connection.cursor() as cursor:
            cursor.execute(BEFORE, [run_id, step])
        with pytest.raises(IntegrityError, match="sagas_log_effect_once"):
            log(run_id, step, names)
    with connection.cursor() as cursor:
        cursor.execute(BEFORE, [run_id, "three"])


def test_an_archived_row_has_all_names(names: tuple[str, str]) -> None:
    # Given
    run_id = sagas.start(Lab, Experiment())
    log(run_id, "one", names)
    log(run_id, "two", names)

    # When
    rows = store.retention.pruning.read_whole([run_id])["sagas_log"]

    # Then
    assert [(row["worker"], row["compensate"]) for row in rows[1:]] == [names, names]
    assert {row["trace_id"] for row in rows} == {str(store.runs.read([run_id])[0].trace_id)}
    assert "performer_id" not in rows[0]


# Their end ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def known(names: tuple[str, str], settings: Settings) -> UUID:
    """A run whose second row has the number of its performer; runs are kept for 30 days."""
    retention.keep(settings)
    run_id = sagas.start(Lab, Experiment(), run_id=retention.old_id(40))
    log(run_id, "one", names)
    log(run_id, "two", names)
    return run_id


def seen_ago(names: tuple[str, str], *, days: float) -> None:
    """Let a performer have been on record so much earlier for the last time."""
    Performer.objects.filter(worker=names[0]).update(seen_at=F("seen_at") - timedelta(days=days))


def is_on_record(names: tuple[str, str]) -> bool:
    return Performer.objects.filter(worker=names[0]).exists()


def end(run_id: UUID, *, days: float) -> None:
    sagas.cancel(run_id)
    Carrier().run([run_id])
    retention.age([run_id], days)


def prune() -> None:
    pruning.prune(limit=1000, rate=1e6)


def test_a_performer_goes_with_the_last_run_that_may_name_it(names: tuple[str, str], known: UUID) -> None:
    # Given a worker that ended soon after the run had begun
    seen_ago(names, days=40)
    prune()
    assert is_on_record(names), "the run is there"
    end(known, days=31)

    # When
    prune()

    # Then
    assert not is_on_record(names)


def test_a_performer_stays_while_its_worker_looks_for_it(names: tuple[str, str], known: UUID) -> None:
    # Given
    end(known, days=31)

    # When
    prune()

    # Then
    assert not retention.there([known])
    assert is_on_record(names)


def test_a_performer_stays_while_a_younger_run_may_name_it(names: tuple[str, str], known: UUID) -> None:
    # Given a run that began some hours after the performer was last on record: clocks differ
    end(known, days=31)
    seen_ago(names, days=5)
    sagas.start(Lab, Experiment(), run_id=retention.old_id(4.5))

    # When
    prune()

    # Then
    assert is_on_record(names)

    # When that run is gone, too, and there is only a later one
    seen_ago(names, days=1)
    prune()

    # Then
    assert not is_on_record(names)


@pytest.mark.parametrize("first", ["0", "f"])
def test_no_performer_goes_where_ids_of_runs_do_not_tell_the_time(
    names: tuple[str, str], known: UUID, first: str
) -> None:
    # Given a run with another id, lower or higher than those of its time
    end(known, days=31)
    seen_ago(names, days=40)
    sagas.start(Lab, Experiment(), run_id=UUID(f"{first}{uuid4().hex[1:]}"))

    # When
    prune()

    # Then
    assert is_on_record(names)


def test_a_worker_that_was_stopped_for_long_looks_whether_its_number_is_still_there(
    names: tuple[str, str], known: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a worker that is stopped, its performer and all runs of that time are deleted
    (old,) = Performer.objects.filter(worker=names[0])
    end(known, days=31)
    seen_ago(names, days=40)
    prune()
    assert not is_on_record(names)
    run_id = sagas.start(Lab, Experiment())

    # When it goes on
    monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + performers.TRUSTED)
    log(run_id, "one", names)
    log(run_id, "two", names)

    # Then
    assert named(run_id) == [(names[0], *names), (None, *names)]
    assert Performer.objects.get(worker=names[0]).pk > old.pk


def test_a_performer_that_is_used_is_seen_again_and_keeps_its_number(
    names: tuple[str, str], known: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    (old,) = Performer.objects.filter(worker=names[0])
    seen_ago(names, days=2)

    # When
    monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + performers.TRUSTED)
    log(known, "three", names)

    # Then
    new = Performer.objects.get(worker=names[0])
    assert new.pk == old.pk
    assert old.seen_at <= new.seen_at


def test_a_worker_that_comes_back_while_its_performer_is_deleted_waits_and_gets_a_new_number(
    names: tuple[str, str], known: UUID
) -> None:
    # Given
    (old,) = Performer.objects.filter(worker=names[0])
    end(known, days=31)
    prune()
    seen_ago(names, days=40)
    run_id = sagas.start(Lab, Experiment())
    runtime.memory.performers.clear()

    def come_back() -> None:
        try:
            log(run_id, "one", names)
        finally:
            connection.close()

    # When the worker looks before the deletion is committed
    with ThreadPoolExecutor(1) as worker, transaction.atomic():
        performers.prune(store.runs.clock())
        done = worker.submit(come_back)
        await_lock_waits()
        transaction.on_commit(lambda: done.result(timeout=10))

    # Then
    log(run_id, "two", names)
    assert named(run_id) == [(names[0], *names), (None, *names)]
    assert Performer.objects.get(worker=names[0]).pk > old.pk


def test_a_performer_is_not_deleted_whose_worker_comes_back_before_that(names: tuple[str, str], known: UUID) -> None:
    # Given
    end(known, days=31)
    prune()
    seen_ago(names, days=40)

    def delete() -> int:
        try:
            return performers.prune(store.runs.clock())
        finally:
            connection.close()

    # When its worker looks at the same time, and is first
    with ThreadPoolExecutor(1) as other, transaction.atomic():
        Performer.objects.filter(worker=names[0]).update(seen_at=Now())
        done = other.submit(delete)
        await_lock_waits()
        transaction.on_commit(lambda: done.result(timeout=10))

    # Then
    assert is_on_record(names)
