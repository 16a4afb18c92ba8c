"""The board of service levels: what is left of a budget, what burns, and how long stages took."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from sagas import store
from sagas.models import BurnIncident, LevelCursor, LevelMinute
from sagas.observability import burning
from tests.integration.admin.conftest import Clients

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_due")]

BOARD = "/admin/sagas/run/service-levels/"
SAGA = "orders.PlaceOrder"


@pytest.fixture(autouse=True)
def _nothing_counted(db: None) -> None:
    for table in (BurnIncident, LevelMinute):
        table._default_manager.all().delete()
    LevelCursor.objects.update_or_create(
        pk=1, defaults={"since": store.runs.clock(), "after": 0, "upto": None, "judged_at": None, "judged_after": None}
    )


def counted(number: int, outcome: str, *, subject: str = "objective", name: str = "settled", **more: float) -> None:
    """So many of them in the last minute but one, or so many minutes ``ago``."""
    minute = (store.runs.clock() - timedelta(minutes=more.pop("ago", 1))).replace(second=0, microsecond=0)
    bucket = int(more.pop("bucket", 0))
    LevelMinute.objects.create(
        saga=SAGA, subject=subject, minute=minute, name=name, outcome=outcome, bucket=bucket, number=number, **more
    )


def rows(page: str) -> list[list[str]]:
    """The cells of every row of its tables, as text."""
    found = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL) for row in found]
    return [[" ".join(re.sub(r"<[^>]+>", "", cell).split()) for cell in row] for row in cells]


def row(page: str, first: str) -> list[str]:
    return next(cells for cells in rows(page) if cells and cells[0] == first)


def test_the_board_says_what_is_left_of_the_budget_and_what_burns(boss: Client) -> None:
    # Given a million good runs a week ago, and ten late ones now
    counted(999_990, "good", ago=7 * 24 * 60, seconds=0)
    counted(90, "good", seconds=0)
    counted(10, "late", seconds=0)
    assert burning.judge(every=0.0)
    # When
    page = boss.get(BOARD).content.decode()
    # Then ten bad runs of eight that the budget allows
    found = row(page, SAGA)
    assert found[1:6] == ["settled", "99.9992 %", "5.0 s", "1000080 / 1000090", "-25.0 % missed"]
    assert found[6] == "12,500 ×, 12,500 × burns"
    assert found[9].startswith("burns since 20")
    # And the incident is listed, with the runs
    assert row(page, "settled")[-1] == "10 of 100 bad"
    assert f'href="/admin/sagas/run/?saga={SAGA}"' in page


def test_stages_are_listed_in_order_with_percentiles_and_the_lag_of_compensation(boss: Client) -> None:
    # Given stays in stages, and two undone runs
    counted(1, "good", seconds=0)
    counted(98, "DONE", subject="stage", name="reserve_inventory.try", seconds=1.0, bucket=2)
    counted(2, "FAULT", subject="stage", name="reserve_inventory.try", seconds=9.0, bucket=9)
    counted(5, "DONE", subject="stage", name="create_order.forward", seconds=1.0, bucket=1)
    counted(2, "DONE", subject="stage", name="create_order.compensate", seconds=1.0, bucket=1)
    counted(2, "DONE", subject="stage", name="reserve_inventory.cancel", seconds=1.0, bucket=1)
    counted(9, "WAITED", subject="stage", name="confirmation", seconds=900.0, bucket=12)
    counted(5, "EVENT", subject="stage", name="claim", seconds=0.1, bucket=0)
    counted(2, "FAILED", subject="undo", name="", seconds=3.0, bucket=8)
    counted(3, "SUCCEEDED", subject="run", name="", seconds=3.0, bucket=7)
    # When
    page = boss.get(BOARD).content.decode()
    # Then
    names = [cells[0] for cells in rows(page) if len(cells) == 8 and cells[0] != "Stage"]
    assert names == [
        "whole run",
        "compensation lag",
        "claim",
        "create_order forward",
        "reserve_inventory try",
        "reserve_inventory cancel",
        "create_order compensate",
    ]
    assert row(page, "reserve_inventory try")[1:] == ["forward", "100", "2", "100 ms", "≤ 25 ms", "≤ 25 ms", "≤ 5.0 s"]
    assert row(page, "compensation lag")[2:] == ["2", "0", "1.5 s", "≤ 2.5 s", "≤ 2.5 s", "≤ 2.5 s"]


def test_an_empty_board_says_what_it_would_show(boss: Client) -> None:
    assert "No run has ended in the last 24 hours." in boss.get(BOARD).content.decode()
    LevelCursor.objects.all().delete()
    assert "Nothing was counted yet." in boss.get(BOARD).content.decode()


def test_it_is_for_those_who_may_see_runs(staff: Clients) -> None:
    assert staff("view_breaker").get(BOARD).status_code == 403
    assert Client().get(BOARD).status_code == 302
    assert Client().post(BOARD).status_code in {302, 403, 405}


def test_more_minutes_are_no_more_queries(boss: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    boss.get(BOARD)
    with CaptureQueriesContext(connection) as few:
        boss.get(BOARD)
    for ago in range(50):
        counted(1, "good", ago=ago, seconds=0)
        counted(1, "DONE", subject="stage", name=f"step{ago}.forward", ago=ago, seconds=0)
    with django_assert_num_queries(len(few)):
        boss.get(BOARD)
