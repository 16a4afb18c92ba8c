"""Operators find a run, and see what happened to it."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.contrib.postgres.functions import TransactionNow
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from sagas.models import Run
from tests.integration.admin.conftest import ESCALATIONS, RUNS, Clients, accept, carried, escalated, held
from tests.lab.sagas import Experiment
from tests.support import runs


def page(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def listed(client: Client, query: str) -> set[str]:
    """The business keys in the list; of the runs of this test, for others leave theirs."""
    response = client.get(f"{RUNS}?{query}")
    assert response.status_code == 200
    own = Run.objects.filter(created_at__gte=TransactionNow())
    return {run.business_key for run in own.filter(pk__in=[run.pk for run in response.context["cl"].result_list])}


def test_a_run_is_found_by_its_whole_order_number_or_id(boss: Client) -> None:
    first = accept("ORD-1")
    accept("ORD-2")
    accept("ORD-3")
    assert listed(boss, "q=ORD-1") == {"ORD-1"}
    assert listed(boss, f"q={first}") == {"ORD-1"}
    assert listed(boss, "q=ORD-2+ORD-3") == {"ORD-2", "ORD-3"}
    assert listed(boss, "q=ORD") == set()
    assert listed(boss, f"q={uuid4()}") == set()


def test_a_blank_search_lists_all_runs(boss: Client) -> None:
    accept("ORD-1")
    assert listed(boss, "q=+++") == {"ORD-1"}


def test_runs_are_filtered_by_state_saga_and_day(boss: Client) -> None:
    held("held")
    carried("failed", Experiment(reject=("two",)))
    escalated("escalated")
    accept("new")
    assert listed(boss, "state=PENDING") == {"new"}
    assert listed(boss, "state=FAILED") == {"failed"}
    assert listed(boss, "state=ESCALATED") == {"escalated"}
    assert listed(boss, "state=AWAITING_CONFIRM") == {"held"}
    assert listed(boss, "saga=lab.Lab") == {"held", "failed", "escalated", "new"}
    assert listed(boss, "saga=lab.Unconfirmed") == set()
    assert (
        listed(boss, "created_at__gte=2000-01-01+00:00:00%2B00:00&created_at__lt=2000-01-02+00:00:00%2B00:00") == set()
    )


def test_the_list_says_where_each_run_stands(boss: Client) -> None:
    held("ORD-held")
    escalated("ORD-escalated")
    accept("ORD-new")
    text = page(boss, RUNS)
    assert "waits for approval" in text
    assert "two compensate" in text
    assert "one forward" in text


def _queries(client: Client, url: str) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        page(client, url)
    return [query["sql"] for query in captured.captured_queries]


@pytest.mark.parametrize("url", [RUNS, ESCALATIONS])
def test_a_long_list_needs_as_many_queries_as_a_short_one(boss: Client, url: str) -> None:
    # Of each kind one: pauses are looked for where a run may be paused.
    escalated("ORD-0")
    accept("NEW-0")
    few = _queries(boss, url)
    for number in range(1, 6):
        escalated(f"ORD-{number}")
        accept(f"NEW-{number}")
    assert len(_queries(boss, url)) == len(few)


@pytest.mark.parametrize("url", [RUNS, f"{RUNS}?state=FAILED", ESCALATIONS])
def test_no_list_counts_more_rows_than_its_bound(boss: Client, url: str) -> None:
    accept("ORD-1")
    counts = [sql for sql in _queries(boss, url) if "COUNT(" in sql and "sagas_" in sql]
    assert counts
    assert all("LIMIT" in sql for sql in counts)


def test_a_run_shows_its_steps_its_log_and_its_request(boss: Client) -> None:
    run_id = held("ORD-7")
    text = page(boss, f"{RUNS}{run_id}/change/")
    for word in ("ORD-7", "AWAITING_CONFIRM", "waits for approval", "three", "held", "in-process", "&quot;jam&quot;"):
        assert word in text
    # In the order of the definition, with what is awaited behind the steps before it.
    steps = text.partition("saga-graph-title")[2]
    assert re.findall(r'<th scope="row">(\w+)</th>', steps)[:5] == ["one", "two", "three", "four", "approval"]


def test_a_run_that_was_undone_shows_the_reason(boss: Client) -> None:
    run_id = carried("ORD-8", Experiment(reject=("two",)))
    text = page(boss, f"{RUNS}{run_id}/change/")
    assert "Why it is undone" in text
    assert "two says no" in text
    assert "rejected" in text
    assert "compensated" in text


def test_text_from_customers_is_escaped(boss: Client) -> None:
    run_id = accept("<script>alert(1)</script>")
    assert "<script>alert" not in page(boss, RUNS)
    assert "<script>alert" not in page(boss, f"{RUNS}{run_id}/change/")


def test_a_run_whose_saga_was_removed_is_still_shown(boss: Client) -> None:
    run_id = held("ORD-9")
    Run.objects.filter(pk=run_id).update(saga="gone.Saga")
    assert "unknown saga" in page(boss, RUNS)
    assert "three" in page(boss, f"{RUNS}{run_id}/change/")


def test_no_field_can_be_edited(boss: Client) -> None:
    run_id = held("ORD-1")
    before = Run.objects.values().get(pk=run_id)
    url = f"{RUNS}{run_id}/change/"
    assert 'name="_save"' not in page(boss, url)
    assert boss.post(url, {"state": "SUCCEEDED", "_save": "Save"}).status_code == 403
    assert boss.get(f"{RUNS}add/").status_code == 403
    assert boss.post(f"{RUNS}{run_id}/delete/").status_code == 403
    assert boss.get(f"{ESCALATIONS}add/").status_code == 403
    assert Run.objects.values().get(pk=run_id) == before


def test_no_page_needs_inline_scripts_or_styles(boss: Client) -> None:
    run_id = escalated("ORD-1")
    decision = boss.post(RUNS, {"action": "resume_runs", "_selected_action": str(run_id)}).content.decode()
    for text in (page(boss, RUNS), page(boss, f"{RUNS}{run_id}/change/"), page(boss, ESCALATIONS), decision):
        assert not re.search(r"<style|\sstyle=|\son\w+=", text)
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text) if "json" not in tag)
        assert "sagas/admin.css" in text


def test_a_run_that_does_not_exist_is_not_found(boss: Client) -> None:
    assert boss.get(f"{RUNS}{uuid4()}/change/").status_code == 302
    assert boss.get(f"{RUNS}nonsense/change/").status_code == 302


def test_a_user_without_view_permission_sees_no_runs(staff: Clients) -> None:
    client = staff()
    run_id = accept("ORD-1")
    assert client.get(RUNS).status_code == 403
    assert client.get(f"{RUNS}{run_id}/change/").status_code == 403
    assert client.get(ESCALATIONS).status_code == 403


def test_escalations_are_listed_until_they_are_resolved(boss: Client) -> None:
    run_id = escalated("ORD-5")
    text = page(boss, ESCALATIONS)
    assert f"{RUNS}{run_id}/change/" in text
    assert "ORD-5" in text
    assert "two compensate" in text
    assert "Boom" in text
    assert "ORD-5" not in page(boss, f"{ESCALATIONS}?standing=resolved")
    escalation = runs.escalation(run_id)
    assert boss.get(f"{ESCALATIONS}{escalation.pk}/change/").status_code == 200
