"""What Prometheus reads: every metric, as of one moment, at a cost that does not grow with what is on record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

import sagas
from sagas import runtime, store
from sagas.metrics import on_scrape
from sagas.metrics.instruments import LABELS, Counter, Histogram, count_now
from sagas.models import Measurement, Run
from sagas.observability import exposition, gauges
from sagas.observability.exposition import Exposition, Unavailable
from tests.lab.sagas import Experiment, Lab
from tests.support.carrier import claim_all
from tests.support.metrics import counting

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(autouse=True)
def _on(alone: None, settings: Settings) -> Iterator[None]:
    settings.SAGAS = {**settings.SAGAS, "METRICS": True}
    with runtime.apart(), counting():
        yield
    Measurement.objects.all().delete()


def scrape() -> dict[str, dict[tuple[str, ...], float]]:
    """All samples, by name and the values of their labels."""
    from prometheus_client import generate_latest

    found: dict[str, dict[tuple[str, ...], float]] = {}
    text = generate_latest(Exposition().registry()).decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sample.labels[label] for label in (*LABELS, "le") if label in sample.labels)
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_counters_and_histograms_are_what_all_processes_have_written() -> None:
    # Given
    orders = Counter("shop_test_total", "…", labels={"outcome": ("kept",)})
    waits = Histogram("shop_test_seconds", "…", buckets=(1, 10))
    for shard in range(2):
        with counting() as sums:
            count_now([(orders, 3, {"outcome": "kept"}), (waits, (0.5, 5.0, 50.0), {})])
            store.measurements.add(sums.take(), runtime.declared.instruments, shard=shard)
    # When
    found = scrape()
    # Then
    assert found["shop_test_total"] == {("kept",): 6}
    assert found["shop_test_seconds_bucket"] == {("1.0",): 2, ("10.0",): 4, ("+Inf",): 6}
    assert found["shop_test_seconds_sum"] == {(): 111}


def test_a_counter_that_nobody_has_added_to_is_there() -> None:
    assert scrape()["sagas_admission_refused_total"] == {(): 0}


def test_gauges_say_what_is_under_way(jar: str) -> None:
    # Given two runs that were claimed, and one that was not, an hour old; an escalation, a breaker and a worker
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(2)]
    claim_all()
    late = sagas.start(Lab, Experiment(jar=jar))
    called = sagas.start(Lab, Experiment(jar=jar))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET created_at = now() - interval '1 hour', due_at = now() - interval '1 hour' "
            "WHERE id = %s",
            [late],
        )
        escalate(cursor, called)
        cursor.execute(
            "INSERT INTO sagas_breaker (participant, step, opened_at, probe_at, probe_operation, failed, retried) "
            "VALUES (%s, 'one', now(), now(), '', 5, 5)",
            [f"{Lab.name}.one"],
        )
    store.workers.record_heartbeat(
        store.workers.Heartbeat("here@box", ticked=2.0, delivered=7.0, queues=("orders", "inventory"))
    )
    # When
    found = scrape()
    # Then
    assert found["sagas_runs"] == {
        (Lab.name, "EXECUTING"): len(ids),
        (Lab.name, "PENDING"): 1,
        (Lab.name, "ESCALATED"): 1,
    }
    assert 3600 <= found["sagas_oldest_seconds"][Lab.name, "PENDING"] < 3700
    assert 3600 <= found["sagas_overdue_seconds"][Lab.name, "PENDING"] < 3700
    assert found["sagas_overdue_seconds"][Lab.name, "EXECUTING"] == 0
    assert found["sagas_escalations_open"] == {(Lab.name, "one", "stuck"): 1}
    assert found["sagas_breakers_open"] == {(Lab.name, "one"): 1}
    assert found["sagas_workers"] == {("alive",): 1, ("silent",): 0}
    assert 2 <= found["sagas_last_tick_seconds"][Lab.name, "one"] < 60
    assert 7 <= found["sagas_last_delivery_seconds"][Lab.name, "one"] < 60
    assert found["sagas_runs_capped"] == {(): 0}


def escalate(cursor: Any, run_id: UUID) -> None:
    cursor.execute(
        "WITH run AS (UPDATE sagas_run SET state = 'ESCALATED', due_at = NULL WHERE id = %s) "
        "INSERT INTO sagas_escalation (run_id, state, step, operation, error, note, resolution, resolved_by, "
        "acknowledged_by) VALUES (%s, 'EXECUTING', 'one', 'forward', %s, '', '', '', '')",
        [run_id, run_id, json.dumps({"kind": "stuck"})],
    )


def test_one_look_serves_many_scrapes(monkeypatch: pytest.MonkeyPatch) -> None:
    exposed = Exposition()
    with CaptureQueriesContext(connection) as asked:
        for _ in range(3):
            list(exposed.collect())
    # The sums, all of the engine's gauges, and those of service levels: each is asked for once.
    for table in ("sagas_measurement", "sagas_worker", "sagas_levelcursor", "sagas_burnincident"):
        found = [query for query in asked.captured_queries if f"FROM {table}" in query["sql"]]
        assert len(found) == 1, table
    monkeypatch.setattr(exposition, "KEPT", 0.0)
    with CaptureQueriesContext(connection) as again:
        list(exposed.collect())
    assert len(again.captured_queries) >= 2


def test_a_gauge_that_breaks_is_left_out_and_the_others_are_there(caplog: pytest.LogCaptureFixture) -> None:
    @on_scrape("shop_broken", "…")
    def broken() -> dict[tuple[str, ...], float]:
        raise ValueError

    @on_scrape("shop_stores", "…", labels={"state": ("open",)})
    def stores() -> dict[tuple[str, ...], float]:
        return {("open",): 3, ("burnt",): 1, ("sold",): 1}

    found = scrape()
    assert "shop_broken" not in found
    assert found["shop_stores"] == {("open",): 3, ("other",): 2}
    assert "the gauge shop_broken could not be computed" in caplog.text


def test_a_database_that_is_away_is_no_metrics_rather_than_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError

    monkeypatch.setattr(gauges, "look", away)
    with pytest.raises(Unavailable):
        list(Exposition().collect())


def test_the_cost_of_the_gauges_does_not_grow_with_the_runs_that_have_ended(jar: str) -> None:
    # Given a few runs under way, beside as many ended ones as make a table scan the worse plan for sure
    for _ in range(3):
        sagas.start(Lab, Experiment(jar=jar))
    few = blocks_read()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sagas_run (id, saga, version, shape, state, cursor, fork, attempt, claims, business_key, "
            "request, results, trace_id, created_at, finished_at) SELECT gen_random_uuid(), %s, 1, 0, 'SUCCEEDED', 3, "
            "0, 0, 0, '', '{}', '{}', gen_random_uuid(), now(), now() FROM generate_series(1, 20000)",
            [Lab.name],
        )
        cursor.execute("ANALYZE sagas_run")
    # When they are looked at again
    many = blocks_read()
    # Then about as many pages are read: the table has a thousand more
    assert many < few + 100


def blocks_read() -> int:
    """Pages that PostgreSQL touches for one look."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {store.gauges.LOOK}")
        ((plan,),) = cursor.fetchall()
    top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def test_what_is_under_way_is_counted_up_to_a_limit(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        sagas.start(Lab, Experiment(jar=jar))
    monkeypatch.setattr(store.gauges, "LOOK", store.gauges.LOOK.replace(str(store.gauges.MOST), "3"))
    found = scrape()
    assert found["sagas_runs"] == {(Lab.name, "PENDING"): 3}
    assert found["sagas_runs_capped"] == {(): 1}


def test_a_runs_age_by_a_clock_that_was_set_back_is_none(jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    run = Run.objects.get(pk=run_id)
    Run.objects.filter(pk=run_id).update(created_at=run.created_at + timedelta(hours=1))
    assert scrape()["sagas_oldest_seconds"][Lab.name, "PENDING"] == 0
