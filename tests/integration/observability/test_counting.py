"""What the engine counts and measures of its runs, and when: after the commit, once, in whichever process did it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import transaction
from pytest_django import Settings

import sagas
from sagas import State, runtime, store
from sagas.engine.performing import perform
from sagas.metrics import Counter, catalogue
from sagas.metrics.sums import Key, Sums
from sagas.models import Measurement, Run
from sagas.observability.counting import count
from sagas.observability.flushing import Flusher
from sagas.store import observers
from tests.integration.conftest import Start
from tests.lab.sagas import Experiment, Lab, Unconfirmed
from tests.support.awaiting import eventually
from tests.support.carrier import chains, claim_all
from tests.support.metrics import counted, counting, stored
from tests.support.runs import await_states

pytestmark = pytest.mark.usefixtures("alone")

LAB, UNCONFIRMED = Lab.name, Unconfirmed.name


@pytest.fixture
def sums(alone: None, settings: Settings) -> Iterator[Sums]:
    settings.SAGAS = {**settings.SAGAS, "METRICS": True}
    with counting() as own:
        observers.observe(count)
        yield own
        runtime.declared.observers.remove(count)


@pytest.fixture
def _empty() -> Iterator[None]:
    Measurement.objects.all().delete()
    yield
    Measurement.objects.all().delete()


def test_a_claim_and_its_operations_are_counted_by_run(sums: Sums, jar: str) -> None:
    # Given
    for _ in range(3):
        sagas.start(Lab, Experiment(jar=jar))
    # When they are claimed, and perform their first step
    (chain,) = chains(claim_all())
    perform(chain.links[0], chain.ids)
    # Then
    found = counted(sums)
    link = chain.links[0]
    assert found["sagas_transitions_total"] == {(LAB, "EXECUTING"): 3}
    assert found["sagas_claim_wait_seconds"] == {(LAB, "PENDING"): 3}
    assert found["sagas_step_operations_total"] == {(LAB, link.step, link.operation, "DONE"): 3}
    # And of the cohort one time and one size
    assert found["sagas_step_duration_seconds"] == {(LAB, link.step, link.operation): 1}
    assert found["sagas_cohort_size"] == {(LAB, link.step, link.operation): 1}


def test_what_is_rolled_back_is_not_counted(sums: Sums) -> None:
    orders = Counter("shop_test_total", "…")
    with transaction.atomic():
        orders.add()
        transaction.set_rollback(True)
    assert counted(sums) == {}
    with transaction.atomic():
        orders.add(2)
        assert counted(sums) == {}
    assert counted(sums) == {"shop_test_total": {(): 2}}
    del runtime.declared.instruments["shop_test_total"]


def test_a_run_that_is_undone_is_measured_from_its_start_to_its_end(sums: Sums, jar: str) -> None:
    # Given a run that was started a minute ago
    run_id = sagas.start(Lab, Experiment(jar=jar))
    Run.objects.filter(pk=run_id).update(created_at=Run.objects.get(pk=run_id).created_at - timedelta(minutes=1))
    # When it is cancelled before it begins
    sagas.cancel(run_id)
    claim_all()
    # Then
    cell = sums.take()[Key("sagas_run_duration_seconds", (LAB, "FAILED"))]
    assert sum(cell.buckets) == 1
    assert 60 <= cell.value < 120


def test_a_deadline_that_the_tick_judges_is_measured(sums: Sums, jar: str) -> None:
    # Given a run whose deadline is over for an hour
    run_id = sagas.start(Lab, Experiment(jar=jar))
    claim_all()
    run = Run.objects.get(pk=run_id)
    assert run.started_at is not None
    Run.objects.filter(pk=run_id).update(
        started_at=run.started_at - timedelta(hours=1),
        deadline=run.started_at - timedelta(minutes=30),
        due_at=run.started_at,
        claims=0,
    )
    # When
    claim_all()
    # Then
    cell = sums.take()[Key("sagas_deadline_drift_seconds", (LAB, "tick"))]
    assert sum(cell.buckets) == 1
    assert 3000 < cell.value < 3700


def test_leases_that_lapse_are_counted(sums: Sums, jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    claim_all()
    Run.objects.filter(pk=run_id).update(due_at=Run.objects.get(pk=run_id).created_at)
    claim_all(lapsed=True)
    assert counted(sums)["sagas_leases_lapsed_total"] == {(LAB,): 1}


def test_a_refused_start_is_counted(sums: Sums, settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "ADMISSION": 1.0}
    run_id = sagas.start(Unconfirmed, Experiment())
    Run.objects.filter(pk=run_id).update(due_at=Run.objects.get(pk=run_id).created_at - timedelta(hours=1))
    runtime.reset()
    with pytest.raises(sagas.Overloaded):
        sagas.check_admission()
    assert counted(sums)["sagas_admission_refused_total"] == {(): 1}


def test_kicks_that_redis_does_not_take_are_counted(sums: Sums, settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "REDIS_URL": "redis://127.0.0.1:1/0"}
    runtime.reset()
    store.workers.kick()
    store.workers.kick()
    runtime.reset()
    assert counted(sums)["sagas_kicks_lost_total"] == {(): 2}
    assert counted(sums)["sagas_redis_away_total"] == {(): 1}


def test_a_flush_writes_what_was_counted_and_one_that_cannot_connect_keeps_it(
    sums: Sums, settings: Settings, _empty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.REFUSED.add(2)
    flusher = Flusher(sums)
    # Given a database that cannot be reached
    from django.db import OperationalError, connection

    connection.close()
    with monkeypatch.context() as patched:
        patched.setattr(connection, "ensure_connection", lambda: (_ for _ in ()).throw(OperationalError("away")))
        flusher.flush()
    assert stored() == {}
    # When it can be reached again
    catalogue.REFUSED.add()
    flusher.flush()
    # Then
    assert stored() == {"sagas_admission_refused_total": {(): 3}}
    assert sums.take() == {}


def test_what_may_have_been_written_is_not_written_twice(
    sums: Sums, _empty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a session that is lost with the statement
    catalogue.REFUSED.add(2)
    flusher = Flusher(sums)
    original = store.measurements.add
    from django.db import OperationalError

    def lost(*args: object, **options: object) -> None:
        original(*args, **options)  # type: ignore[arg-type]
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patched:
        patched.setattr(store.measurements, "add", lost)
        flusher.flush()
    flusher.flush()
    # Then the numbers are there once, and it is counted that they might have been lost
    assert stored() == {"sagas_admission_refused_total": {(): 2}, "sagas_metrics_lost_total": {(): 1}}
    assert sums.take() == {}


@pytest.mark.slow
def test_children_that_are_recycled_lose_no_counts(start_worker: Start, _empty: None) -> None:
    # Given a worker whose children end after two tasks
    start_worker(concurrency=2, METRICS=True, CELERY={"worker_max_tasks_per_child": 2})
    # When
    ids = [sagas.start(Unconfirmed, Experiment()) for _ in range(30)]
    assert await_states(ids, State.SUCCEEDED) == {State.SUCCEEDED: 30}
    # Then all runs are counted in the end
    ended = (UNCONFIRMED, "SUCCEEDED")
    eventually(lambda: stored().get("sagas_transitions_total", {}).get(ended, 0) >= 30, within=30)
    assert stored()["sagas_transitions_total"][ended] == 30
    assert stored()["sagas_run_duration_seconds"] == {ended: 30}
