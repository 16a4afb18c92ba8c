"""Runs that have ended are counted against their objectives: each once, whatever commits late, dies or comes twice."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from threading import Event
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import Max

import sagas
from sagas import Objective, runtime, store
from sagas.models import CountedRun, LevelCursor, LevelMinute, Log, Run
from sagas.observability import service_levels
from tests.lab.sagas import Experiment, Lab, Unconfirmed
from tests.support.awaiting import eventually
from tests.support.carrier import chains, claim_all, deliver_all

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(autouse=True)
def _objectives(alone: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    levels = (Objective("settled", target=0.99, within=timedelta(seconds=5)),)
    for saga in (Lab, Unconfirmed):
        # A frozen dataclass: what is declared is replaced, and put back.
        object.__setattr__(saga.definition, "objectives", levels)
    count()
    yield
    for saga in (Lab, Unconfirmed):
        object.__setattr__(saga.definition, "objectives", ())


def count(*, to_the_end: bool = True) -> int:
    """Count what can be counted, and wait for what other transactions hold up; return how many runs that were."""
    found = 0

    def is_through() -> bool:
        nonlocal found
        for _ in range(8):
            found += service_levels.count_batch(lag=0.0) or 0
        last = Log.objects.aggregate(last=Max("id"))["last"] or 0
        return LevelCursor.objects.get().after >= last

    if to_the_end:
        eventually(is_through, what="all of the log counted")
    else:
        is_through()
    return found


def perform_all() -> None:
    while todo := chains(claim_all()):
        for chain in todo:
            deliver_all(chain)


def outcomes(subject: str = "objective") -> dict[str, int]:
    found: Counter[str] = Counter()
    for outcome, number in LevelMinute.objects.filter(subject=subject).values_list("outcome", "number"):
        found[outcome] += number
    return dict(found)


def run_one(jar: str, **request: object) -> UUID:
    run_id = sagas.start(Unconfirmed, Experiment(jar=jar, **request))  # type: ignore[arg-type]
    perform_all()
    return run_id


def shift(run_id: UUID, seconds: int, *entries: str) -> None:
    """Have a run begin so many seconds earlier, with the log's entries of these operations, or with all of them."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sagas_log DISABLE TRIGGER USER")
        cursor.execute("ALTER TABLE sagas_run DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE sagas_run SET created_at = created_at - %s * interval '1 second', "
            "started_at = started_at - %s * interval '1 second' WHERE id = %s",
            [seconds, seconds, run_id],
        )
        cursor.execute(
            "UPDATE sagas_log SET at = at - %s * interval '1 second' WHERE run_id = %s "
            "AND (operation = ANY(%s) OR %s = 0)",
            [seconds, run_id, list(entries), len(entries)],
        )
        cursor.execute("ALTER TABLE sagas_log ENABLE TRIGGER USER")
        cursor.execute("ALTER TABLE sagas_run ENABLE TRIGGER USER")


def test_confirmed_and_wholly_undone_runs_are_good_and_each_is_counted_once(jar: str) -> None:
    # Given a run that was confirmed and one that was refused and undone
    run_one(jar)
    run_one(jar, reject=(Unconfirmed.definition.steps[-1].name,))
    # When they are counted again and again
    assert (count(), count()) == (2, 0)
    # Then each is there once, with its stages
    assert outcomes() == {"good": 2}
    assert outcomes("run") == {"SUCCEEDED": 1, "FAILED": 1}
    assert outcomes("undo") == {"FAILED": 1}
    names = set(LevelMinute.objects.filter(subject="stage").values_list("name", flat=True))
    assert {"start", "claim"} < names
    stays = LevelMinute.objects.filter(subject="stage").exclude(name="claim")
    assert sum(stays.values_list("number", flat=True)) == Log.objects.count()


def test_a_run_that_took_too_long_is_late(jar: str) -> None:
    run_id = run_one(jar)
    shift(run_id, 60, "start")
    count()
    assert outcomes() == {"late": 1}


def test_the_wait_for_a_customer_is_not_counted(jar: str) -> None:
    # Given a run that is confirmed after a minute
    run_id = sagas.start(Lab, Experiment(jar=jar))
    perform_all()
    shift(run_id, 60)
    for name in Lab.definition.confirmation_names:
        sagas.confirm(run_id, name, {})
    perform_all()
    assert Run.objects.get(pk=run_id).state == "SUCCEEDED"
    # When it is counted
    count()
    # Then it is good, and the minute is on record as waited
    assert outcomes() == {"good": 1}
    waited = LevelMinute.objects.filter(outcome="WAITED")
    assert sum(waited.values_list("seconds", flat=True)) > 59


def test_a_run_that_a_person_has_ended_is_bad(jar: str) -> None:
    run_id = run_one(jar)
    sql = (
        "INSERT INTO sagas_escalation (run_id, state, step, operation, error, resolution, resolved_by, note, "
        "resolved_at, notify_at) VALUES (%s, 'COMPENSATING', '', '', '{}', '', 'a person', '', now(), NULL)"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [run_id])
    count()
    assert outcomes() == {"person": 1}


def test_a_run_whose_transaction_commits_late_is_neither_lost_nor_counted_twice(jar: str) -> None:
    # Given a transaction that has taken ids of the log and stays open
    taken, commit = Event(), Event()

    def late() -> UUID:
        try:
            with transaction.atomic():
                run_id = sagas.start(Unconfirmed, Experiment(jar=jar))
                taken.set()
                assert commit.wait(30)
            return run_id
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(late)
        assert taken.wait(30)
        before = LevelCursor.objects.get().after
        # And a run with later ids that has ended
        run_one(jar)
        # When it is counted meanwhile
        assert count(to_the_end=False) == 0
        # Then nothing is passed over: the cursor stands where the late one's rows will be
        assert LevelCursor.objects.get().after == before
        commit.set()
        late_run = future.result()
    perform_all()
    assert count() == 2
    assert CountedRun.objects.filter(pk=late_run).exists()
    assert outcomes() == {"good": 2}


def test_a_process_that_dies_while_it_counts_has_counted_nothing(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    run_one(jar)
    # When it dies after the counts, before the cursor has moved
    with monkeypatch.context() as patch:

        def die(upto: int) -> None:
            raise SystemExit(str(upto))

        patch.setattr(store.service_levels, "leave", die)
        with pytest.raises(SystemExit):
            count()
    assert outcomes() == {}
    # Then the next one counts it, once
    assert count() == 1
    assert outcomes() == {"good": 1}


def test_a_cursor_that_is_set_back_counts_no_run_again(jar: str) -> None:
    run_one(jar)
    assert count() == 1
    LevelCursor.objects.update(after=0, upto=None, horizon=None)
    assert count() == 0
    assert outcomes() == {"good": 1}


def test_many_runs_are_counted_in_small_parts(jar: str) -> None:
    for _ in range(5):
        run_one(jar)
    found = [service_levels.count_batch(lag=0.0, chunk=4) or 0 for _ in range(30)]
    assert sum(found) == 5
    assert outcomes() == {"good": 5}


def test_minutes_of_last_week_become_hours_with_the_same_numbers(jar: str) -> None:
    # Given
    for _ in range(2):
        run_one(jar)
    count()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_levelminute SET minute = minute - interval '9 days'")
        cursor.execute("UPDATE sagas_levelcursor SET folded_at = now() - interval '2 hours'")
    before = outcomes("stage")
    # When the next run is counted
    run_one(jar)
    count()
    # Then
    old = LevelMinute.objects.filter(minute__lt=Run.objects.earliest("created_at").created_at - timedelta(days=1))
    assert {minute.minute.minute for minute in old} == {0}
    assert sum(old.filter(subject="stage").values_list("number", flat=True)) == sum(before.values())
    assert outcomes() == {"good": 3}


def test_a_tick_counts_and_a_tick_that_breaks_says_so_and_harms_nobody(
    jar: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run_one(jar)
    monkeypatch.setattr(service_levels, "LAG", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(store.service_levels, "take", lambda **_: 1 / 0)
        runtime.memory.levels_after = 0.0
        service_levels.count_on_tick()
    assert "service levels could not be counted" in caplog.text
    assert outcomes() == {}


def test_the_report_prints_what_was_good_and_the_incident_that_cost_the_budget(jar: str) -> None:
    # Given 1 run of 4 that was late
    late = run_one(jar)
    shift(late, 60, "start")
    for _ in range(3):
        run_one(jar)
    count()
    until = store.runs.clock() + timedelta(hours=1)
    told = {"since": (until - timedelta(days=1)).isoformat(), "until": until.isoformat()}
    options = ["sagas", "sla", "--from", told["since"], "--to", told["until"]]
    # When
    page, data = StringIO(), StringIO()
    call_command(*options, stdout=page)
    call_command(*options, "--json", stdout=data)
    # Then
    assert "4 runs, 3 good, 1 bad: 75.000000 %. 2500.0 % of the error budget is spent" in page.getvalue()
    ended = Run.objects.get(pk=late).finished_at
    assert ended is not None
    assert f"| {ended:%Y-%m-%d %H:%M} | {ended:%Y-%m-%d %H:%M} | 1 | 0 | 2500.0 % |" in page.getvalue()
    (level,) = (one for one in json.loads(data.getvalue())["levels"] if one["saga"] == Unconfirmed.name)
    assert (level["good"], level["bad"]) == (3, 1)
    assert len(level["incidents"]) == 1


def test_a_time_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(CommandError, match="is not after"):
        call_command("sagas", "sla", "--from", "2026-02-01", "--to", "2026-01-01")
    with pytest.raises(CommandError, match="invalid"):
        call_command("sagas", "sla", "--from", "soon", "--to", "2026-01-01")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_counting_reads_does_not_grow_with_the_log(jar: str) -> None:
    # Given 1,000,000 rows of the log, of 250,000 runs that have ended
    fill(250_000)
    old = LevelCursor.objects.get().after
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(id) FROM sagas_log")
        last = cursor.fetchone()[0]
        cursor.execute("SELECT brin_summarize_new_values('sagas_log_by_id')")
        cursor.execute("SELECT relpages FROM pg_class WHERE relname = 'sagas_log'")
        pages = cursor.fetchone()[0]
    # When the newest 200 rows are looked for
    with connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT DISTINCT run_id FROM sagas_log WHERE id > %s AND id <= %s",
            [last - 200, last],
        )
        plan = cursor.fetchone()[0][0]["Plan"]
    # Then few pages are read of all
    read = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    assert read < pages / 50, plan
    # And all of them are counted, once
    began = time.monotonic()
    counted = batches = 0
    while LevelCursor.objects.get().after < last:
        counted += service_levels.count_batch(lag=0.0) or 0
        batches += 1
    took = time.monotonic() - began
    assert counted == 250_000
    assert outcomes() == {"good": 250_000}
    sys.stdout.write(
        f"\n{last - old:,} log rows, {pages:,} pages: {read} read for the newest 200 rows; "
        f"{counted:,} runs counted in {took:.1f} s, {took / counted * 1e6:.0f} µs a run, {batches} batches\n"
    )


def fill(runs: int) -> None:
    """Insert runs that have ended, with four rows of the log each."""
    with transaction.atomic(), connection.cursor() as cursor:
        for table in ("sagas_log", "sagas_run"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(
            "INSERT INTO sagas_run (id, saga, version, shape, state, cursor, attempt, claims, business_key, request, "
            "results, trace_id, locked, created_at, started_at, finished_at) SELECT gen_random_uuid(), %s, %s, %s, "
            "'SUCCEEDED', 0, 0, 0, '', '{}', '{}', gen_random_uuid(), false, now(), now(), now() "
            "FROM generate_series(1, %s)",
            [Unconfirmed.name, Unconfirmed.definition.version, 0, runs],
        )
        cursor.execute(
            "INSERT INTO sagas_log (run_id, step, operation, outcome, attempt, at, duration_us) "
            "SELECT run.id, v.step, v.operation, v.outcome, 1, now(), 0 FROM sagas_run AS run CROSS JOIN "
            "(VALUES (1, '', 'start', 'EVENT'), (2, 'a', 'forward', 'DONE'), (3, 'b', 'forward', 'DONE'), "
            "(4, 'c', 'forward', 'DONE')) AS v(number, step, operation, outcome) ORDER BY run.id, v.number"
        )
        for table in ("sagas_log", "sagas_run"):
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sagas_log, sagas_run")
