"""Operators cancel and resume runs: on purpose, with a reason, on record, and only who may."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import Client
from pytest import MonkeyPatch

import sagas
from sagas import State
from sagas.engine import lifecycle
from tests.integration.admin.conftest import RUNS, Clients, accept, carried, carry, escalated, held
from tests.lab.sagas import Experiment
from tests.support import runs


def ask(client: Client, action: str, *ids: UUID) -> Any:
    """Choose runs in the list, and an action."""
    return client.post(RUNS, {"action": action, "index": "0", "_selected_action": [str(i) for i in ids]})


def decide(client: Client, action: str, *ids: UUID, note: str = "the customer called", page: str | None = None) -> Any:
    """Confirm it, on the page that asks now, or on one that was asked before."""
    page = ask(client, action, *ids).content.decode() if page is None else page
    form = {"action": action, "_selected_action": [str(i) for i in ids], "decided": "yes", "note": note}
    shown = {"escalation": escalations_of(page), "seen": re.findall(r'name="seen" value="([^"]+)"', page)}
    return client.post(RUNS, {**form, **shown}, follow=True)


def escalations_of(page: str) -> list[str]:
    """The escalations that a page's forms are about."""
    return sorted(set(re.findall(r'name="escalation" value="(\d+)"', page)))


def test_a_run_is_cancelled_once_that_is_confirmed(boss: Client) -> None:
    # Given a run that holds something
    run_id = held("ORD-1")
    # When an operator asks to cancel it
    question = ask(boss, "cancel_runs", run_id).content.decode()
    # Then nothing has happened, and the page says what would
    assert "Every step that is done will be undone" in question
    assert runs.state(run_id) is State.AWAITING_CONFIRM
    # When it is confirmed
    answer = decide(boss, "cancel_runs", run_id)
    # Then the run is undone, and both records say who did it and why
    assert answer.redirect_chain[-1][0] == f"{RUNS}{run_id}/change/"
    assert "ORD-1 is being undone" in answer.content.decode()
    assert runs.event(run_id, "cancel").worker == "boss"
    assert runs.reason(run_id)["detail"] == "the customer called"
    entry = LogEntry.objects.get(object_id=str(run_id))
    assert (entry.user.get_username(), entry.change_message) == ("boss", "Cancel: the customer called")
    carry(run_id)
    assert runs.state(run_id) is State.FAILED


def test_selected_runs_are_cancelled_and_the_others_are_named(boss: Client) -> None:
    run_id, decided = held("ORD-1"), held("ORD-2")
    sagas.confirm(decided, "approval")
    text = decide(boss, "cancel_runs", run_id, decided).content.decode()
    assert "ORD-1 is being undone" in text
    assert "ORD-2: the run is confirmed" in text
    assert runs.state(run_id) is State.COMPENSATING
    assert runs.state(decided) is State.CONFIRMING
    assert LogEntry.objects.count() == 1


def test_an_escalated_run_is_resumed_with_a_note(boss: Client) -> None:
    run_id = escalated("ORD-1")
    escalation = runs.escalation(run_id)
    assert "Mend the cause first" in ask(boss, "resume_runs", run_id).content.decode()
    decide(boss, "resume_runs", run_id, note="restarted the ledger")
    escalation.refresh_from_db()
    assert (escalation.resolved_by, escalation.note) == ("boss", "restarted the ledger")
    assert runs.event(run_id, "resume").worker == "boss"
    assert runs.state(run_id) is State.COMPENSATING


def test_only_an_escalated_run_is_resumed(boss: Client) -> None:
    run_id = held("ORD-1")
    assert "it is not escalated" in decide(boss, "resume_runs", run_id).content.decode()
    assert runs.state(run_id) is State.AWAITING_CONFIRM


def stuck(key: str) -> UUID:
    """An escalated run whose cause will not be mended at the first try."""
    return carried(key, Experiment(reject=("four",), faults={"two.compensate": 6}))


def resume_in_vain(run_id: UUID) -> None:
    """Somebody else resumes it, and it is escalated again."""
    first = runs.escalation(run_id)
    sagas.resume(run_id, by="bo", note="mended", escalation=first.pk)
    carry(run_id)
    assert runs.escalation(run_id).pk != first.pk


@pytest.mark.parametrize("action", ["fail_runs", "succeed_runs", "resume_runs"])
def test_a_decision_on_one_escalation_does_not_apply_to_the_next(boss: Client, action: str) -> None:
    # Given somebody who reads why a run is escalated, and is asked for a note
    run_id = stuck("ORD-1")
    page = ask(boss, action, run_id).content.decode()
    assert escalations_of(page) == [str(runs.escalation(run_id).pk)]

    # And another who is quicker
    resume_in_vain(run_id)

    # When the first sends the note
    answer = decide(boss, action, run_id, note="undone by hand", page=page).content.decode()

    # Then nothing was decided about what nobody has read
    assert "ORD-1: this decision is about an earlier escalation" in answer
    assert runs.state(run_id) is State.ESCALATED
    assert runs.escalation(run_id).resolved_at is None
    assert not LogEntry.objects.filter(object_id=str(run_id)).exists()

    # And it can be, once it was read
    decide(boss, action, run_id, note="undone by hand")
    assert runs.state(run_id) is not State.ESCALATED


@pytest.mark.parametrize("action", ["assign_runs", "acknowledge_runs"])
def test_acknowledging_one_escalation_acknowledges_no_other(boss: Client, action: str) -> None:
    # Given a run's own page, which was opened before it was escalated again
    run_id = stuck("ORD-1")
    page = boss.get(f"{RUNS}{run_id}/change/").content.decode()
    resume_in_vain(run_id)

    # When
    form = {"action": action, "_selected_action": str(run_id), "escalation": escalations_of(page)}
    answer = boss.post(RUNS, form, follow=True).content.decode()

    # Then
    assert "this decision is about an earlier escalation" in answer
    now = runs.escalation(run_id)
    assert (now.assignee, now.acknowledged_by, now.acknowledged_at) == ("", "", None)


def test_a_decision_asked_about_an_earlier_escalation_is_refused(boss: Client) -> None:
    run_id = carried("ORD-1", Experiment(faults={"two.compensate": 3}))
    page = ask(boss, "fail_runs", run_id).content.decode()
    sagas.cancel(run_id)
    carry(run_id)
    assert "earlier escalation" in decide(boss, "fail_runs", run_id, page=page).content.decode()
    assert runs.state(run_id) is State.ESCALATED


def test_a_decision_without_a_reason_is_refused(boss: Client) -> None:
    run_id = held("ORD-1")
    assert "This field is required" in decide(boss, "cancel_runs", run_id, note="  ").content.decode()
    assert runs.state(run_id) is State.AWAITING_CONFIRM


def test_a_get_request_decides_nothing(boss: Client) -> None:
    run_id = held("ORD-1")
    boss.get(RUNS, {"action": "cancel_runs", "_selected_action": str(run_id), "decided": "yes", "note": "x"})
    assert runs.state(run_id) is State.AWAITING_CONFIRM


def test_a_request_without_a_csrf_token_decides_nothing(boss: Client) -> None:
    run_id = held("ORD-1")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = boss.cookies
    assert decide(strict, "cancel_runs", run_id).status_code == 403
    assert runs.state(run_id) is State.AWAITING_CONFIRM


def test_a_user_with_view_permission_only_is_offered_no_decisions(staff: Clients) -> None:
    client = staff("view_run")
    run_id = held("ORD-1")
    text = client.get(f"{RUNS}{run_id}/change/").content.decode()
    assert "ORD-1" in text
    assert "Cancel this run" not in text
    assert "cancel_runs" not in client.get(RUNS).content.decode()
    decide(client, "cancel_runs", run_id)
    assert runs.state(run_id) is State.AWAITING_CONFIRM


def test_the_two_permissions_are_independent(staff: Clients) -> None:
    client = staff("view_run", "change_run")
    cancellable, resumable = held("ORD-1"), escalated("ORD-2")
    decide(client, "resume_runs", resumable)
    assert runs.state(resumable) is State.ESCALATED
    decide(client, "cancel_runs", cancellable)
    assert runs.state(cancellable) is State.COMPENSATING


def test_a_run_offers_only_the_decisions_that_are_possible(boss: Client) -> None:
    texts = [boss.get(f"{RUNS}{i}/change/").content.decode() for i in (held("ORD-1"), escalated("ORD-2"))]
    assert ["Cancel this run" in text for text in texts] == [True, False]
    assert ["Resume this run" in text for text in texts] == [False, True]


class _Said(Exception):
    """As a driver tells it."""

    def __init__(self, code: str) -> None:
        self.pgcode = code


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("55P03", "locked by a step that takes long. Nothing was done to it; try again."),
        (
            "53100",
            "the database could not do it (OperationalError 53100: so be it). Nothing was done to it; try again.",
        ),
        ("57P01", "Nothing was done to it, as far as is known: look before you try again."),
    ],
)
def test_a_database_error_during_a_decision_is_shown(
    boss: Client, monkeypatch: MonkeyPatch, code: str, said: str
) -> None:
    run_id = held("ORD-1")

    def fails(*_: object, **__: object) -> None:
        raise OperationalError("so be it") from _Said(code)

    monkeypatch.setattr(lifecycle, "cancel_run", fails)
    assert said in decide(boss, "cancel_runs", run_id).content.decode()
    assert runs.state(run_id) is State.AWAITING_CONFIRM


def test_a_decision_on_too_many_runs_is_refused(boss: Client, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr("sagas.admin.decisions.MOST", 2)
    ids = [accept(f"ORD-{number}") for number in range(3)]
    text = boss.post(RUNS, {"action": "cancel_runs", "index": "0", "_selected_action": ids}, follow=True)
    assert "Choose at most 2 runs" in text.content.decode()


def test_the_longest_user_name_fits_the_record(boss: Client) -> None:
    run_id = held("ORD-1")
    user = get_user_model()._default_manager.get(username="boss")
    user.username = "b" * 150
    user.save()
    decide(boss, "cancel_runs", run_id)
    assert runs.event(run_id, "cancel").worker == "b" * 100


def test_many_decisions_are_reported_in_one_message_for_each_result(boss: Client) -> None:
    # Given five runs that can be cancelled, and five that cannot
    undecided, decided = [held(f"ORD-U{n}") for n in range(5)], [held(f"ORD-D{n}") for n in range(5)]
    for run_id in decided:
        sagas.confirm(run_id, "approval")
    # When
    page = decide(boss, "cancel_runs", *undecided, *decided)
    # Then
    told = [str(message) for message in page.context["messages"]]
    assert told == [
        "5 runs (lab.Lab ORD-U0, lab.Lab ORD-U1, lab.Lab ORD-U2, …) are being undone.",
        f"5 runs (lab.Lab ORD-D0, lab.Lab ORD-D1, lab.Lab ORD-D2, …): {told[1].partition(': ')[2]}",
    ]
    assert "confirmed" in told[1]
    # And each is on record by itself
    assert LogEntry.objects.count() == 5
