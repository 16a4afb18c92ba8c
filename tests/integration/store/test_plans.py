"""What people, claims, admission and prunings ask of tables with many rows is read by an index."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import product
from urllib.parse import urlencode
from uuid import UUID

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sagas import runtime, selectors, store
from sagas.models import Escalation, Run
from sagas.states import State
from sagas.store.retention import pruning
from tests.lab.sagas import Lab

pytestmark = pytest.mark.django_db

MANY = 6_000
_RUNS = """
INSERT INTO sagas_run (id, saga, version, shape, state, cursor, attempt, claims, business_key, request, results,
    trace_id, created_at, started_at, due_at, finished_at)
SELECT (lpad(to_hex((EXTRACT(EPOCH FROM created) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) ||
        '8' || substr(md5(n::text), 4, 15))::uuid,
    CASE WHEN n %% 1000 = 0 THEN 'lab.Twice' ELSE 'lab.Lab' END, 1, 1, state, 0, 0, 0, 'K' || n, '{}', '{}',
    gen_random_uuid(), created, created, CASE WHEN state NOT IN ('SUCCEEDED', 'FAILED') THEN created END,
    CASE WHEN state IN ('SUCCEEDED', 'FAILED') THEN created END
FROM (SELECT n, now() - (%(many)s - n) * interval '1 minute' AS created, CASE WHEN n > %(many)s - 50 THEN 'PENDING'
        WHEN n > %(many)s - 100 THEN 'EXECUTING' WHEN n %% 500 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END AS state
    FROM generate_series(1, %(many)s) AS n) AS wanted
"""
_LOG = """
INSERT INTO sagas_log (run_id, step, operation, outcome, attempt, at, duration_us)
SELECT id, step, 'forward', 'DONE', 1, created_at, 0 FROM sagas_run, (VALUES ('one'), ('two')) AS of(step)
"""
_CONFIRMATIONS = """
INSERT INTO sagas_confirmation (run_id, name, data, received_at) SELECT id, 'approval', '{}', created_at FROM sagas_run
"""
_ESCALATIONS = """
INSERT INTO sagas_escalation (run_id, state, step, operation, error, created_at, notify_at, resolved_at, resolution,
    resolved_by, note) SELECT id, 'EXECUTING', 'one', 'forward', '{}', created_at, NULL, created_at, 'FAILED', 'ada', ''
FROM sagas_run
"""
_TABLES = ("sagas_run", "sagas_log", "sagas_confirmation", "sagas_escalation")


@pytest.fixture
def many(db: None) -> list[UUID]:
    """Thousands of runs, of which a hundred are live; rolled back after the test."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(_RUNS, {"many": MANY})
        for sql in (_LOG, _CONFIRMATIONS, _ESCALATIONS):
            cursor.execute(sql)
        for table in _TABLES:
            cursor.execute(f"ANALYZE {table}")
        cursor.execute("SELECT id FROM sagas_run ORDER BY id LIMIT 20 OFFSET 2000")
        return [run_id for (run_id,) in cursor.fetchall()]


@pytest.fixture
def ask(many: list[UUID]) -> Callable[[str, type[Run | Escalation]], None]:
    """Ask for a list of the admin, as the superuser."""
    user = get_user_model()(pk=1, username="ada", is_superuser=True, is_staff=True, is_active=True)

    def list_of(query: str, model: type[Run | Escalation]) -> None:
        request = RequestFactory().get(f"/?{query}")
        request.user = user
        shown = admin.site.get_model_admin(model).get_changelist_instance(request)
        assert list(shown.result_list) is not None

    return list_of


def whole_reads(act: Callable[[], object]) -> list[str]:
    """The statements of an action that read one of these tables from its first page to its last, with their plans."""
    with CaptureQueriesContext(connection) as asked:
        act()
    found = []
    with connection.cursor() as cursor:
        for sql in [query["sql"] for query in asked.captured_queries]:
            if not re.match(r"\s*(SELECT|WITH|UPDATE|DELETE)", sql) or "set_config" in sql:
                continue
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
            if re.search(rf"Seq Scan on ({'|'.join(_TABLES)})\b|JIT", plan):
                found.append(f"{sql}\n{plan}")
    assert asked.captured_queries
    return found


def test_a_read_of_the_whole_table_is_found(many: list[UUID]) -> None:
    assert len(whole_reads(lambda: Run.objects.filter(attempt=7).count())) == 1


def test_a_list_of_runs_reads_an_index(ask: Callable[[str, type], None]) -> None:
    for query in ("", "q=K77", *(f"state={state}" for state in State), "state=FAILED&saga=lab.Twice"):
        assert whole_reads(partial(ask, query, Run)) == []


def test_a_list_that_no_index_serves_looks_at_the_latest_runs(
    ask: Callable[[str, type], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagas.admin.filters.LATEST", 500)
    monkeypatch.setattr("sagas.admin.paging.MOST", 100)
    for query in ("saga=lab.Twice", urlencode({"created_at__gte": timezone.now() - timedelta(hours=8)})):
        assert whole_reads(partial(ask, query, Run)) == []


def test_a_list_of_escalations_reads_no_runs(ask: Callable[[str, type], None]) -> None:
    for query in ("", "standing=unseen", "standing=mine"):
        found = whole_reads(partial(ask, query, Escalation))
        assert [plan for plan in found if "Seq Scan on sagas_run" in plan] == []


def test_a_run_is_read_by_indexes(many: list[UUID]) -> None:
    assert whole_reads(lambda: selectors.run_view(many[0])) == []
    assert whole_reads(lambda: selectors.timeline(many[0])) == []
    assert whole_reads(lambda: selectors.locks_of_run(many[0])) == []
    assert whole_reads(lambda: store.log.arrival_times(many, ["two"])) == []
    assert whole_reads(lambda: store.log.with_effect(many, "one", "forward")) == []
    assert whole_reads(lambda: store.confirmations.received(many)) == []


def test_a_claim_reads_the_index_of_due_times(many: list[UUID]) -> None:
    kinds = {("lab.Lab", 1, 1, "EXECUTING", 0, 0)}
    for lapsed, begin, foreign in product((False, True), (False, True), (set(), kinds)):
        claim = partial(store.claims.lock_due, 100, lapsed=lapsed, begin=begin, foreign=foreign)
        assert whole_reads(claim) == []


def test_what_comes_after_a_claim_reads_by_run(many: list[UUID]) -> None:
    assert whole_reads(lambda: store.runs.lock(many)) == []
    live = [row.id for row in store.claims.lock_due(50, lapsed=False, begin=True)]
    assert whole_reads(lambda: store.claims.lease(live, begin=True)) == []
    assert whole_reads(lambda: store.claims.release_leases(live)) == []
    assert whole_reads(store.claims.next_due) == []


def test_a_look_from_the_start_reads_the_first_entry(many: list[UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.memory, "is_due_crowded", True)
    monkeypatch.setattr(runtime.memory, "floor_until", 0.0)
    assert whole_reads(store.claims.floor) == []


@pytest.fixture
def outdated(many: list[UUID]) -> None:
    """Ten thousand runs more have become due, and the statistics know nothing of them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sagas_run (id, saga, version, state, cursor, business_key, request, results, trace_id, "
            "created_at, due_at, attempt, claims, shape) SELECT gen_random_uuid(), 'lab.Lab', 1, 'PENDING', 0, '', "
            "'{}', '{}', gen_random_uuid(), now(), now() - n * interval '1 ms', 0, 0, 1 "
            "FROM generate_series(1, 3000) AS n"
        )


def test_admission_reads_the_index_of_due_times(many: list[UUID], outdated: None) -> None:
    since = timezone.now().timestamp() - 60
    assert whole_reads(lambda: store.claims.look_at_backlog(since)) == []
    assert whole_reads(lambda: store.claims.count_backlog(20_000, since=since)) == []


def test_a_pruning_reads_by_run(many: list[UUID]) -> None:
    now = timezone.now()
    cutoffs = {(pruning.OTHERS, state): now - timedelta(days=3) for state in (State.SUCCEEDED, State.FAILED)}
    seen = pruning.look(UUID(int=0), pruning.floor_of(now), cutoffs, limit=20, look=1_000)
    assert len(seen.roots) == 20
    assert whole_reads(lambda: pruning.families(seen.roots)) == []
    assert whole_reads(lambda: pruning.lock_ended(seen.roots)) == []
    assert whole_reads(lambda: pruning.unfinished(seen.roots)) == []
    assert whole_reads(lambda: pruning.read_whole(seen.roots)) == []
    pruning.move_horizons({Lab.definition.name: now - timedelta(days=2), "lab.Twice": now - timedelta(days=2)})
    assert whole_reads(lambda: pruning.delete(seen.roots)) == []
