"""The pages of runs say what holds one up: a line at a business key, an open breaker."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

import sagas
from sagas import store
from sagas.decisions.breaker_policy import Window
from sagas.models import Breaker
from tests.integration.admin.conftest import RUNS, accept, carry, held
from tests.lab.sagas import Experiment, Keyed, Lab

pytestmark = pytest.mark.django_db


def standing(boss: Client, run_id: object) -> str:
    """What the list says of where a run stands, which the run's page says too."""
    listed = boss.get(f"{RUNS}?q={run_id}").content.decode()
    page = boss.get(f"{RUNS}{run_id}/change/").content.decode()
    cell = listed.partition('class="field-stands_at">')[2].partition("</td>")[0]
    assert all(part in page for part in cell.split("; "))
    return cell


def test_a_run_that_waits_for_a_lock_shows_the_key_and_its_holder(boss: Client) -> None:
    key = f"order:{uuid4().hex}"
    first, second, third = (sagas.start(Keyed, Experiment(keys=(key,))) for _ in range(3))
    assert "waits" not in standing(boss, first)
    assert f"waits in line at {key}: 1 before it, run {first} holds it" in standing(boss, second)
    assert f"waits in line at {key}: 2 before it, run {first} holds it" in standing(boss, third)


def test_a_run_that_waits_for_an_open_breaker_shows_it(boss: Client) -> None:
    # Given
    run_id, other = held("ORD-1"), accept("ORD-2")
    sagas.cancel(run_id)
    carry(other)
    step = next(step for step in Lab.definition.steps if f"{step.name} " in standing(boss, run_id)).name
    store.breakers.open_breaker(f"lab.Lab.{step}", step=step, seen=Window(9, 9))
    # Then
    assert f"waits for the open breaker of lab.Lab.{step}, next probe after" in standing(boss, run_id)
    assert "breaker" not in standing(boss, other)
    # And when its probe is due, it does not name a time that has passed
    Breaker.objects.update(probe_at=timezone.now() - timedelta(minutes=1))
    assert "next probe as soon as a run is due" in standing(boss, run_id)
    assert "as soon as a run is due" in boss.get("/admin/sagas/breaker/").content.decode()
    # And once it is closed, nothing is held up
    Breaker.objects.update(closed_at=timezone.now())
    assert "breaker" not in standing(boss, run_id)


def test_a_page_of_runs_needs_two_queries_however_many_runs_wait(boss: Client) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    key = f"order:{uuid4().hex}"

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            boss.get(RUNS)
        return len(queries)

    sagas.start(Keyed, Experiment(keys=(key,)))
    sagas.start(Keyed, Experiment(keys=(key,)))
    few = asked()
    for _ in range(10):
        sagas.start(Keyed, Experiment(keys=(key,)))
    assert asked() == few
