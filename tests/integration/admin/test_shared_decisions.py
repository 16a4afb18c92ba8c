"""Operators see what was decided for which key, and which runs still wait for it."""

from __future__ import annotations

import pytest
from django.test import Client

import sagas
from sagas import selectors
from sagas.engine import shared_decisions
from tests.integration.admin.conftest import RUNS, Clients
from tests.lab.sagas import Experiment, Grouped

DECISIONS = "/admin/sagas/shareddecision/"

pytestmark = pytest.mark.django_db


def test_the_page_shows_what_was_decided_and_how_many_wait_for_it(boss: Client) -> None:
    # Given a group that waits, and one that has its answer
    run_id = Grouped.start(Experiment(group="group-7"))
    Grouped.start(Experiment(group="group-7"))
    sagas.decide(Grouped, "formed", "group-7", by="ana")
    sagas.decide(Grouped, "formed", "group-8", decline="2 of 10")
    # Then
    made = selectors.shared_decision(Grouped, "formed", "group-7")
    assert made is not None
    assert (made.declined, made.by, made.settled_at) == (False, "ana", None)
    assert selectors.count_undecided(Grouped, "formed", "group-7") == 2
    assert selectors.shared_decision(Grouped, "formed", "group-9") is None
    text = boss.get(DECISIONS).content.decode()
    assert "declined: 2 of 10" in text
    assert "not yet: 2 runs" in text
    assert "formed of lab.Grouped" in text
    # When all have it
    shared_decisions.settle_some()
    assert "not yet" not in boss.get(f"{DECISIONS}?q=group-7").content.decode()
    assert selectors.count_undecided(Grouped, "formed", "group-7") == 0
    # Then the page of a run names its key
    assert "formed: group-7" in boss.get(f"{RUNS}{run_id}/change/").content.decode()
    assert selectors.run_view(run_id).decision_key == "group-7"


def test_a_decision_cannot_be_changed_there(boss: Client) -> None:
    sagas.decide(Grouped, "formed", "group-7")
    assert boss.get(f"{DECISIONS}add/").status_code == 403
    assert "delete" not in boss.get(DECISIONS).content.decode().lower()


@pytest.mark.parametrize(("permissions", "status"), [(["view_run"], 200), ([], 403)])
def test_the_page_needs_view_permission(staff: Clients, permissions: list[str], status: int) -> None:
    assert staff(*permissions).get(DECISIONS).status_code == status
