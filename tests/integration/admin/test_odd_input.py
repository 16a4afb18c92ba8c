"""Whatever stands in an address or a form of the admin, it is no error of the server's."""

from __future__ import annotations

import pytest
from django.test import Client

from sagas.models import Log
from tests.integration.admin.conftest import ESCALATIONS, RUNS, escalated
from tests.support import runs

ORDERS = "/admin/orders/order/"
BREAKERS = "/admin/sagas/breaker/"
LOCKS = "/admin/sagas/lock/"
ODD = ["nonsense", "%00", "%ED%A0%80", "9" * 26, "-1"]
PAGES = [RUNS, ESCALATIONS, ORDERS, BREAKERS, LOCKS]


@pytest.mark.parametrize("page", PAGES)
def test_an_unknown_address_is_not_found(boss: Client, page: str) -> None:
    for odd in ODD:
        for tail in ("change/", "history/"):
            assert boss.get(f"{page}{odd}/{tail}").status_code in {302, 403, 404}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", ["q", "state", "standing", "created_at__gte", "run_id"])
def test_a_list_answers_any_query_parameters(boss: Client, page: str, name: str) -> None:
    for odd in ODD:
        assert boss.get(f"{page}?{name}={odd}").status_code in {200, 302, 400}


def test_an_action_answers_any_selection_and_text(boss: Client) -> None:
    run_id = escalated("ORD-1")
    for chosen in ["nonsense", "\x00", "9" * 40, str(run_id)]:
        for action in ("resume_runs", "assign_runs", "nonsense"):
            for note in ("a\x00b", "n" * 20_000):
                form = {
                    "action": action,
                    "_selected_action": chosen,
                    "note": note,
                    "escalation": chosen,
                    "decided": "1",
                }
                for page in (RUNS, ESCALATIONS):
                    assert boss.post(page, form).status_code in {200, 302, 400}
    assert runs.state(run_id) == "ESCALATED" or "resume" in runs.story(run_id)


def test_an_escalated_run_shows_its_failed_attempts(boss: Client) -> None:
    run_id = escalated("ORD-1")
    broke = Log.objects.filter(run_id=run_id, step="two", operation="compensate", outcome="FAULT").count()
    assert broke > 1
    text = boss.get(f"{RUNS}{run_id}/change/").content.decode()
    assert f"Failed attempts here</dt><dd>{broke}</dd>" in text
