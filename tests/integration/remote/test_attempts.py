"""What one attempt at another system leaves for the next: that it may be there, and which answer is whose."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction

import sagas
from sagas import Done, Parallel, Rejected, Retry, Saga, State, Step, runtime, store
from sagas.conf import config
from sagas.decisions.messages import Chain, Kick, Message, RemoteCalls
from sagas.decisions.reasons import ReasonKind, write_reason
from sagas.definition.participants import NotYet
from sagas.engine import compensation
from sagas.engine.invocation import Fault
from sagas.engine.outside import remote_calls
from sagas.engine.outside.remote_calls import Answered
from sagas.errors import NotSent
from sagas.failure_log import Throttle
from sagas.models import Log, Run
from sagas.remote import HttpParticipant
from sagas.remote.lanes import Lane, lane_of
from tests.integration.remote.test_steps import begun
from tests.lab.sagas import QUICK, Experiment, mark
from tests.support.carrier import chains, claim_all, deliver
from tests.support.runs import due_in, effects, event, let_time_pass, reason, state, story

pytestmark = pytest.mark.usefixtures("alone")

nobody = HttpParticipant("nobody", "http://127.0.0.1:9")


class Alone(Saga[Experiment]):
    """Its one step is in another system."""

    held = Step(nobody.post("/x"), compensate=nobody.delete("/x"), queue="orders", retry=QUICK, finish_retry=QUICK)


class Beside(Saga[Experiment]):
    """The same, with another at the same time."""

    name = "tests.AttemptBeside"
    both = Parallel(
        held=Step(nobody.post("/x"), compensate=nobody.delete("/x"), queue="orders", retry=QUICK, finish_retry=QUICK),
        left=Step(mark, queue="delivery", retry=QUICK, finish_retry=QUICK),
    )


BOTH = pytest.mark.parametrize("saga", [Alone, Beside], ids=["alone", "in a fork"])

UNKNOWN, UNSENT = Fault(TimeoutError("no answer")), Fault(NotSent("refused"))
LATER = NotYet(60.0)


def started(saga: type[Saga[Experiment]]) -> tuple[UUID, RemoteCalls]:
    """A run, and the first attempt's call, which is under way."""
    run_id = sagas.start(saga, Experiment())
    return run_id, begun(run_id, step="held")


def following(run_id: UUID) -> RemoteCalls:
    """The next call, when all that was waited for is over."""
    let_time_pass(run_id)
    return begun(run_id, step="held")


def lapse(run_id: UUID) -> None:
    """Let the lease of the call that is under way pass: its attempt counts as failed."""
    let_time_pass(run_id)
    for chain in chains(claim_all()):
        deliver(chain)
    assert story(run_id)[-1].endswith("FAULT")


def answer(calls: RemoteCalls, *said: Done | Rejected | Fault | NotYet) -> list[Message]:
    """Record what the other side has said to these calls, as whoever has made them does."""
    pairs = zip(calls.calls, said, strict=True)
    answered = [Answered(call, call.run_id in calls.begun, one, 7) for call, one in pairs]
    return remote_calls.finish_calls(calls.link, answered, worker="caller")


def assert_undone_there(run_id: UUID) -> None:
    """The other system is asked to undo, and then the run has failed."""
    call = following(run_id)
    assert call.link.operation == "compensate"
    answer(call, Done())
    claim_all()
    assert state(run_id) is State.FAILED
    assert effects(run_id)[-1] == "held.compensate"


def assert_nothing_to_undo_there(run_id: UUID) -> None:
    claim_all()
    assert state(run_id) is State.FAILED
    assert "held.compensate INTENT" not in story(run_id)


# -- That it may be there -------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("unknown", [0, 1, 2])
def test_an_attempt_with_an_unknown_outcome_is_undone_whatever_the_others_were(
    saga: type[Saga[Experiment]], unknown: int
) -> None:
    # Given three attempts, of which one was sent, and nobody knows what became of it
    run_id, call = started(saga)
    for attempt in range(3):
        call = call if attempt == 0 else following(run_id)
        answer(call, UNKNOWN if attempt == unknown else UNSENT)
    # Then
    assert state(run_id) is State.COMPENSATING
    assert_undone_there(run_id)


@BOTH
def test_a_lapsed_attempt_is_undone_though_the_next_was_never_sent(saga: type[Saga[Experiment]]) -> None:
    run_id, _ = started(saga)
    lapse(run_id)
    answer(following(run_id), UNSENT)
    sagas.cancel(run_id)
    assert_undone_there(run_id)


@BOTH
def test_an_attempt_answered_not_yet_is_undone_though_it_was_never_sent_again(saga: type[Saga[Experiment]]) -> None:
    # Given "not yet": it may be what a request that the network doubled was told, while its first copy was executed
    run_id, call = started(saga)
    answer(call, LATER)
    answer(following(run_id), UNSENT)
    sagas.cancel(run_id)
    assert_undone_there(run_id)


@BOTH
def test_an_operation_that_was_never_sent_is_not_undone(saga: type[Saga[Experiment]]) -> None:
    run_id, call = started(saga)
    answer(call, UNSENT)
    answer(following(run_id), UNSENT)
    sagas.cancel(run_id)
    assert_nothing_to_undo_there(run_id)


@BOTH
def test_a_run_that_waits_for_a_free_call_keeps_its_attempts(
    saga: type[Saga[Experiment]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an attempt of which nobody knows what became, and no room for the next
    run_id, call = started(saga)
    answer(call, UNKNOWN)
    monkeypatch.setattr(
        remote_calls, "capacity_for", lambda *_: remote_calls.Capacity(lane_of(nobody.post("/x")), 0, 30.0)
    )
    let_time_pass(run_id)
    for chain in chains(claim_all()):
        deliver(chain)
    # Then it is tried again when the circuit may be closed; a run in a fork may be looked at before
    wait = (Run.objects.get(pk=run_id).pending or {})["held"]
    assert (wait["failed"], wait["begun"]) == (1, True)
    waits = max(due_in(run_id), wait["until"] - store.runs.clock().timestamp())
    assert 25 < waits < 40
    # And when the run is cancelled meanwhile, it is undone
    monkeypatch.undo()
    sagas.cancel(run_id)
    assert_undone_there(run_id)


def test_an_attempt_that_failed_before_an_escalation_is_undone_after_the_resumption(database: None) -> None:
    # Given a run that a person has, of which an attempt is unknown, and the next was not sent
    run_id, call = started(Alone)
    answer(call, UNKNOWN)
    call = following(run_id)
    hand_to_a_person(run_id)
    answer(call, UNSENT)
    # When he resumes it, and it is cancelled
    sagas.resume(run_id, by="mei", note="look again")
    sagas.cancel(run_id)
    # Then
    assert_undone_there(run_id)


def test_an_operation_never_sent_is_not_undone_after_a_resumption(database: None) -> None:
    run_id, call = started(Alone)
    hand_to_a_person(run_id)
    answer(call, UNSENT)
    sagas.resume(run_id, by="mei", note="look again")
    sagas.cancel(run_id)
    assert_nothing_to_undo_there(run_id)


def hand_to_a_person(run_id: UUID) -> None:
    with transaction.atomic():
        (row,) = store.runs.lock([run_id])
        why = write_reason(ReasonKind.STUCK, "held", "NoProgress", "")
        compensation.escalate(row, store.moves.event_entry("escalate", step="held"), why)


# -- Which answer is whose ------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("said", [UNKNOWN, UNSENT, LATER], ids=["unknown", "unsent", "not yet"])
def test_a_late_fault_of_an_abandoned_attempt_does_not_affect_the_next(
    saga: type[Saga[Experiment]], said: Fault | NotYet
) -> None:
    # Given two calls under way, for the lease of the first is over
    run_id, first = started(saga)
    lapse(run_id)
    second = following(run_id)
    before, waits = story(run_id), Run.objects.get(pk=run_id).pending
    # When the first comes to nothing
    answer(first, said)
    # Then that changes nothing: the second is waited for
    assert (story(run_id), Run.objects.get(pk=run_id).pending) == (before, waits)
    answer(second, Done())
    done = Log.objects.get(run_id=run_id, step="held", outcome="DONE")
    assert (done.attempt, done.duration_us) == (2, 7)


@BOTH
def test_the_result_of_an_abandoned_attempt_is_logged_as_its_own(saga: type[Saga[Experiment]]) -> None:
    run_id, first = started(saga)
    lapse(run_id)
    following(run_id)
    answer(first, Done())
    assert Log.objects.get(run_id=run_id, step="held", outcome="DONE").attempt == 1


@BOTH
def test_a_rejection_of_an_abandoned_attempt_counts_and_the_undo_waits_for_the_other(
    saga: type[Saga[Experiment]],
) -> None:
    # Given two calls under way
    run_id, first = started(saga)
    lapse(run_id)
    second = following(run_id)
    # When the first is refused
    answer(first, Rejected("no", code="No"))
    # Then the run is undone, but not before the second is answered: it may still take effect
    assert (state(run_id), reason(run_id)["code"]) == (State.COMPENSATING, "No")
    assert Log.objects.get(run_id=run_id, step="held", outcome="REJECTED").attempt == 1
    assert due_in(run_id) > 0
    assert chains(claim_all()) == []
    answer(second, UNKNOWN)
    assert due_in(run_id) <= 0
    assert_undone_there(run_id)


def test_a_rejection_of_an_abandoned_undo_is_no_second_fault(database: None) -> None:
    # Given an undo whose first call is still under way when the second is
    run_id, call = started(Alone)
    answer(call, UNKNOWN)
    sagas.cancel(run_id)
    first = following(run_id)
    lapse(run_id)
    second = following(run_id)
    before = story(run_id)
    # When the first is refused, which nobody may
    answer(first, Rejected("no"))
    # Then the second is waited for
    assert story(run_id) == before
    answer(second, Done())
    assert Log.objects.get(run_id=run_id, operation="compensate", outcome="DONE").attempt == 2


@pytest.mark.parametrize("said", [UNKNOWN, LATER], ids=["unknown", "not yet"])
def test_an_answer_to_an_earlier_attempt_does_not_end_the_wait_of_a_compensating_run(
    database: None, said: Fault | NotYet
) -> None:
    # Given a run that was cancelled while its second attempt was under way
    run_id, first = started(Alone)
    lapse(run_id)
    second = following(run_id)
    sagas.cancel(run_id)
    before = story(run_id)
    # When the first comes to nothing
    answer(first, said)
    # Then the undo still waits for the second, and its answer is on record as the second attempt's
    assert story(run_id) == before
    assert chains(claim_all()) == []
    answer(second, Done({"ref": 7}))
    done = Log.objects.get(run_id=run_id, step="held", outcome="DONE")
    assert (done.attempt, done.duration_us, done.data) == (2, 7, {"ref": 7})
    assert_undone_there(run_id)


def test_not_yet_is_recorded_for_a_compensating_run_and_the_undo_goes_out(
    database: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing like it was told a moment ago
    monkeypatch.setattr(runtime.memory, "failures", Throttle())
    run_id, call = started(Alone)
    sagas.cancel(run_id)
    # It need not wait for the next tick.
    assert answer(call, LATER) == [Kick()]
    assert story(run_id)[-1] == "held.forward FAULT"
    data = Log.objects.filter(run_id=run_id).latest("id").data or {}
    assert (data["kind"], data["code"]) == ("fault", "StillNotYet")
    told = caplog.records[-1]
    assert "broke at attempt 1, and its run is COMPENSATING since: StillNotYet" in told.getMessage()
    # Nobody need do anything about it.
    assert told.levelname == "WARNING"
    assert_undone_there(run_id)


@BOTH
def test_attempts_are_counted_on_after_the_answer_not_yet(saga: type[Saga[Experiment]]) -> None:
    # Given one attempt that broke, and one to which the other side said "not yet"
    run_id, call = started(saga)
    answer(call, UNKNOWN)
    answer(following(run_id), LATER)
    # Then there are two more, for "not yet" is none
    answer(following(run_id), UNKNOWN)
    assert state(run_id) is State.EXECUTING
    answer(following(run_id), UNKNOWN)
    assert state(run_id) is State.COMPENSATING


def started_beside(saga: type[Saga[Experiment]]) -> tuple[UUID, RemoteCalls]:
    """A run, and the call of one branch, while another branch is on its way."""
    run_id = sagas.start(saga, Experiment())
    sent = {chain.links[0].step: chain for chain in chains(claim_all())}
    performed, _ = deliver(sent["held"])
    (call,) = (message for message in performed.messages if isinstance(message, RemoteCalls))
    return run_id, call


def test_a_branch_that_is_not_ready_does_not_delay_the_others(database: None) -> None:
    # Given a run that is due for another branch, which is still to be performed
    run_id, call = started_beside(Beside)
    let_time_pass(run_id)
    # When the other side asks for patience
    answer(call, NotYet(500.0))
    # Then the run is looked at when it was due anyway
    assert due_in(run_id) <= 0


class Slowly(Saga[Experiment]):
    """Beside another, and tried again after a minute."""

    both = Parallel(
        held=Step(nobody.post("/x"), queue="orders", retry=Retry(delay=timedelta(minutes=1))),
        left=Step(mark, queue="delivery", retry=QUICK, finish_retry=QUICK),
    )


def test_a_branch_that_waits_for_its_next_attempt_does_not_delay_the_others(database: None) -> None:
    run_id, call = started_beside(Slowly)
    let_time_pass(run_id)
    answer(call, UNKNOWN)
    assert due_in(run_id) <= 0
    wait = (Run.objects.get(pk=run_id).pending or {})["held"]
    assert 50 < wait["until"] - store.runs.clock().timestamp() < 70


def test_an_answer_during_an_escalation_names_its_attempt(database: None) -> None:
    run_id, _ = started(Alone)
    lapse(run_id)
    second = following(run_id)
    hand_to_a_person(run_id)
    answer(second, UNKNOWN)
    assert event(run_id, "late_answer").attempt == 2


def test_runs_without_a_free_call_are_due_when_the_first_can_be_called(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a lane that takes four seconds for each call, and two runs that find it full
    lane = Lane("slow", 1)
    monkeypatch.setattr(lane, "_pace", 4.0)
    monkeypatch.setattr(remote_calls, "capacity_for", lambda *_: remote_calls.Capacity(lane, 0, 0.0))
    ids = [sagas.start(Alone, Experiment()) for _ in range(2)]
    (chain,) = chains(claim_all())
    # When
    performed, _ = deliver(chain)
    # Then
    (kick,) = performed.messages
    first, second = sorted(map(due_in, ids))
    assert second - first == pytest.approx(4, abs=0.1)
    assert isinstance(kick, Kick)
    assert first <= (kick.delay or 0) <= 4.1


def test_a_remote_call_cannot_be_reported_between_two_attempts(database: None) -> None:
    # Given a call that came to nothing: it asks for no report, so whoever sends one means something else
    run_id, call = started(Alone)
    answer(call, UNKNOWN)
    before = story(run_id)
    # Then
    assert sagas.report(run_id, "held", Done()) is State.EXECUTING
    assert story(run_id) == before


class Undone(Saga[Experiment]):
    """Beside the other system is a step whose undo may break."""

    both = Parallel(
        held=Step(nobody.post("/x"), compensate=nobody.delete("/x"), queue="orders", retry=QUICK, finish_retry=QUICK),
        left=Step(mark, compensate=mark, queue="delivery", retry=QUICK, finish_retry=QUICK),
    )


def test_an_answer_during_the_undo_of_another_step_costs_it_no_attempt(database: None) -> None:
    # Given a run of which one branch is being undone, and has broken once, while the other's call is under way
    run_id = sagas.start(Undone, Experiment(faults={"left.compensate": 1}))
    call = begun(run_id, step="held")
    sagas.cancel(run_id)
    let_time_pass(run_id)
    for chain in chains(claim_all()):
        deliver(chain)
    assert story(run_id)[-1] == "left.compensate FAULT"
    # When that is answered
    answer(call, Done())
    # Then
    assert Run.objects.get(pk=run_id).attempt == 1
    assert Log.objects.get(run_id=run_id, step="held", outcome="DONE").attempt == 1


class Onward(Saga[Experiment]):
    held = Step(nobody.post("/x"), compensate=nobody.delete("/x"), queue="orders", retry=QUICK, finish_retry=QUICK)
    then = Step(mark, queue="orders", retry=QUICK)


def test_runs_that_go_on_are_published_before_those_that_are_undone(database: None) -> None:
    ids = [sagas.start(Onward, Experiment()) for _ in range(3)]
    (chain,) = chains(claim_all())
    performed, _ = deliver(chain)
    (calls,) = (message for message in performed.messages if isinstance(message, RemoteCalls))
    # When one is done and the other side is not ready for the others
    onward, *rest = answer(calls, LATER, LATER, Done())
    # Then
    assert isinstance(onward, Chain)
    assert (onward.ids, onward.links[0].step) == ((calls.calls[2].run_id,), "then")
    assert [type(message) for message in rest] == [Kick, Kick]
    assert set(ids) == {call.run_id for call in calls.calls}


#: One whose answers may take long.
dawdler = HttpParticipant("dawdler", "http://127.0.0.1:9", timeout=600)


class Dawdling(Saga[Experiment]):
    held = Step(dawdler.post("/x"), queue="orders", retry=QUICK)
    then = Step(mark, queue="orders", retry=QUICK)


def test_an_answered_run_is_due_after_a_lease(database: None) -> None:
    # Given a call that may take ten minutes
    run_id = sagas.start(Dawdling, Experiment())
    call = begun(run_id, step="held")
    assert due_in(run_id) > 500
    # When it is answered at once
    answer(call, Done())
    # Then the run is not left alone for the rest of that time, if the message of its next step is lost
    assert due_in(run_id) <= config().lease


def test_the_attempts_of_a_branch_are_counted_apart_from_the_runs(database: None) -> None:
    # Else messages of the other branches would be dropped, as of a run that waits for its next attempt
    run_id, call = started(Beside)
    answer(call, UNKNOWN)
    following(run_id)
    run = Run.objects.get(pk=run_id)
    assert (run.attempt, (run.pending or {})["held"]["failed"]) == (0, 1)


def test_a_run_without_a_recorded_shape_accepts_its_answer(database: None) -> None:
    run_id, call = started(Alone)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_run SET shape = 0 WHERE id = %s", [run_id])
    answer(call, Done())
    assert state(run_id) is State.SUCCEEDED


def test_a_failed_call_only_causes_a_kick(database: None) -> None:
    run_id = sagas.start(Onward, Experiment())
    assert [type(message) for message in answer(begun(run_id, step="held"), UNKNOWN)] == [Kick]


def test_no_call_is_begun_at_full_concurrency(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_of(nobody.post("/x")), "_busy", nobody.concurrency)
    ids = [sagas.start(Alone, Experiment()) for _ in range(2)]
    (chain,) = chains(claim_all())
    performed, _ = deliver(chain)
    assert [type(message) for message in performed.messages] == [Kick]
    assert {story(run_id)[-1] for run_id in ids} == {"start"}
