"""Operators see which run holds a business key, and which wait for it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.test import Client

import sagas
from sagas import selectors
from tests.integration.admin.conftest import RUNS, Clients
from tests.lab.sagas import Experiment, Keyed

LOCKS = "/admin/sagas/lock/"

pytestmark = pytest.mark.django_db


def test_the_page_shows_which_runs_hold_a_key_and_which_wait(boss: Client) -> None:
    # Given
    key = f"order:{uuid4().hex}"
    first, second, third = (sagas.start(Keyed, Experiment(keys=(key,))) for _ in range(3))
    # Then
    assert [(one.run_id, one.ahead) for one in selectors.lock_line(key)] == [(first, 0), (second, 1), (third, 2)]
    assert [(one.key, one.ahead) for one in selectors.locks_of_run(third)] == [(key, 2)]
    response = boss.get(f"{LOCKS}?q={key}")
    shown = response.context["cl"].result_list
    assert [(lock.run_id, lock.waits) for lock in shown] == [(first, False), (second, True), (third, True)]
    text = response.content.decode()
    assert text.count("holds it") == 1
    assert f"{RUNS}{first}/change/" in text


@pytest.mark.parametrize(("permissions", "status"), [(["view_run"], 200), ([], 403)])
def test_the_page_needs_view_permission(staff: Clients, permissions: list[str], status: int) -> None:
    assert staff(*permissions).get(LOCKS).status_code == status
