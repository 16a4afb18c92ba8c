"""What people do about an escalated run: they acknowledge it, take it, and end it by hand, all on record."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection

import sagas
from sagas import AlreadyDecided, RunNotFound, State, selectors
from sagas.errors import InvalidDecision
from sagas.models import Escalation, Run
from tests.lab.sagas import Experiment, Lab
from tests.support.carrier import Carrier, claim_all
from tests.support.runs import escalation, event, make_due, marks, reason, state, story

pytestmark = pytest.mark.usefixtures("alone")


def undo_broken() -> UUID:
    """A run whose last step said no, and whose undo keeps failing."""
    run_id = sagas.start(Lab, Experiment(reject=("four",), faults={"two.compensate": 9}))
    Carrier().run([run_id])
    assert state(run_id) is State.ESCALATED
    return run_id


def confirm_broken() -> UUID:
    """A confirmed run whose first confirm keeps failing."""
    run_id = sagas.start(Lab, Experiment(faults={"one.confirm": 9}))
    sagas.confirm(run_id, "approval", {})
    Carrier().run([run_id])
    assert state(run_id) is State.ESCALATED
    return run_id


def test_an_escalation_names_the_error_and_a_remedy() -> None:
    found = escalation(undo_broken())
    assert (found.state, found.step, found.operation) == ("COMPENSATING", "two", "compensate")
    assert "The undo of two.compensate keeps failing" in found.suggestion
    assert found.notify_at is not None
    assert (found.assignee, found.acknowledged_by, found.notices) == ("", "", 0)


def test_the_escalation_of_a_stuck_run_names_its_step() -> None:
    run_id = sagas.start(Lab, Experiment())
    Run.objects.filter(pk=run_id).update(state="EXECUTING")
    Run.objects.filter(pk=run_id).update(cursor=1, claims=6)
    claim_all(lapsed=True)
    found = escalation(run_id)
    assert (found.step, found.operation, found.error["code"]) == ("two", "forward", "NoProgress")
    assert "consume this step's queue" in found.suggestion


def test_the_escalation_of_an_unknown_saga_names_it() -> None:
    run_id = sagas.start(Lab, Experiment())
    Run.objects.filter(pk=run_id).update(saga="lab.FromTomorrow", claims=6)
    claim_all(lapsed=True)
    found = escalation(run_id)
    assert (found.step, found.operation, found.error["code"]) == ("", "", "UnknownSaga")
    assert "Deploy it" in found.suggestion


def test_the_first_acknowledgement_is_recorded_and_ends_the_notices() -> None:
    run_id = undo_broken()
    assert sagas.acknowledge(run_id, by="mei")
    assert not sagas.acknowledge(run_id, by="bo")
    found = escalation(run_id)
    assert (found.acknowledged_by, found.notify_at) == ("mei", None)
    assert found.acknowledged_at is not None
    assert event(run_id, "acknowledge").worker == "mei"
    # And it still waits for a person
    assert state(run_id) is State.ESCALATED


def test_an_escalation_is_assigned_and_reassigned() -> None:
    run_id = undo_broken()
    # When one who only delegates assigns it, then the other has not seen it yet
    sagas.assign(run_id, to="bo", by="mei")
    assert (escalation(run_id).assignee, escalation(run_id).acknowledged_at) == ("bo", None)
    assert event(run_id, "assign").data == {"to": "bo"}
    # And who takes it himself has
    sagas.assign(run_id, to="lin", by="lin")
    sagas.assign(run_id, to="lin", by="lin")
    found = escalation(run_id)
    assert (found.assignee, found.acknowledged_by) == ("lin", "lin")
    assert story(run_id)[-3:] == ["assign", "acknowledge", "assign"]


def test_an_escalated_run_is_resolved_as_failed() -> None:
    # Given
    run_id = confirm_broken()
    before = marks(run_id)

    # When
    outcome = sagas.resolve(run_id, outcome=State.FAILED, by="mei", note="paid back by hand, card 4242")

    # Then
    assert outcome is State.FAILED
    run, found = Run.objects.get(pk=run_id), Escalation.objects.get(run_id=run_id)
    assert (run.state, run.due_at) == ("FAILED", None)
    assert run.finished_at is not None
    assert (found.resolution, found.resolved_by, found.note) == ("failed", "mei", "paid back by hand, card 4242")
    assert found.notify_at is None
    logged = event(run_id, "resolve")
    assert (logged.worker, logged.data) == ("mei", {"outcome": "FAILED", "note": "paid back by hand, card 4242"})
    # And the customer is not told the note
    assert reason(run_id)["kind"] == "resolved"
    assert "4242" not in str(reason(run_id))
    assert selectors.run_view(run_id).state is State.FAILED
    # And the engine does nothing more
    assert claim_all() == []
    assert marks(run_id) == before


def test_the_reason_of_a_run_that_was_being_undone_stays() -> None:
    run_id = undo_broken()
    sagas.resolve(run_id, outcome=State.FAILED, by="mei", note="undone by hand")
    assert reason(run_id)["code"] == "Rejected"


def test_a_run_that_was_being_undone_may_be_ended_as_succeeded() -> None:
    run_id = undo_broken()
    assert sagas.resolve(run_id, outcome=State.SUCCEEDED, by="mei", note="delivered after all") is State.SUCCEEDED
    run = Run.objects.get(pk=run_id)
    assert (run.state, run.reason) == ("SUCCEEDED", None)


DECISIONS: list[Callable[[UUID], object]] = [
    lambda run_id: sagas.acknowledge(run_id, by="mei"),
    lambda run_id: sagas.assign(run_id, to="bo", by="mei"),
    lambda run_id: sagas.resolve(run_id, outcome=State.FAILED, by="mei", note="n"),
]


@pytest.mark.parametrize("decide", DECISIONS)
def test_only_an_escalated_run_can_be_resolved(decide: Callable[[UUID], object]) -> None:
    with pytest.raises(RunNotFound):
        decide(uuid4())
    run_id = undo_broken()
    sagas.resume(run_id, by="mei", note="mended")
    with pytest.raises(AlreadyDecided, match="COMPENSATING: it is not escalated") as raised:
        decide(run_id)
    assert raised.value.state == "COMPENSATING"


@pytest.mark.parametrize(
    ("decide", "said"),
    [
        (lambda run_id: sagas.acknowledge(run_id, by=" "), "by=' '"),
        (lambda run_id: sagas.acknowledge(run_id, by="b" * 151), "1 to 150 characters"),
        (lambda run_id: sagas.assign(run_id, to="", by="mei"), "to=''"),
        (lambda run_id: sagas.resolve(run_id, outcome=State.FAILED, by="", note="n"), "by=''"),
        (lambda run_id: sagas.resolve(run_id, outcome=State.FAILED, by="mei", note=" "), "in a note"),
        (lambda run_id: sagas.resolve(run_id, outcome=State.FAILED, by="mei", note="n" * 10_001), "in a note"),
        (lambda run_id: sagas.resolve(run_id, outcome=State.PENDING, by="mei", note="n"), "FAILED or SUCCEEDED"),
    ],
)
def test_a_decision_without_a_name_or_a_note_is_refused(decide: Callable[[UUID], object], said: str) -> None:
    run_id = undo_broken()
    with pytest.raises(InvalidDecision, match=said):
        decide(run_id)
    assert story(run_id)[-1] != "resolve"
    assert state(run_id) is State.ESCALATED


def test_the_second_of_two_simultaneous_decisions_is_refused() -> None:
    run_id = undo_broken()

    def decide(outcome: State) -> str:
        try:
            return sagas.resolve(run_id, outcome=outcome, by="mei", note="n")
        except AlreadyDecided as error:
            return f"not {outcome}: {error.state}"
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(decide, (State.FAILED, State.SUCCEEDED)))
    winner = state(run_id)
    loser = State.FAILED if winner is State.SUCCEEDED else State.SUCCEEDED
    assert said == sorted([winner, f"not {loser}: {winner}"])
    assert story(run_id).count("resolve") == 1


def test_a_run_that_escalates_again_notifies_again() -> None:
    run_id = undo_broken()
    sagas.acknowledge(run_id, by="mei")
    sagas.resume(run_id, by="mei", note="mended, she thought")
    make_due([run_id])
    Run.objects.filter(pk=run_id).update(request={"faults": {"two.compensate": 9}})
    Carrier().run([run_id])
    found = escalation(run_id)
    assert (found.acknowledged_by, found.notices) == ("", 0)
    assert found.notify_at is not None


def test_the_database_refuses_an_open_escalation_without_a_time_of_its_notice() -> None:
    run_id = undo_broken()
    with pytest.raises(IntegrityError, match="sagas_escalation_is_told"):
        Escalation.objects.filter(run_id=run_id).update(notify_at=None)
