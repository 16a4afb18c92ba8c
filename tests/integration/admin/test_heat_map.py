"""The heat map: stages in order beside what is usual, marks, and the runs behind a cell."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from sagas import store
from sagas.decisions.breaker_policy import Window
from sagas.models import BurnIncident, Definition, LevelMinute, Log
from tests.integration.admin.conftest import Clients, carried, held
from tests.lab.sagas import Experiment

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_due")]

MAP = "/admin/sagas/run/heat-map/"
SAGA = "lab.Lab"
HERE = f"{MAP}?saga={SAGA}&time=1h"


@pytest.fixture(autouse=True)
def _nothing_counted(db: None) -> None:
    LevelMinute.objects.all().delete()


def counted(number: int, stage: str, bucket: int, *, ago: int = 0, outcome: str = "DONE") -> datetime:
    """So many stays in a stage so many minutes ago, each with this time."""
    minute = (store.runs.clock() - timedelta(minutes=ago)).replace(second=0, microsecond=0)
    LevelMinute.objects.create(
        saga=SAGA, subject="stage", minute=minute, name=stage, outcome=outcome, bucket=bucket, number=number, seconds=0
    )
    return minute


def cells(page: str) -> list[tuple[str, str]]:
    """The tone of each cell, and what its pointer shows."""
    return re.findall(r'<a href="[^"]*"><rect [^>]*class="saga-fill-(\w+)"><title>([^<]*)</title>', page)


def test_a_cell_is_hot_by_its_stages_own_median(boss: Client) -> None:
    # Given two stages, of which one always takes a second and one a few milliseconds
    for stage, bucket in (("one.forward", 7), ("two.forward", 1)):
        counted(1000, stage, bucket, ago=3 * 24 * 60)
    # When the second one takes a second, too
    counted(100, "one.forward", 7)
    counted(100, "two.forward", 7)
    page = boss.get(HERE).content.decode()
    # Then only that is hot
    found = {hint.partition(",")[0]: tone for tone, hint in cells(page)}
    assert found == {"one forward": "surface", "two forward": "bad"}
    # And it is written in the cell, besides the colour
    assert re.findall(r">([0-9.]+[×+])</text>", page) == ["1.3×", "99+"]


def test_stages_lie_in_order_forward_above_and_back_below(boss: Client) -> None:
    for stage in ("one.compensate", "two.compensate", "two.forward", "claim", "one.forward", "expire"):
        counted(1, stage, 1)
    page = boss.get(HERE).content.decode()
    texts = re.findall(r"<text [^>]*>([^<]*)</text>", page)
    wanted = [
        "the way forward",
        "claim",
        "one forward",
        "two forward",
        "the way back",
        "expire",
        "two compensate",
        "one compensate",
    ]
    assert [text for text in texts if text in wanted] == wanted


def test_what_is_no_stay_is_a_blank_and_a_wait_for_a_customer_is_not_shown(boss: Client) -> None:
    counted(5, "one.forward", 2)
    counted(9, "confirmation", 13, outcome="WAITED")
    page = boss.get(HERE).content.decode()
    assert len(cells(page)) == 1
    assert "confirmation" not in "".join(re.findall(r"<svg.*</svg>", page, re.DOTALL))
    empty = boss.get(f"{MAP}?saga=lab.Unconfirmed").content.decode()
    assert "No run of this saga has ended in this time." in empty


def test_faults_have_a_bar_and_counts_a_colour(boss: Client) -> None:
    counted(8, "one.forward", 2)
    counted(2, "one.forward", 2, ago=10)
    assert 'height="3"' not in boss.get(HERE).content.decode()
    counted(1, "one.forward", 2, outcome="FAULT")
    page = boss.get(f"{HERE}&show=count").content.decode()
    assert [tone for tone, _ in cells(page)] == ["warm", "bad"]
    assert ">9</text>" in page
    assert 'height="3"' in page
    assert "1 faults" in page


def test_new_versions_open_breakers_and_incidents_are_marked(boss: Client) -> None:
    counted(1, "one.forward", 1)
    now = store.runs.clock()
    Definition.objects.create(saga=SAGA, version=7, shape=77, body={}, created_at=now - timedelta(minutes=20))
    Definition.objects.create(saga=SAGA, version=6, shape=76, body={}, created_at=now - timedelta(hours=20))
    store.breakers.open_breaker(f"{SAGA}.three", step="three", seen=Window(88, 31))
    BurnIncident.objects.create(
        saga=SAGA,
        objective="settled",
        pair=0,
        since=now - timedelta(minutes=15),
        burning_at=now,
        closed_at=now - timedelta(minutes=5),
        burn_long=20,
        burn_short=20,
        bad=9,
        runs=9,
        evidence={},
    )
    page = boss.get(HERE).content.decode()
    assert ">version 7</text>" in page
    assert "version 6" not in page
    assert "<title>three</title>" in page
    assert "<title>settled</title>" in page
    assert {">breaker open</text>", ">budget burns</text>"} <= set(re.findall(r">[a-z ]+</text>", page))


def test_a_cell_leads_to_its_runs_the_longest_stay_first(boss: Client) -> None:
    # Given two runs in a stage now, and one that never came to it
    quick, slow = held("QUICK"), held("SLOW")
    never = carried("NEVER", Experiment(reject=("one",)))
    entry = Log.objects.filter(run_id=slow, step="two", outcome="DONE").latest("id")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sagas_log DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE sagas_log SET at = at - interval '50 seconds' WHERE run_id = %s AND at < %s", [slow, entry.at]
        )
        cursor.execute("ALTER TABLE sagas_log ENABLE TRIGGER USER")
    stage = f"two.{entry.operation}"
    counted(2, stage, 1)
    # When
    page = boss.get(HERE).content.decode()
    (href,) = re.findall(r'<a href="([^"]*)"><rect', page)
    answer = boss.get(href.replace("&amp;", "&"))
    # Then
    assert answer.status_code == 302
    found = unquote_plus(parse_qs(urlsplit(answer["Location"]).query)["q"][0]).split()
    assert found == [str(slow), str(quick)]
    assert str(never) not in found
    listed = boss.get(answer["Location"]).content.decode()
    assert "QUICK" in listed
    assert "SLOW" in listed
    # And how long runs waited for a worker, likewise
    asked = dict(parse_qs(urlsplit(href.replace("&amp;", "&")).query))
    claim = {name: values[0] for name, values in asked.items()} | {"stage": "claim"}
    runs = unquote_plus(boss.get(f"{MAP}runs/?{urlencode(claim)}")["Location"])
    assert {str(quick), str(slow)} <= set(parse_qs(urlsplit(runs).query)["q"][0].split())


@pytest.mark.parametrize(
    "query",
    [
        "",
        "saga=lab.Lab&stage=one.forward&since=x&until=y",
        "saga=lab.Lab&stage=one.forward&since=1&until=99999999999999999999",
        "saga=lab.Lab&stage=one.forward&since=10&until=5",
        "saga=lab.Lab&stage=one.forward&since=-62135596800&until=-62135596700",
        "saga=lab.Lab&stage=one.forward&since=%C2%B2&until=9",
        "saga=lab.Lab&stage=one.forward&since=0&until=999999999",
        "saga=no.Such&stage=one.forward&since=0&until=60",
        "saga=lab.Lab&stage=one%00.forward&since=0&until=60",
    ],
)
def test_a_cell_that_there_is_not_leads_to_the_list(boss: Client, query: str) -> None:
    answer = boss.get(f"{MAP}runs/?{query}")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/sagas/run/")


def test_a_cell_whose_runs_are_gone_says_so(boss: Client) -> None:
    answer = boss.get(f"{MAP}runs/?saga=lab.Lab&stage=one.forward&since=60&until=120", follow=True)
    assert "None of the latest runs was in this stage then" in answer.content.decode()


@pytest.mark.parametrize("query", ["", "saga=<script>&time=9y&show=x", "time=7d", "time=24h&show=count"])
def test_what_is_not_known_is_not_asked_for(boss: Client, query: str) -> None:
    answer = boss.get(f"{MAP}?{query}")
    assert answer.status_code == 200
    assert "<script>&" not in answer.content.decode()


def test_it_is_for_those_who_may_see_runs(staff: Clients) -> None:
    clerk = staff("view_breaker")
    assert [clerk.get(url).status_code for url in (MAP, f"{MAP}runs/")] == [403, 403]
    assert [Client().get(url).status_code for url in (MAP, f"{MAP}runs/")] == [302, 302]


def test_more_that_is_counted_is_no_more_queries(
    boss: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    boss.get(HERE)
    with CaptureQueriesContext(connection) as few:
        boss.get(HERE)
    for ago in range(40):
        counted(1, f"step{ago % 7}.forward", ago % 12, ago=ago)
    with django_assert_num_queries(len(few)):
        boss.get(HERE)
