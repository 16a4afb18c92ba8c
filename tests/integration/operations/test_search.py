"""Runs are found by a line: in the admin's list and in the shell alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client

from sagas.models import Run
from sagas.operations.search import runs as search
from tests.integration.admin.conftest import accept, carried, escalated, held
from tests.lab.sagas import Experiment

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_due")]


def found(line: str) -> set[str]:
    """The business keys of the runs of a line."""
    return set(search.find(line).runs.values_list("business_key", flat=True))


def test_each_qualifier_finds_its_runs() -> None:
    # Given runs in many standings
    new, waits, stuck = accept("NEW"), held("WAITS"), escalated("STUCK")
    carried("REFUSED", Experiment(reject=("two",)))
    Run.objects.filter(pk=new).update(created_at=Now() - timedelta(hours=3), attempt=2)
    trace = Run.objects.get(pk=waits).trace_id
    # Then
    assert found("state:pending") == {"NEW"}
    assert found("state:awaiting_confirm") == {"WAITS"}
    assert found("state:escalated") == {"STUCK"}
    assert found("state:failed") == {"REFUSED"}
    assert found("error:rejected") == {"REFUSED", "STUCK"}
    assert found("step:one state:pending") == {"NEW"}
    assert found("step:two") == {"STUCK"}
    assert found("age:>2h") == found("attempts:>1") == {"NEW"}
    assert found("age:<2h") == {"WAITS", "STUCK", "REFUSED"}
    assert found(f"trace:{trace.hex}") == {"WAITS"}
    assert found("saga:lab.Lab version:1") == {"NEW", "WAITS", "STUCK", "REFUSED"}
    assert found("saga:lab.Nothing") == found("started:<2020-01-01") == set()
    assert found("started:>2020-01-01 key:STUCK") == found(f"{stuck}") == {"STUCK"}
    assert found("NEW WAITS") == {"NEW", "WAITS"}
    assert found("NEW state:failed") == set()
    assert found("error:broken") | found("error:fault") >= {"STUCK"}
    assert found("") == {"NEW", "WAITS", "STUCK", "REFUSED"}


def test_what_no_index_finds_is_looked_for_among_the_newest_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LATEST", 2)
    for number in range(4):
        accept(f"NEW-{number}")
    bounded = search.find("saga:lab.Lab")
    assert bounded.bounded
    assert set(bounded.runs.values_list("business_key", flat=True)) == {"NEW-2", "NEW-3"}
    for line in ("key:NEW-0", "NEW-0", "state:pending", "step:one", ""):
        assert not search.find(line).bounded


@pytest.mark.parametrize(
    ("line", "index"),
    [("state:pending", "sagas_run_due"), ("key:ORD-1", "sagas_run_business_key"), ("step:one", "sagas_run_due")],
)
def test_an_index_bounds_what_is_read(line: str, index: str) -> None:
    accept("ORD-1")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = search.find(line).runs.explain()
    assert index in plan
    assert "Seq Scan on sagas_run" not in plan


# -- The list in the admin ------------------------------------------------------------------------------------------


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(get_user_model()._default_manager.create_superuser("boss", password="pw"))
    return client


def test_the_list_takes_the_line_and_says_what_is_wrong_with_it(boss: Client) -> None:
    accept("NEW"), held("WAITS")
    page = boss.get("/admin/sagas/run/", {"q": "state:pending"}).content.decode()
    assert ">NEW<" in page
    assert ">WAITS<" not in page
    page = boss.get("/admin/sagas/run/", {"q": "ORD-1 stat:<script>"}).content.decode()
    assert "“stat:&lt;script&gt;”" in page
    assert "Is state: meant?" in page
    assert "<script>”" not in page
    page = boss.get("/admin/sagas/run/", {"q": "saga:lab.Lab"}).content.decode()
    assert "Only the newest 100,000 runs were looked at." in page


# -- The shell ------------------------------------------------------------------------------------------------------


def listed(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command("sagas", "list", *arguments, stdout=out, **options)
    return out.getvalue()


def test_a_shell_lists_runs_as_a_table_and_as_json() -> None:
    run_id: UUID = accept("NEW")
    held("WAITS")
    assert "1 run(s)" in listed("state:pending")
    (row,) = map(json.loads, listed("state:pending", "--json").splitlines())
    assert (row["id"], row["state"], row["business_key"]) == (str(run_id), "PENDING", "NEW")
    newest = listed("--limit", "1")
    assert "WAITS" in newest
    assert "there may be more" in newest


def test_a_shell_shows_where_the_line_is_wrong() -> None:
    with pytest.raises(CommandError) as raised:
        listed("NEW", "age:old")
    assert str(raised.value).splitlines()[1:] == ["  NEW age:old", "      ^^^^^^^"]
    with pytest.raises(CommandError, match="between 1 and"):
        listed("--limit", "0")


def test_more_runs_are_no_more_queries(django_assert_num_queries: Callable[..., Any]) -> None:
    accept("NEW"), escalated("STUCK")
    with django_assert_num_queries(2):
        list(search.find("step:two").runs)
    for number in range(5):
        escalated(f"STUCK-{number}")
    Run.objects.update(attempt=F("attempt") + 1)
    with django_assert_num_queries(2):
        list(search.find("step:two").runs)
