"""The page of one run: its sentence, its drawings, its log; bounded, without what is personal, and as JSON."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

import sagas
from sagas import runtime
from sagas.admin.run_page import words
from sagas.diagrams import step_graph, waterfall
from sagas.models import Log, Run
from tests.integration.admin.conftest import RUNS, Clients, accept, carried, escalated, held
from tests.lab.personal_data import Host, Visit
from tests.lab.sagas import Experiment, Guardian


def url(run_id: UUID, query: str = "") -> str:
    return f"{RUNS}{run_id}/change/{query}"


def page(client: Client, run_id: UUID, query: str = "") -> str:
    response = client.get(url(run_id, query))
    assert response.status_code == 200
    return response.content.decode()


def sentence(text: str) -> str:
    found = re.search(r'<div class="saga-summary">.*?<strong>(.*?)</strong>', text, re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda: accept("ORD-1"), r"It was accepted .* ago and has not begun; next is one forward\."),
        (lambda: held("ORD-1"), r"All steps before .* are done; it waits for approval until .*"),
        (lambda: escalated("ORD-1"), r"It stopped at two compensate: two kept failing \(Boom: .*nobody has taken it\."),
        (
            lambda: carried("ORD-1", Experiment(reject=("two",))),
            r"two said no \(two says no\), and everything that was done is undone; nothing is left to do\.",
        ),
    ],
)
def test_one_sentence_says_what_happened_and_what_is_next(boss: Client, run: object, said: str) -> None:
    assert callable(run)
    assert re.fullmatch(said, sentence(page(boss, run())))


def test_the_drawings_have_names_descriptions_and_tables(boss: Client) -> None:
    text = page(boss, escalated("ORD-1"))
    for name in ("saga-waterfall", "saga-graph"):
        assert f'aria-labelledby="{name}-title {name}-desc"' in text
        assert re.search(rf'<desc id="{name}-desc">[^<]+</desc>', text)
    assert text.count("The same as a table") == 2
    assert "the way back" in text
    assert "still ahead" in text


def test_a_run_with_a_log_of_five_hundred_rows_is_read_by_as_many_queries_and_stays_small(boss: Client) -> None:
    # Given
    short, long = escalated("ORD-1"), escalated("ORD-2")
    with CaptureQueriesContext(connection) as few:
        page(boss, short)
    now = timezone.now()
    error = {"kind": "fault", "code": "Boom", "detail": "x" * 400, "step": "two"}
    Log.objects.bulk_create(
        Log(
            run_id=long,
            step="two",
            operation="compensate",
            outcome="FAULT",
            attempt=n % 5,
            at=at,
            data=error | {"n": n},
        )
        for n in range(490)
        for at in [now + timedelta(seconds=n * 7)]
    )
    # Then
    for query in ("", "?log=raw", "?log=raw&page=3", "?text=x"):
        with CaptureQueriesContext(connection) as many:
            text = page(boss, long, query)
        assert len(many) == len(few) <= 16
        assert len(text.encode()) < 150_000
    assert "Page 3 of 10" in page(boss, long, "?log=raw&page=3")


def test_a_family_needs_as_many_queries_as_a_single_run(boss: Client) -> None:
    with CaptureQueriesContext(connection) as alone:
        page(boss, escalated("ORD-1"))
    parent = Guardian.start(Experiment(), business_key="ORD-2")
    for number in range(3):
        run = Run.objects.get(pk=accept(f"CHILD-{number}"))
        Run.objects.filter(pk=run.pk).update(parent_id=parent, parent_step="child")
    with CaptureQueriesContext(connection) as many:
        text = page(boss, parent)
    assert len(many) <= len(alone)
    children = Run.objects.filter(parent_id=parent)
    assert all(f"{RUNS}{child.pk}/change/" in text for child in children)
    # And from a child back to its parent, which is a step in the graph
    assert f"{RUNS}{parent}/change/" in page(boss, children[0].pk)


def test_the_log_is_filtered_by_step_outcome_and_text(boss: Client) -> None:
    run_id = escalated("ORD-1")

    def rows(query: str) -> list[str]:
        table = page(boss, run_id, query).partition('<table class="saga-timeline">')[2].partition("</table>")[0]
        return re.findall(r"</td><td>([^<]+)</td>\s*<td>(?:[^<]+)</td><td><span", table)

    assert rows("?step=three") == ["three", "three"]
    assert rows("?outcome=REJECTED") == ["four"]
    assert rows("?outcome=FAULT") == ["two"]
    assert rows("?outcome=FAULT&log=raw") == ["two", "two", "two"]
    assert rows("?text=SAYS+NO") == ["four"]
    assert "Nothing in its log matches." in page(boss, run_id, "?text=nothing+of+the+kind")
    for odd in ("?page=0", "?page=99999999999", "?page=x", "?log=%00", "?step=%00"):
        assert boss.get(url(run_id, odd)).status_code == 200


def test_failures_that_say_the_same_are_one_and_others_are_compared(boss: Client) -> None:
    text = page(boss, escalated("ORD-1"))
    assert "<h3>two compensate</h3>" in text
    assert re.search(r"<del>-.*attempt 2&quot;</del><ins>\+.*attempt 3&quot;</ins>", text)


def test_a_project_gives_links_and_one_that_breaks_or_leads_elsewhere_is_left_out(
    boss: Client, settings: Settings
) -> None:
    settings.SAGAS = {**settings.SAGAS, "TRACE_URL": "https://jaeger.example/trace/{trace_id}"}
    run_id = held("ORD-1")
    with runtime.apart():

        @sagas.run_links(saga="lab.Lab")
        def order(run: sagas.LinkedRun) -> list[tuple[str, str]]:
            return [(f"Order & {run.business_key}", "/orders/1/"), ("Script", "javascript:alert(1)")]

        @sagas.run_links()
        def broken(_run: sagas.LinkedRun) -> list[tuple[str, str]]:
            Run.objects.get(pk=UUID(int=0))
            return []

        @sagas.run_links(saga="lab.Other")
        def other(_run: sagas.LinkedRun) -> list[tuple[str, str]]:
            return [("Other", "/other/")]

        text = page(boss, run_id)
    assert '<a href="/orders/1/">Order &amp; ORD-1</a>' in text
    assert "javascript" not in text
    assert "/other/" not in text
    assert f"https://jaeger.example/trace/{Run.objects.get(pk=run_id).trace_id.hex}" in text


def test_who_did_what_names_the_person_and_what_they_wrote(boss: Client) -> None:
    run_id = held("ORD-1")
    sagas.cancel(run_id, reason="the customer asked", by="mei")
    text = page(boss, run_id).partition("Who did what")[2]
    assert "mei" in text
    assert "was cancelled" in text


def test_what_is_personal_is_shown_to_who_may_see_it_and_asks_for_it(boss: Client, staff: Clients) -> None:
    run_id = sagas.start(Host, Visit(phone="+49 30 901820", place="Hall 3"), business_key="ORD-1")
    clerk = staff("view_run")
    for client, query, is_shown in (
        (boss, "", False),
        (boss, "?personal=shown", True),
        (clerk, "", False),
        (clerk, "?personal=shown", False),
    ):
        for text in (
            page(client, run_id, query),
            client.get(f"{RUNS}{run_id}/export/{query}").content.decode(),
        ):
            assert "Hall 3" in text
            assert ("+49 30 901820" in text) is is_shown
    assert "Show what is personal" in page(boss, run_id)
    assert "Show what is personal" not in page(clerk, run_id)


def test_the_texts_of_drawings_are_translated() -> None:
    marked = {*words.DRAWN, "run", "skipped", "done", "rejected", "failed", "state"}
    operations = {"forward", "try", "confirm", "cancel", "compensate"}
    assert {*waterfall.texts(), *step_graph.texts()} <= marked | operations


def test_an_export_has_all_of_a_run(boss: Client, staff: Clients) -> None:
    run_id = escalated("ORD-1")
    response = boss.get(f"{RUNS}{run_id}/export/")
    assert response["Content-Disposition"] == f"attachment; filename=run-{run_id}.json"
    found = json.loads(response.content)
    assert (found["run"]["business_key"], found["run"]["state"]) == ("ORD-1", "ESCALATED")
    assert len(found["log"]) == Log.objects.filter(run_id=run_id).count()
    assert [step["name"] for step in found["definition"]["steps"]] == ["one", "two", "three", "four"]
    assert found["escalations"][0]["step"] == "two"
    assert staff("view_lock").get(f"{RUNS}{run_id}/export/").status_code == 403
    assert boss.get(f"{RUNS}{UUID(int=7)}/export/").status_code == 404
