"""Operators take escalations, and end runs by hand: each with a permission of its own."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

import sagas
from sagas import State
from sagas.models import Escalation
from tests.integration.admin.conftest import ESCALATIONS, RUNS, Clients, escalated, held
from tests.integration.admin.test_decisions import ask, decide
from tests.support import runs


def of_escalation(client: Client, action: str, *ids: object) -> str:
    """Choose escalations in their own list, and an action."""
    chosen = {"action": action, "index": "0", "_selected_action": [str(i) for i in ids]}
    return client.post(ESCALATIONS, chosen, follow=True).content.decode()


def test_the_user_who_acknowledges_an_escalation_is_shown_and_recorded(boss: Client) -> None:
    # Given
    run_id = escalated("ORD-1")
    assert "nobody; 0 notices sent" in boss.get(ESCALATIONS).content.decode()

    # When: at once, for there is nothing to note
    text = ask(boss, "assign_runs", run_id)

    # Then
    assert text.status_code == 302
    found = runs.escalation(run_id)
    assert (found.assignee, found.acknowledged_by, found.notify_at) == ("boss", "boss", None)
    assert LogEntry.objects.get(object_id=str(run_id)).change_message == "Assign to me"
    assert runs.event(run_id, "acknowledge").worker == "boss"
    # And there is nothing to acknowledge any more
    page = boss.get(f"{RUNS}{run_id}/change/").content.decode()
    assert "Acknowledge" not in page
    assert "Resume this run" in page


@pytest.mark.parametrize("action", ["assign_runs", "acknowledge_runs"])
def test_escalations_are_acknowledged_from_their_list(boss: Client, action: str) -> None:
    run_id = escalated("ORD-1")
    text = of_escalation(boss, action, runs.escalation(run_id).pk)
    assert "ORD-1 is " in text
    assert runs.escalation(run_id).acknowledged_by == "boss"


@pytest.mark.parametrize(("action", "outcome"), [("fail_runs", State.FAILED), ("succeed_runs", State.SUCCEEDED)])
def test_a_run_is_ended_by_hand_with_a_note(boss: Client, action: str, outcome: State) -> None:
    run_id = escalated("ORD-1")
    # When it is asked for, from either list, then nothing has happened
    for question in (
        ask(boss, action, run_id).content.decode(),
        of_escalation(boss, action, runs.escalation(run_id).pk),
    ):
        assert f"Resolve these runs as {outcome}?" in question
        assert "ORD-1" in question
    # And without a note nothing happens
    assert "This field is required" in decide(boss, action, run_id, note=" ").content.decode()
    assert runs.state(run_id) is State.ESCALATED
    # When it is confirmed
    text = decide(boss, action, run_id, note="counted the jars").content.decode()
    # Then
    assert f"ORD-1 is {outcome}" in text
    assert runs.state(run_id) is outcome
    assert runs.event(run_id, "resolve").data == {"outcome": outcome, "note": "counted the jars"}
    assert "counted the jars" in boss.get(f"{ESCALATIONS}?standing=resolved").content.decode()


ALL = ("assign_runs", "acknowledge_runs", "resume_runs", "fail_runs", "succeed_runs")


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [
        ("view_run", ()),
        ("change_run", ()),
        ("acknowledge_escalation", ("assign_runs", "acknowledge_runs")),
        ("change_escalation", ("resume_runs",)),
        ("resolve_escalation", ("fail_runs", "succeed_runs")),
    ],
)
def test_each_permission_allows_only_its_own_action(staff: Clients, permission: str, allowed: tuple[str, ...]) -> None:
    client = staff("view_run", permission)
    run_id = escalated("ORD-1")
    for page in (RUNS, ESCALATIONS):
        text = client.get(page).content.decode()
        assert [action for action in ALL if action in text] == list(allowed)
    for action in set(ALL) - set(allowed):
        decide(client, action, run_id)
        of_escalation(client, action, runs.escalation(run_id).pk)
        assert runs.state(run_id) is State.ESCALATED
        assert runs.escalation(run_id).acknowledged_at is None
        assert runs.escalation(run_id).assignee == ""
    for action in allowed[:1]:
        decide(client, action, run_id)
        assert runs.story(run_id)[-2] in {"assign", "resume", "resolve"}
        assert runs.event(run_id, "action").worker == "clerk"


def test_the_list_shows_who_has_acknowledged_what(boss: Client, staff: Clients) -> None:
    mine, seen, unseen = escalated("ORD-1"), escalated("ORD-2"), escalated("ORD-3")
    ask(boss, "assign_runs", mine)
    ask(boss, "acknowledge_runs", seen)

    def listed(standing: str) -> set[str]:
        text = boss.get(ESCALATIONS + standing).content.decode()
        return {key for key in ("ORD-1", "ORD-2", "ORD-3") if key in text}

    assert listed("") == {"ORD-1", "ORD-2", "ORD-3"}
    assert listed("?standing=mine") == {"ORD-1"}
    assert listed("?standing=unseen") == {"ORD-3"}
    assert runs.escalation(unseen).assignee == ""


def test_a_long_error_is_visibly_shortened(boss: Client) -> None:
    run_id = escalated("ORD-1")
    Escalation.objects.filter(run_id=run_id).update(error={"code": "NotReturned", "detail": "x" * 1000})
    page = boss.get(ESCALATIONS).content.decode()
    assert "xx…" in page
    assert "x" * 500 not in page


def test_a_run_that_is_not_escalated_cannot_be_acknowledged_or_ended(boss: Client) -> None:
    run_id = held("ORD-1")
    for action in ("assign_runs", "acknowledge_runs", "fail_runs"):
        assert "it is not escalated" in decide(boss, action, run_id).content.decode()
    assert runs.state(run_id) is State.AWAITING_CONFIRM


def test_the_run_page_says_what_to_do(boss: Client) -> None:
    text = boss.get(f"{RUNS}{escalated('ORD-1')}/change/").content.decode()
    assert "The undo of two.compensate keeps failing" in text
    for verb in ("Assign to me", "Acknowledge", "Resume this run", "Resolve as FAILED", "Resolve as SUCCEEDED"):
        assert verb in text


def test_a_user_without_view_permission_on_runs_resumes_from_the_list_of_escalations(staff: Clients) -> None:
    client = staff("view_escalation", "change_escalation")
    run_id = escalated("ORD-1")
    # Then the list has no link that would be refused
    page = client.get(ESCALATIONS).content.decode()
    assert "ORD-1" in page
    assert f"{RUNS}{run_id}/change/" not in page
    # And the question leads to where it was asked
    chosen = {"action": "resume_runs", "index": "0", "_selected_action": [str(runs.escalation(run_id).pk)]}
    question = client.post(ESCALATIONS, chosen)
    assert question.status_code == 200
    assert f'action="{ESCALATIONS}?standing=all"' in question.content.decode()
    seen = re.findall(r'name="seen" value="([^"]+)"', question.content.decode())
    answered = {**chosen, "decided": "yes", "note": "mended", "escalation": chosen["_selected_action"], "seen": seen}
    assert client.post(f"{ESCALATIONS}?standing=all", answered).status_code == 302
    assert runs.story(run_id)[-2:] == ["resume", "action"]


def test_a_decision_on_an_escalation_that_was_resolved_meanwhile_is_reported(boss: Client) -> None:
    # Given the question about an escalation, which somebody else answers first
    run_id = escalated("ORD-1")
    chosen = {"action": "resume_runs", "index": "0", "_selected_action": [str(runs.escalation(run_id).pk)]}
    boss.post(ESCALATIONS, chosen)
    sagas.resume(run_id, by="mei", note="mended")
    # When
    answered = {**chosen, "decided": "yes", "note": "mended, too", "escalation": chosen["_selected_action"]}
    text = boss.post(f"{ESCALATIONS}?standing=all", answered, follow=True).content.decode()
    # Then
    assert "ORD-1: " in text
    assert runs.story(run_id).count("resume") == 1
