"""Operators pause a saga, a step or new starts on a page, after it has said what that holds back; and let it go on."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from sagas import State
from sagas.models import Pause, Run
from tests.integration.admin.conftest import RUNS, Clients, accept, held
from tests.integration.admin.test_decisions import ask, decide
from tests.support import runs

PAUSES = "/admin/sagas/pause/"


def told(page: str) -> str:
    (found,) = re.findall(r'name="told" value="([^"]*)"', page) or [""]
    return str(found)


def save(client: Client, url: str, **form: str) -> str:
    """Send a form, read what it says, and send it again."""
    page = client.post(url, {**form, "told": ""}).content.decode()
    assert "Save again to do it." in page, page
    client.post(url, {**form, "told": told(page)}, follow=True)
    return page


def test_a_saga_is_paused_once_the_page_has_said_what_waits(boss: Client) -> None:
    accept("ORD-1")
    page = save(boss, f"{PAUSES}add/", what="saga/lab.Lab/", why="the ledger moves")
    assert "Holds back lab.Lab until it is unpaused. 1 run is under way" in page
    pause = Pause.objects.get()
    assert (pause.scope, pause.saga, pause.paused_by, pause.reason) == ("saga", "lab.Lab", "boss", "the ledger moves")
    assert "lab.Lab" in boss.get(PAUSES).content.decode()


def test_the_first_sending_of_the_form_pauses_nothing(boss: Client) -> None:
    boss.post(f"{PAUSES}add/", {"what": "starts/*/", "why": "a flood"})
    assert not Pause.objects.exists()


def test_what_was_told_of_one_thing_pauses_no_other(boss: Client) -> None:
    page = boss.post(f"{PAUSES}add/", {"what": "saga/lab.Lab/", "why": "x", "told": ""}).content.decode()
    again = boss.post(f"{PAUSES}add/", {"what": "starts/*/", "why": "x", "told": told(page)}).content.decode()
    assert "Save again to do it." in again
    assert not Pause.objects.exists()


def test_a_pause_is_ended_on_its_page_and_stays_as_a_record(boss: Client) -> None:
    save(boss, f"{PAUSES}add/", what="step/lab.Lab/two", why="the ledger moves")
    pause = Pause.objects.get()
    save(boss, f"{PAUSES}{pause.pk}/change/", why="it has moved")
    pause.refresh_from_db()
    assert (pause.ended_by, pause.end_reason) == ("boss", "it has moved")
    page = boss.get(f"{PAUSES}{pause.pk}/change/").content.decode()
    assert "it has moved" in page
    assert 'name="why"' not in page


def test_what_cannot_be_paused_is_said_in_the_form(boss: Client) -> None:
    page = boss.post(f"{PAUSES}add/", {"what": "saga/lab.Nothing/", "why": "x"}).content.decode()
    assert "Select a valid choice" in page


def test_runs_are_paused_and_unpaused_from_their_list_and_say_so(boss: Client) -> None:
    run_id = held("ORD-1")
    assert "Nothing more is performed for it" in ask(boss, "pause_runs", run_id).content.decode()
    decide(boss, "pause_runs", run_id, note="look at it first")
    page = boss.get(f"{RUNS}{run_id}/change/").content.decode()
    assert "by boss: look at it first" in page
    assert "Unpause this run" in page
    decide(boss, "unpause_runs", run_id, note="looked")
    assert Pause.objects.get(run_id=run_id).ended_by == "boss"
    assert [line for line in runs.story(run_id) if "pause" in line] == ["pause", "unpause"]
    assert runs.state(run_id) is State.AWAITING_CONFIRM


def test_who_may_only_look_pauses_nothing(staff: Clients) -> None:
    client = staff("view_run", "view_pause")
    assert client.get(PAUSES).status_code == 200
    assert client.post(f"{PAUSES}add/", {"what": "starts/*/", "why": "x", "told": "starts/*/"}).status_code == 403
    decide(client, "pause_runs", held("ORD-1"))
    assert not Pause.objects.exists()
    assert Run.objects.count() == 1


@pytest.mark.parametrize("permission", ["add_pause", "change_pause"])
def test_who_may_pause_may_not_end_a_pause_and_the_other_way_round(staff: Clients, permission: str) -> None:
    pause = Pause.objects.create(scope="starts", paused_by="ada", reason="a flood")
    client = staff("view_pause", permission)
    added = client.post(f"{PAUSES}add/", {"what": "saga/lab.Lab/", "why": "x", "told": "saga/lab.Lab/"})
    ended = client.post(f"{PAUSES}{pause.pk}/change/", {"why": "x", "told": f"end {pause.pk}"})
    assert [added.status_code, ended.status_code] == ([302, 403] if permission == "add_pause" else [403, 302])
