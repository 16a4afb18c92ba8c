"""The overview: what is under way, by step; who is at work; and how the page stays up to date."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

import sagas
from sagas import store
from sagas.decisions.breaker_policy import Window
from sagas.messaging import broker_connection, topology
from sagas.messaging.app import engine_app
from sagas.messaging.publisher import drop_connections
from sagas.models import Run, Worker
from sagas.store.workers import Heartbeat
from tests.integration.admin.conftest import Clients, accept, escalated, held
from tests.support import servers

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_due")]

OVERVIEW = "/admin/sagas/run/overview/"
LIVE = f"{OVERVIEW}live/"


def rows(page: str) -> list[list[str]]:
    """The cells of every row of its tables, as text."""
    found = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL) for row in found]
    return [[" ".join(re.sub(r"<[^>]+>", "", cell).split()) for cell in row] for row in cells]


def test_runs_are_counted_where_they_stand(boss: Client) -> None:
    # Given runs in three standings, of which one is tried again, and one has been due for an hour
    accept("NEW"), accept("DUE"), held("WAITING-1"), held("WAITING-2"), escalated("STUCK")
    Run.objects.filter(business_key="NEW").update(attempt=1)
    Run.objects.filter(business_key="DUE").update(due_at=Now() - timedelta(hours=1))
    # When
    page = boss.get(OVERVIEW).content.decode()
    # Then
    waiting, new = [row for row in rows(page) if row[0] == "lab.Lab" and len(row) == 8][::-1]
    assert waiting[1:4] == ["AWAITING_CONFIRM", "approval", "2"]
    assert new[1:4] == ["PENDING", "one forward", "2"]
    assert [new[5][:5], new[6], new[7]] == ["since", "1", "0"]
    assert [waiting[5], waiting[6], waiting[7]] == ["–", "0", "0"]
    # And each number leads to its runs
    assert 'href="/admin/sagas/run/?state=AWAITING_CONFIRM&amp;saga=lab.Lab">2<' in page
    assert 'href="/admin/sagas/run/?state=ESCALATED">1<' in page


def test_escalations_are_counted_by_whose_they_are(boss: Client) -> None:
    before = boss.get(OVERVIEW).context
    mine, _nobodys = escalated("MINE"), escalated("NOBODYS")
    sagas.assign(mine, to="boss", by="boss")
    after = boss.get(OVERVIEW).context
    assert (after["mine"], after["seen"].unassigned) == (before["mine"] + 1, before["seen"].unassigned + 1)
    assert ["lab.Lab", "two", "fault", "boss", "1"] in [row[:5] for row in rows(boss.get(OVERVIEW).content.decode())]


def test_workers_and_breakers_are_shown(boss: Client) -> None:
    # Given a worker at work, one that was killed, and a participant that breaks
    store.workers.record_heartbeat(Heartbeat("at-work@here", ticked=1.0, delivered=2.0, busy=3, longest=1.0))
    store.workers.record_heartbeat(Heartbeat("killed@here", ticked=1.0))
    Worker.objects.filter(name="killed@here").update(beat_at="2026-01-01T00:00Z")
    store.breakers.open_breaker("lab.Lab.three", step="three", seen=Window(88, 31))
    # When
    found = {row[0]: row[1:] for row in rows(boss.get(OVERVIEW).content.decode())}
    # Then
    assert found["at-work@here"][0] == "alive"
    assert found["at-work@here"][3] == "3"
    assert found["killed@here"][0].startswith("silent since 2026-01-01")
    assert "lab.Lab.three" in found


def test_an_empty_page_says_what_it_would_show(boss: Client) -> None:
    for table in (Run, Worker):
        table._default_manager.all().delete()
    page = boss.get(OVERVIEW).content.decode()
    assert "No run is under way." in page
    assert "Start one: celery -A sagas worker" in page


def test_an_answer_without_news_has_no_body(boss: Client) -> None:
    # Given
    held("WAITING")
    first = boss.get(LIVE)
    # When nothing has changed
    again = boss.get(LIVE, headers={"If-None-Match": first["ETag"]})
    # Then
    assert (again.status_code, again.content) == (304, b"")
    # When something has
    accept("NEW")
    news = boss.get(LIVE, headers={"If-None-Match": first["ETag"]})
    # Then
    assert news.status_code == 200
    assert news["ETag"] != first["ETag"]
    assert "no-store" in news["Cache-Control"]


def test_it_is_for_those_who_may_see_runs(staff: Clients) -> None:
    clerk = staff("view_breaker")
    assert [clerk.get(url).status_code for url in (OVERVIEW, LIVE)] == [403, 403]
    assert [Client().get(url).status_code for url in (OVERVIEW, LIVE)] == [302, 302]


@pytest.mark.skipif(servers.EMBEDDED, reason="there is no RabbitMQ")
def test_queues_are_shown_and_while_rabbitmq_hangs_the_rest_is(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((topology, "PATIENCE"), (broker_connection, "PATIENCE"), (broker_connection, "PAUSE")):
        monkeypatch.setattr(module, name, 0.3)
    # Given
    found = {row[0]: row[1:] for row in rows(boss.get(OVERVIEW).content.decode())}
    assert found["sagas.dead"][1] == "0"
    # When
    with servers.standing_still("rabbitmq"):
        page = boss.get(OVERVIEW)
    drop_connections(engine_app())
    # Then
    assert page.status_code == 200
    assert "RabbitMQ does not answer. Orders wait in the database." in page.content.decode()
    assert "Under way, by step" in page.content.decode()


def test_more_runs_are_no_more_queries(boss: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    held("WAITING")
    boss.get(LIVE)
    with CaptureQueriesContext(connection) as few:
        boss.get(LIVE)
    for number in range(5):
        accept(f"NEW-{number}"), escalated(f"STUCK-{number}")
    with django_assert_num_queries(len(few)):
        boss.get(LIVE)
