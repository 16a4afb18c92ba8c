"""Reports that come twice, late, for another operation than is under way, or for a run that a person has."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction

import sagas
from sagas import (
    Accepted,
    Call,
    Confirmation,
    Done,
    Lock,
    Parallel,
    Rejected,
    Retry,
    Saga,
    State,
    Step,
    SubSaga,
    Tcc,
    store,
)
from sagas.decisions.messages import Kick, Unlock, Wake
from sagas.decisions.reasons import ReasonKind, write_reason
from sagas.engine import compensation
from sagas.engine.reports import receive_report
from sagas.errors import NotAwaited, UnknownStep
from sagas.models import Log, Run
from tests.lab.sagas import QUICK, Experiment, Parent, Reported, judge, mark
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.runs import due_in, effects, event, let_time_pass, mend, state, story

pytestmark = pytest.mark.usefixtures("alone", "jar")


def accept_for_long(call: Call[Experiment]) -> Accepted:
    judge(call)
    return Accepted(timedelta(hours=1))


class Courier:
    """Every operation of it is reported."""

    try_ = staticmethod(accept_for_long)
    confirm = staticmethod(accept_for_long)
    cancel = staticmethod(accept_for_long)


class Couriered(Saga[Experiment]):
    """A courier is reserved, then confirmed; both are reported."""

    courier = Tcc(Courier(), queue="orders", retry=QUICK, finish_retry=QUICK)


def carried(*ids: UUID) -> None:
    Carrier().run(ids)


def started(saga: type[Saga[Experiment]], jar: str, **what: object) -> UUID:
    run_id = sagas.start(saga, Experiment(jar=jar, **what))  # type: ignore[arg-type]  # an Experiment's fields
    carried(run_id)
    return run_id


def until(run_id: UUID, line: str) -> None:
    """Let time pass until this is the last that has happened to the run."""
    for _ in range(12):
        if story(run_id)[-1] == line:
            return
        let_time_pass(run_id)
        carried(run_id)
    raise AssertionError(story(run_id))


def undoing(jar: str) -> UUID:
    """A run whose step said yes, and whose undo of it is under way."""
    run_id = started(Reported, jar, reject=("four",))
    for step in ("two", "left"):
        sagas.report(run_id, step, Done({"ref": 7}))
        carried(run_id)
    assert story(run_id)[-1] == "left.compensate ACCEPTED"
    return run_id


# -- Of another operation -------------------------------------------------------------------------------------


def test_a_repeated_report_of_a_try_does_not_confirm(jar: str) -> None:
    # Given
    run_id = started(Couriered, jar)
    sagas.report(run_id, "courier", Done({"ref": 7}))
    carried(run_id)
    before = story(run_id)
    assert before[-1] == "courier.confirm ACCEPTED"

    # When the courier says it again, for our answer was lost
    assert sagas.report(run_id, "courier", Done({"ref": 7})) is State.CONFIRMING
    assert sagas.report(run_id, "courier", Done({"ref": 7}), operation="try") is State.CONFIRMING
    carried(run_id)

    # Then the confirm is under way all the same, until it is reported by its name
    assert story(run_id) == before
    assert sagas.report(run_id, "courier", Done(), operation="confirm") is State.SUCCEEDED
    assert sagas.report(run_id, "courier", Done(), operation="confirm") is State.SUCCEEDED


def test_a_repeated_report_of_a_step_does_not_undo_it(jar: str) -> None:
    # Given
    run_id = undoing(jar)
    before = story(run_id)

    # When
    sagas.report(run_id, "left", Done({"ref": 7}))
    carried(run_id)

    # Then
    assert story(run_id) == before
    sagas.report(run_id, "left", Done(), operation="compensate")
    carried(run_id)
    assert state(run_id) is State.FAILED


def test_a_late_report_of_a_step_does_not_undo_it(jar: str) -> None:
    # Given a run whose `left` nobody has reported in time, and whose undo of it is under way
    run_id = started(Reported, jar)
    sagas.report(run_id, "two", Done())
    until(run_id, "left.compensate ACCEPTED")
    before = story(run_id)

    # When the first is reported at last: the courier is on his way
    sagas.report(run_id, "left", Done({"ref": 7}))
    carried(run_id)

    # Then he is still to be called back
    assert story(run_id) == before


def test_a_report_of_an_operation_that_was_not_begun_is_refused(jar: str) -> None:
    run_id = started(Couriered, jar)
    before = story(run_id)
    for operation in ("confirm", "cancel"):
        with pytest.raises(NotAwaited, match=f"the {operation} of .*Couriered.courier of {run_id} has not been begun"):
            sagas.report(run_id, "courier", Done(), operation=operation)
    with pytest.raises(UnknownStep, match="courier has no operation 'compensate'"):
        sagas.report(run_id, "courier", Done(), operation="compensate")
    assert story(run_id) == before
    assert sagas.report(run_id, "courier", Rejected("no"), operation="try") is State.COMPENSATING


# -- Between two attempts -------------------------------------------------------------------------------------


def between_attempts(jar: str) -> UUID:
    """A run whose step nobody has reported in time, and is to be tried again soon."""
    run_id = started(Reported, jar)
    let_time_pass(run_id)
    for chain in chains([*claim_all(), *claim_all(lapsed=True)]):
        deliver(chain)
    assert story(run_id)[-1] == "two.forward FAULT"
    return run_id


def test_a_report_between_two_attempts_counts(jar: str) -> None:
    # Given
    run_id = between_attempts(jar)

    # When it is reported after all: whoever does gets his answer, and will not say it again
    sagas.report(run_id, "two", Done({"ref": 7}))
    let_time_pass(run_id)
    carried(run_id)

    # Then it is done, and not tried again
    assert story(run_id).count("two.forward ACCEPTED") == story(run_id).count("two.forward DONE") == 1
    assert Run.objects.get(pk=run_id).results["two"] == {"ref": 7}
    assert attempt_that_did(run_id, "two") == 1
    assert "left.forward ACCEPTED" in story(run_id)


def attempt_that_did(run_id: UUID, step: str) -> int:
    found = Log.objects.get(run_id=run_id, step=step, outcome="DONE")
    # Nobody knows how long it took.
    assert found.duration_us == 0
    return found.attempt


def lapse(run_id: UUID) -> None:
    """Let the time pass in which somebody should have reported."""
    let_time_pass(run_id)
    for chain in chains([*claim_all(), *claim_all(lapsed=True)]):
        deliver(chain)
    assert story(run_id)[-1].endswith("FAULT")


def in_the_fork(jar: str) -> UUID:
    """A run whose branch has been accepted once, and not been reported in time."""
    run_id = started(Reported, jar)
    sagas.report(run_id, "two", Done())
    carried(run_id)
    lapse(run_id)
    return run_id


def begin_again(run_id: UUID) -> None:
    let_time_pass(run_id)
    for chain in chains([*claim_all(), *claim_all(lapsed=True)]):
        deliver(chain)
    assert story(run_id)[-1] == "left.forward ACCEPTED"


def test_a_report_of_a_branch_belongs_to_the_attempt_under_way(jar: str) -> None:
    run_id = in_the_fork(jar)
    begin_again(run_id)
    sagas.report(run_id, "left", Done())
    assert attempt_that_did(run_id, "left") == 2


def test_a_report_of_a_branch_between_two_attempts_belongs_to_the_last(jar: str) -> None:
    run_id = in_the_fork(jar)
    begin_again(run_id)
    lapse(run_id)
    sagas.report(run_id, "left", Done())
    assert attempt_that_did(run_id, "left") == 2


class Patiently(Saga[Experiment]):
    """Its undo is reported, and waits long before it is tried again."""

    one = Step(
        mark, compensate=accept_for_long, queue="orders", retry=QUICK, finish_retry=Retry(delay=timedelta(minutes=1))
    )
    two = Step(mark, queue="orders", retry=QUICK)


def test_the_attempt_after_a_reported_fault_waits_as_its_retry_says(jar: str) -> None:
    run_id = started(Patiently, jar, reject=("two",))
    assert story(run_id)[-1] == "one.compensate ACCEPTED"
    sagas.report(run_id, "one", Rejected("too late"), operation="compensate")
    assert story(run_id)[-1] == "one.compensate FAULT"
    assert 30 < due_in(run_id) < 70


def test_a_reported_rejection_between_two_attempts_counts(jar: str) -> None:
    run_id = between_attempts(jar)
    assert sagas.report(run_id, "two", Rejected("no courier")) is State.COMPENSATING
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["one.forward", "two.compensate", "one.compensate"]


def test_a_repeated_report_of_a_refused_undo_is_no_second_fault(jar: str) -> None:
    # Given an undo that was reported as refused, which nobody may: a fault
    run_id = undoing(jar)
    sagas.report(run_id, "left", Rejected("too late"), operation="compensate")
    before = story(run_id)
    assert before[-1] == "left.compensate FAULT"

    # When that is said again, before the next attempt
    sagas.report(run_id, "left", Rejected("too late"), operation="compensate")
    assert story(run_id) == before

    # Then that it is undone after all counts still
    sagas.report(run_id, "left", Done(), operation="compensate")
    carried(run_id)
    assert state(run_id) is State.FAILED


def test_the_outcome_of_a_sub_saga_cannot_be_reported(jar: str) -> None:
    # Given a parent that waits for its child
    run_id = started(Parent, jar)
    assert "asked.forward ACCEPTED" in story(run_id)
    before = story(run_id)

    # Then the child alone says how it ended
    sagas.report(run_id, "asked", Done())
    assert story(run_id) == before


# -- Who waits for it besides its run -------------------------------------------------------------------------


class Carried(Saga[Experiment]):
    """Its one step is reported; one at a time for each jar."""

    locks = (Lock(lambda request: request.jar),)

    told = Step(accept_for_long, queue="delivery", retry=QUICK)


class Carrying(Saga[Experiment]):
    child = SubSaga(Carried, request=lambda call: call.request, queue="orders")


def test_a_report_to_a_child_reaches_its_parent_without_a_query(jar: str) -> None:
    run_id = started(Carrying, jar)
    child = Run.objects.get(parent_id=run_id).pk
    _, messages = receive_report(child, "told", Done())
    assert Wake(run_id, "child") in messages


def test_a_report_that_ends_a_run_passes_its_lock_to_the_next_run(jar: str) -> None:
    run_id = started(Carried, jar)
    _, messages = receive_report(run_id, "told", Done())
    assert state(run_id) is State.SUCCEEDED
    assert [type(message) for message in messages] == [Kick, Unlock]


def test_the_undo_of_a_late_report_does_not_wait_for_the_next_tick(jar: str) -> None:
    run_id = started(Reported, jar)
    sagas.cancel(run_id)
    assert receive_report(run_id, "two", Done()) == (State.COMPENSATING, [Kick()])


class Refunded(Saga[Experiment]):
    """What gives back its payment is reported."""

    payment = Confirmation(within=timedelta(seconds=30), compensate=accept_for_long, queue="orders")

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK)


def test_a_report_of_a_refund_needs_no_operation(jar: str) -> None:
    # Given a run whose payment came, and whose step says no
    run_id = sagas.start(Refunded, Experiment(jar=jar, reject=("one",)))
    sagas.confirm(run_id, "payment", {})
    carried(run_id)
    assert story(run_id)[-1] == "payment.compensate ACCEPTED"
    # Then it has only one operation
    sagas.report(run_id, "payment", Done())
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["payment.compensate"]


# -- Of runs that a person has, or that have ended ------------------------------------------------------------


class Dispatched(Saga[Experiment]):
    """Behind the pivot two at the same time, of which one is reported."""

    one = Step(mark, queue="orders", retry=QUICK, pivot=True)
    sent = Parallel(
        left=Step(accept_for_long, queue="delivery", retry=QUICK), right=Step(mark, queue="orders", retry=QUICK)
    )


class Final(Saga[Experiment]):
    """Its last step needs no undo, and is reported."""

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    told = Step(accept_for_long, queue="delivery", retry=QUICK)


def escalated(jar: str) -> UUID:
    """A run that a person has for one of two branches, while the other is under way."""
    run_id = started(Dispatched, jar, faults={"right.forward": 99})
    assert state(run_id) is State.ESCALATED
    assert "left.forward ACCEPTED" in story(run_id)
    return run_id


def test_a_report_during_an_escalation_is_recorded_and_counts_when_it_is_repeated(jar: str) -> None:
    # Given
    run_id = escalated(jar)

    # When one branch is reported while a person looks at the other, twice
    for _ in range(2):
        assert sagas.report(run_id, "left", Done({"ref": 7}), by="courier") is State.ESCALATED

    # Then he sees it, once
    assert story(run_id)[-2:] == ["right.forward FAULT", "late_answer"]
    heard = event(run_id, "late_answer")
    assert (heard.step, heard.worker, heard.data) == ("left", "courier", {"operation": "forward", "outcome": "DONE"})

    # And when he resumes it, the courier is asked again, by the same key, and says it again
    mend(run_id)
    sagas.resume(run_id, by="mei", note="mended")
    carried(run_id)
    assert story(run_id).count("left.forward ACCEPTED") == 2
    assert sagas.report(run_id, "left", Done({"ref": 7})) is State.SUCCEEDED


def test_a_reported_rejection_during_an_escalation_is_recorded(jar: str) -> None:
    run_id = escalated(jar)
    assert sagas.report(run_id, "left", Rejected("rain", code="NoCourier")) is State.ESCALATED
    heard = event(run_id, "late_answer").data or {}
    assert (heard["operation"], heard["outcome"], heard["code"], heard["detail"]) == (
        "forward",
        "REJECTED",
        "NoCourier",
        "rain",
    )


def hand_to_a_person(run_id: UUID) -> None:
    with transaction.atomic():
        (row,) = store.runs.lock([run_id])
        why = write_reason(ReasonKind.STUCK, "two", "NoProgress", "")
        compensation.escalate(row, store.moves.event_entry("escalate", step="two"), why)


def test_a_report_right_after_a_resumption_belongs_to_the_first_attempt(jar: str) -> None:
    # Given a run of which attempts are counted anew
    run_id = started(Reported, jar)
    let_time_pass(run_id)
    hand_to_a_person(run_id)
    sagas.resume(run_id, by="mei", note="ask again")
    # When the old one is reported
    sagas.report(run_id, "two", Done({"ref": 7}))
    # Then
    assert attempt_that_did(run_id, "two") == 1


def test_an_effect_reported_during_an_escalation_is_undone_if_it_is_not_repeated(jar: str) -> None:
    # Given a run that a person has while its step is under way
    run_id = started(Reported, jar)
    hand_to_a_person(run_id)
    # When that is reported, and the run is given back and cancelled
    sagas.report(run_id, "two", Done({"ref": 7}))
    sagas.resume(run_id, by="mei", note="look again")
    sagas.cancel(run_id)
    carried(run_id)
    # Then it is undone
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["one.forward", "two.compensate", "one.compensate"]


def test_a_report_of_a_resolved_run_changes_nothing(jar: str) -> None:
    run_id = escalated(jar)
    sagas.resolve(run_id, outcome=State.SUCCEEDED, by="mei", note="by hand")
    before = story(run_id)
    assert sagas.report(run_id, "left", Done({"ref": 7})) is State.SUCCEEDED
    assert story(run_id) == before


def test_a_late_report_of_a_step_without_an_undo_changes_nothing(jar: str) -> None:
    # Given a run that was cancelled while its step was under way, and undone when the wait was over
    run_id = started(Final, jar)
    sagas.cancel(run_id)
    let_time_pass(run_id)
    carried(run_id)
    assert state(run_id) is State.FAILED
    before = story(run_id)

    # When it is reported at last
    assert sagas.report(run_id, "told", Done({"ref": 7})) is State.FAILED

    # Then
    assert story(run_id) == before
