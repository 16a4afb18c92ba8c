"""What happens to a run from outside its steps. No worker: every claim and every message is this test's."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from pytest_django import Settings

import sagas
from sagas import State, runtime, store
from sagas.decisions.messages import Deadline, Kick
from sagas.engine import lifecycle
from sagas.engine.claiming import claim
from sagas.errors import AlreadyDecided, InvalidRequest, Overloaded, RunNotFound, SagaError
from sagas.models import Confirmation, Escalation, Run
from tests.lab.sagas import Experiment, Lab, Twice, Unconfirmed
from tests.support.carrier import Carrier, chains, claim_all, deadlines, deliver, deliver_all
from tests.support.runs import (
    assert_effects_once,
    effects,
    escalation,
    event,
    expired_by,
    make_due,
    reason,
    shift_clock,
    state,
    states,
    story,
)

pytestmark = pytest.mark.usefixtures("alone")

#: Seconds, by default.
LEASE = 10


def carried(*ids: UUID) -> None:
    Carrier().run(ids)


def run_in(wanted: State, saga: type[sagas.Saga[Any]] = Lab) -> UUID:
    """A run that stands there."""
    experiment = Experiment()
    if wanted is State.ESCALATED:
        experiment = Experiment(faults={"one.compensate": 99})
    run_id = sagas.start(saga, experiment)
    if wanted is State.PENDING:
        return run_id
    claimed = claim_all()
    if wanted is State.EXECUTING:
        return run_id
    deliver_all(chains(claimed)[0])
    match wanted:
        case State.CONFIRMING:
            sagas.confirm(run_id, "approval", {})
        case State.SUCCEEDED:
            sagas.confirm(run_id, "approval", {})
            carried(run_id)
        case State.COMPENSATING:
            sagas.cancel(run_id)
        case State.FAILED | State.ESCALATED:
            sagas.cancel(run_id)
            carried(run_id)
    assert state(run_id) is wanted
    return run_id


UNDECIDED = [State.PENDING, State.EXECUTING, State.AWAITING_CONFIRM]


# -- Start ----------------------------------------------------------------------------------------------------


def test_a_saga_starts_its_own_runs() -> None:
    given = uuid4()
    assert Lab.start(Experiment(), business_key="T-7", run_id=given) == given
    assert Unconfirmed.start({}) != given
    run = Run.objects.get(pk=given)
    assert (run.saga, run.business_key, run.state) == (Lab.name, "T-7", State.PENDING)


def test_a_run_that_is_rolled_back_was_never_there() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        run_id = sagas.start(Lab, Experiment())
        raise RuntimeError
    assert not Run.objects.filter(pk=run_id).exists()


def test_an_id_can_be_given_to_one_run_only() -> None:
    run_id = uuid4()
    assert sagas.start(Lab, Experiment(), run_id=run_id) == run_id
    with pytest.raises(IntegrityError):
        sagas.start(Lab, Experiment(), run_id=run_id)
    assert story(run_id) == ["start"]


def test_a_request_that_does_not_fit_starts_nothing() -> None:
    with pytest.raises(InvalidRequest):
        sagas.start(Lab, {"quantity": "a few"})
    assert not Run.objects.exists()


# -- Confirm --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", UNDECIDED)
def test_a_confirmation_may_come_at_any_time_before_the_decision(before: State) -> None:
    run_id = run_in(before)
    receipt = sagas.confirm(run_id, "approval", {"by": "ada"})
    assert receipt.first
    assert receipt.state is (State.CONFIRMING if before is State.AWAITING_CONFIRM else before)
    make_due([run_id])
    for chain in chains(claim_all(lapsed=True)):
        deliver_all(chain)
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED
    assert_effects_once(run_id)


@pytest.mark.parametrize("after", [State.AWAITING_CONFIRM, State.CONFIRMING, State.SUCCEEDED])
def test_a_doubled_confirmation_gets_the_answer_of_the_first(after: State) -> None:
    run_id = run_in(State.AWAITING_CONFIRM)
    first = sagas.confirm(run_id, "approval", {"by": "ada"})
    if after is State.SUCCEEDED:
        carried(run_id)
    second = sagas.confirm(run_id, "approval", {"by": "bob"})
    assert (second.data, second.received_at) == (first.data, first.received_at) == ({"by": "ada"}, first.received_at)
    assert (first.first, second.first) == (True, False)
    assert Confirmation.objects.filter(run_id=run_id).count() == 1
    assert story(run_id).count("confirmation") == 1


def test_the_first_answer_is_the_stored_answer() -> None:
    run_id = run_in(State.AWAITING_CONFIRM)
    data = {"at": datetime(2026, 1, 1, tzinfo=UTC), "ids": (1, 2)}
    assert sagas.confirm(run_id, "approval", data).data == sagas.confirm(run_id, "approval", data).data


@pytest.mark.parametrize("after", [State.COMPENSATING, State.FAILED, State.ESCALATED])
def test_a_confirmation_after_the_cancel_is_refused(after: State) -> None:
    run_id = run_in(after)
    with pytest.raises(AlreadyDecided, match=f"the run is {after}: it cannot be confirmed") as raised:
        sagas.confirm(run_id, "approval", {})
    assert raised.value.state == after
    assert not Confirmation.objects.filter(run_id=run_id).exists()
    assert "confirmation" not in story(run_id)


def test_a_confirmation_of_an_unknown_run_or_name_is_refused() -> None:
    with pytest.raises(RunNotFound):
        sagas.confirm(uuid4(), "approval", {})
    with pytest.raises(SagaError, match="no confirmation 'nothing'"):
        sagas.confirm(run_in(State.PENDING), "nothing", {})


def test_a_confirmation_that_comes_before_the_last_step_is_found_by_it() -> None:
    # Given
    run_id = run_in(State.PENDING)
    (chain,) = chains(claim_all())
    _, chain_rest = deliver(chain)
    sagas.confirm(run_id, "approval", {})
    assert state(run_id) is State.EXECUTING

    # When
    performed = deliver_all(chain_rest)

    # Then it goes on at once
    assert state(run_id) is State.CONFIRMING
    assert performed.messages == [Kick()]
    assert "AWAITING_CONFIRM" not in story(run_id)


def test_a_confirmation_that_came_disarms_its_own_deadline() -> None:
    # Given two confirmations, of which the first to be due has come
    run_id = run_in(State.AWAITING_CONFIRM, Twice)
    sagas.confirm(run_id, "approval", {})
    run = Run.objects.get(pk=run_id)
    assert run.started_at is not None
    assert run.deadline == run.started_at + timedelta(seconds=60)

    # When its deadline comes
    shift_clock([run_id], 40)
    assert lifecycle.expire_unconfirmed("lab.Twice", 1, "approval", [run_id], by="message") == []
    carried(run_id)

    # Then nothing happens; at the other's, it is undone
    assert state(run_id) is State.AWAITING_CONFIRM
    shift_clock([run_id], 25)
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert event(run_id, "expire").step == "payment"


def test_a_confirmation_before_the_first_claim_disarms_its_own_deadline() -> None:
    # Given
    run_id = run_in(State.PENDING, Twice)
    sagas.confirm(run_id, "approval", {})

    # When
    carried(run_id)
    shift_clock([run_id], 40)
    claimed = claim()

    # Then it waits for the other, and is not looked at again and again until then
    assert claimed.count <= 1
    assert claim().count == 0
    assert state(run_id) is State.AWAITING_CONFIRM


# -- Cancel ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", UNDECIDED)
def test_an_undecided_run_can_be_cancelled(before: State) -> None:
    run_id = run_in(before)
    assert sagas.cancel(run_id, reason="no more thirst", by="ada") is State.COMPENSATING
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert_effects_once(run_id)
    assert reason(run_id) == {"kind": "cancelled", "step": "", "code": "Cancelled", "detail": "no more thirst"}
    assert event(run_id, "cancel").worker == "ada"


@pytest.mark.parametrize("before", [State.COMPENSATING, State.FAILED])
def test_a_repeated_cancel_gets_the_same_answer(before: State) -> None:
    run_id = run_in(before)
    story_before = story(run_id)
    assert sagas.cancel(run_id) is before
    assert story(run_id) == story_before


@pytest.mark.parametrize("before", [State.CONFIRMING, State.SUCCEEDED, State.ESCALATED])
def test_a_cancel_after_the_decision_is_refused(before: State) -> None:
    run_id = run_in(before)
    with pytest.raises(AlreadyDecided, match="cannot be cancelled"):
        sagas.cancel(run_id)
    assert state(run_id) is before


@pytest.mark.parametrize("before", [State.PENDING, State.EXECUTING])
def test_a_cancel_of_a_run_that_is_confirmed_but_not_done_is_refused(before: State) -> None:
    run_id = run_in(before)
    sagas.confirm(run_id, "approval", {})
    with pytest.raises(AlreadyDecided, match="the run is confirmed"):
        sagas.cancel(run_id)
    assert state(run_id) is before


def test_a_run_without_confirmations_can_be_cancelled() -> None:
    run_id = sagas.start(Unconfirmed, Experiment())
    claim_all()
    sagas.cancel(run_id)
    carried(run_id)
    assert state(run_id) is State.FAILED


def test_a_cancel_of_an_unknown_run_is_refused() -> None:
    with pytest.raises(RunNotFound):
        sagas.cancel(uuid4())


@pytest.mark.parametrize("name", ["a" * 150, "a\x00b"], ids=["long", "nul"])
def test_any_user_name_can_be_put_on_record(name: str) -> None:
    # Django's user names have up to 150 characters.
    run_id = run_in(State.ESCALATED)
    sagas.resume(run_id, by=name, note=name)
    cancelled = run_in(State.PENDING)
    sagas.cancel(cancelled, by=name, reason=name)
    assert state(cancelled) is State.COMPENSATING


# -- Deadlines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [State.EXECUTING, State.AWAITING_CONFIRM])
def test_a_deadline_undoes_an_unconfirmed_run(before: State) -> None:
    run_id = run_in(before)
    shift_clock([run_id], 30)
    assert lifecycle.expire_unconfirmed("lab.Lab", 1, "approval", [run_id], by="message") == [Kick()]
    assert state(run_id) is State.COMPENSATING
    assert expired_by(run_id) == "message"
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert_effects_once(run_id)


@pytest.mark.parametrize("confirmed", UNDECIDED)
def test_a_deadline_of_a_confirmed_run_does_nothing(confirmed: State) -> None:
    run_id = run_in(confirmed)
    sagas.confirm(run_id, "approval", {})
    claim_all()
    shift_clock([run_id], 31)
    before = state(run_id)
    assert lifecycle.expire_unconfirmed("lab.Lab", 1, "approval", [run_id], by="message") == []
    assert state(run_id) is before


def test_a_deadline_that_is_delivered_early_is_armed_again() -> None:
    # Given two runs, of which one has some seconds left
    early, late = run_in(State.AWAITING_CONFIRM), run_in(State.AWAITING_CONFIRM)
    shift_clock([early], 25)
    shift_clock([late], 31)

    # When
    messages = lifecycle.expire_unconfirmed("lab.Lab", 1, "approval", [early, late], by="message")

    # Then
    (armed,) = deadlines(messages)
    assert armed.ids == (early,)
    assert armed.delay is not None
    assert 4 < armed.delay <= 5.2
    assert state(early) is State.AWAITING_CONFIRM
    assert state(late) is State.COMPENSATING


def test_the_tick_expires_a_run_whose_deadline_message_was_lost() -> None:
    run_id = run_in(State.AWAITING_CONFIRM)
    # Within the grace it leaves the run to the message.
    shift_clock([run_id], 30.5)
    assert claim().count == 0
    shift_clock([run_id], 0.6)
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert expired_by(run_id) == "tick"


def test_the_tick_expires_a_run_whose_step_messages_were_lost() -> None:
    run_id = run_in(State.EXECUTING)
    shift_clock([run_id], 31)
    assert claim(lapsed=True).count == 1
    assert state(run_id) is State.COMPENSATING
    assert expired_by(run_id) == "tick"


def test_a_deadline_by_message_and_by_tick_undoes_once() -> None:
    run_id = run_in(State.AWAITING_CONFIRM)
    shift_clock([run_id], 32)
    lifecycle.expire_unconfirmed("lab.Lab", 1, "approval", [run_id], by="message")
    claim_all()
    lifecycle.expire_unconfirmed("lab.Lab", 1, "approval", [run_id], by="message")
    assert story(run_id).count("expire") == 1


def test_deadline_messages_are_published_once_when_runs_begin() -> None:
    ids = sorted(sagas.start(Twice, Experiment()) for _ in range(3))
    armed = deadlines(claim_all())
    assert [(d.confirmation, d.within, d.ids) for d in armed] == [
        ("approval", 30.0, tuple(ids)),
        ("payment", 60.0, tuple(ids)),
    ]
    make_due(ids)
    assert deadlines(claim_all(lapsed=True)) == []
    assert isinstance(armed[0], Deadline)


# -- Leases ---------------------------------------------------------------------------------------------------


def test_a_lease_doubles_until_the_run_escalates() -> None:
    run_id = run_in(State.EXECUTING)
    waits = []
    for _ in range(5):
        run = Run.objects.get(pk=run_id)
        assert run.due_at is not None
        waits.append((run.due_at - datetime.now(UTC)).total_seconds())
        make_due([run_id])
        assert len(chains(claim_all(lapsed=True))) == 1
        # Only a tick takes up lapsed leases, and only once they are over.
        assert claim().count == 0
    assert [round(wait, -1) for wait in waits] == [10, 20, 40, 80, 160]
    make_due([run_id])
    assert claim_all(lapsed=True) == []
    assert state(run_id) is State.ESCALATED
    assert escalation(run_id).error["code"] == "NoProgress"
    assert escalation(run_id).state == State.EXECUTING

    # And when it is resumed, it goes on from where it stood.
    sagas.resume(run_id, by="ada")
    carried(run_id)
    assert state(run_id) is State.AWAITING_CONFIRM


def test_progress_resets_the_count_of_lapsed_leases() -> None:
    run_id = run_in(State.EXECUTING)
    for _ in range(4):
        make_due([run_id])
        (chain,) = chains(claim_all(lapsed=True))
    deliver(chain)
    assert Run.objects.get(pk=run_id).claims == 0
    make_due([run_id])
    assert claim().count == 1


def test_reclaiming_is_capped(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "RECLAIM": 3}
    ids = [run_in(State.PENDING) for _ in range(5)]
    claim_all()
    make_due(ids)
    assert [claim(lapsed=True).count for _ in range(3)] == [3, 2, 0]


def test_runs_of_an_unknown_saga_wait_and_then_escalate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.memory, "foreign", set())
    # Given runs of a saga that this process does not know, and one of another
    ids = [run_in(State.PENDING) for _ in range(2)]
    Run.objects.filter(pk__in=ids).update(saga="lab.FromTomorrow")
    known = run_in(State.PENDING)

    # When
    claimed = claim()

    # Then they wait where they stood, and the other goes on
    assert claimed.count == 3
    assert [chain.ids for chain in chains(claimed.messages)] == [(known,)]
    assert states(ids) == {State.PENDING: 2}
    # For the time of a lease they are left to others, who may know them
    make_due(ids, since=LEASE - 1)
    assert claim().count == 0
    assert set(Run.objects.filter(pk__in=ids).values_list("claims", flat=True)) == {0}
    # And then claimed, six times
    make_due(ids, since=LEASE)
    claim_all()
    for _ in range(5):
        make_due(ids, since=LEASE)
        claim_all(lapsed=True)
        assert states(ids) == {State.PENDING: 2}
    make_due(ids, since=LEASE)
    claim_all(lapsed=True)
    assert states(ids) == {State.ESCALATED: 2}

    # And once the saga is known, they can go on
    Run.objects.filter(pk__in=ids).update(saga="lab.Lab")
    for run_id in ids:
        assert sagas.resume(run_id, by="ada") is State.PENDING
    carried(*ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 2}


def test_a_resume_of_a_run_that_is_not_escalated_is_refused() -> None:
    with pytest.raises(RunNotFound):
        sagas.resume(uuid4(), by="ada")
    for standing in (State.PENDING, State.AWAITING_CONFIRM, State.FAILED):
        with pytest.raises(AlreadyDecided):
            sagas.resume(run_in(standing), by="ada")
    assert not Escalation.objects.exists()


def test_a_claim_groups_runs_at_the_same_step_into_cohorts(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "COHORT": 4, "CLAIM": 10}
    ids = sorted(run_in(State.PENDING) for _ in range(9))
    other = sagas.start(Unconfirmed, Experiment())
    claimed = claim()
    assert claimed.full
    found = {(chain.links[0].saga, len(chain.ids)) for chain in chains(claimed.messages)}
    assert found == {("lab.Lab", 4), ("lab.Lab", 1), ("lab.Unconfirmed", 1)}
    assert sorted(run_id for chain in chains(claimed.messages) for run_id in chain.ids) == sorted([*ids, other])


def test_the_runs_that_are_due_longest_are_claimed_first(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "CLAIM": 2}
    ids = [run_in(State.PENDING) for _ in range(3)]
    assert set(chains(claim().messages)[0].ids) == set(ids[:2])


# -- Admission ------------------------------------------------------------------------------------------------


def _refused() -> Overloaded | None:
    # The database is asked at most once a second.
    runtime.memory.backlog_asked_at = -math.inf
    try:
        sagas.check_admission()
    except Overloaded as error:
        return error
    return None


def test_new_runs_are_refused_when_the_oldest_waits_too_long(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "ADMISSION": 60}
    runtime.memory.looks = ()
    assert _refused() is None
    runtime.memory.looks = ()
    run_id = run_in(State.PENDING)
    shift_clock([run_id], 90)
    error = _refused()
    assert error is not None
    assert 28 <= error.retry_after <= 60
    assert "the limit is 60 s" in str(error)
    # A run that has begun does not count.
    claim_all()
    assert _refused() is None
    assert effects(run_id) == []


def test_claimed_runs_that_have_not_begun_are_no_backlog() -> None:
    run_id = run_in(State.PENDING)
    shift_clock([run_id], 90)
    assert store.claims.look_at_backlog().age > 80
    # When a worker that does not know its saga has claimed it, and its lease has lapsed
    store.claims.lease([run_id], begin=False)
    shift_clock([run_id], 90)
    # Then it holds nobody up
    assert store.claims.look_at_backlog().age == 0


def test_a_run_that_nobody_performs_is_no_head_while_later_ones_begin() -> None:
    stuck = run_in(State.PENDING)
    shift_clock([stuck], 90)
    assert store.claims.look_at_backlog().age > 80
    # When one that was started later has begun
    store.claims.lease([run_in(State.PENDING)], begin=True)
    # Then the backlog is no older than that one
    assert store.claims.look_at_backlog().age < 60


def test_the_backlog_is_counted_from_the_oldest_and_compared_with_the_last_count() -> None:
    ids = [run_in(State.PENDING) for _ in range(4)]
    head = store.claims.look_at_backlog().head
    first = store.claims.count_backlog(3, since=head)
    assert (first.waiting, first.is_all, first.left, first.stood) == (3, False, 0, False)
    # When the oldest begins
    store.claims.lease(ids[:1], begin=True)
    second = store.claims.count_backlog(10, since=head, before=first.through)
    # Then one of the three counted has begun, and the last of them still waits
    assert (second.waiting, second.is_all, second.left, second.stood) == (3, True, 2, True)
    # And when all three have begun, it is not known whether there was always something to begin
    store.claims.lease(ids[1:3], begin=True)
    third = store.claims.count_backlog(10, since=head, before=first.through)
    assert (third.waiting, third.left, third.stood) == (1, 0, False)


def test_a_run_that_must_begin_soon_is_refused_earlier(settings: Settings) -> None:
    # Given a run that has waited for a minute, and a limit of two
    settings.SAGAS = {**settings.SAGAS, "ADMISSION": 120}
    run_id = sagas.start(Lab, Experiment())
    Run.objects.filter(pk=run_id).update(due_at=Now() - timedelta(minutes=1))
    runtime.memory.looks, runtime.memory.backlog_asked_at = (), -math.inf
    # Then
    sagas.check_admission()
    sagas.check_admission(within=100)
    with pytest.raises(Overloaded):
        sagas.check_admission(within=30)


def test_threads_do_not_wait_for_the_one_that_looks_at_the_backlog() -> None:
    runtime.memory.looks, runtime.memory.backlog_asked_at = (), -math.inf
    with runtime.own.looking:
        # Nobody knows yet, so a run is accepted
        sagas.check_admission()
    assert runtime.memory.looks == ()
