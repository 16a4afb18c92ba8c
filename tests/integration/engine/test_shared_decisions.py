"""One decision for many runs: who gets it, when, and that it is final."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

import sagas
from sagas import Saga, State, store
from sagas.engine import shared_decisions
from sagas.engine.claiming import claim
from sagas.engine.compensation import escalate
from sagas.errors import AlreadyDecided, DecidedOtherwise, InvalidArgument, InvalidRequest, UnknownConfirmation
from sagas.models import Confirmation, Run, SharedDecision
from sagas.operations.doctor import Severity
from sagas.operations.doctor import runs as doctor
from sagas.store.locked_runs import LockedRun
from tests.lab.sagas import CompressedGroup, Experiment, Grouped, GroupGuardian, Lab, PaidGroup
from tests.support.carrier import Carrier
from tests.support.runs import counts, due_in, effects, event, make_due, reason, state, states, story

pytestmark = pytest.mark.usefixtures("alone", "jar")

GROUPS: list[type[Saga[Experiment]]] = [Grouped, CompressedGroup]


def join(count: int = 1, saga: type[Saga[Experiment]] = Grouped, group: str = "g", **experiment: Any) -> list[UUID]:
    return [saga.start(Experiment(group=group, **experiment)) for _ in range(count)]


def joined(count: int = 1, saga: type[Saga[Experiment]] = Grouped, group: str = "g", **experiment: Any) -> list[UUID]:
    """Runs that have done their steps and wait."""
    ids = join(count, saga, group, **experiment)
    Carrier().run(ids)
    assert set(states(ids)) == {State.AWAITING_CONFIRM}
    return ids


def settle() -> None:
    """Let the ticks give what is decided to all runs."""
    more = True
    while more:
        settled = shared_decisions.settle_some()
        Carrier().post(settled.messages)
        more = settled.more


def carry(ids: Sequence[UUID]) -> None:
    settle()
    Carrier().run(ids)


def decline(run_id: UUID) -> State:
    """Refuse it to a single run."""
    return sagas.decline(run_id, "formed")


def is_settled(group: str = "g") -> bool:
    return SharedDecision.objects.get(key=group).settled_at is not None


@pytest.mark.parametrize("saga", GROUPS)
def test_a_decision_confirms_all_runs_of_its_key_and_no_others(saga: type[Saga[Experiment]]) -> None:
    # Given
    ids, others = joined(3, saga), joined(1, saga, "other")
    # When
    decision = sagas.decide(saga, "formed", "g", {"members": 3}, by="the counter")
    carry(ids)
    # Then
    assert (decision.first, decision.declined, decision.data) == (True, False, {"members": 3})
    assert states(ids) == Counter({State.SUCCEEDED: 3})
    assert states(others) == Counter({State.AWAITING_CONFIRM: 1})
    assert Confirmation.objects.get(run_id=ids[0], name="formed").data == {"members": 3}
    assert (event(ids[0], "confirmation").step, event(ids[0], "confirmation").worker) == ("formed", "the counter")
    assert is_settled()


@pytest.mark.parametrize("saga", GROUPS)
def test_a_refusal_undoes_all_runs_of_its_key(saga: type[Saga[Experiment]]) -> None:
    ids = joined(2, saga)
    decision = sagas.decide(saga, "formed", "g", decline="2 of 10", message="Too few have joined.", by="the counter")
    carry(ids)
    assert decision.declined
    assert states(ids) == Counter({State.FAILED: 2})
    assert (reason(ids[0])["detail"], reason(ids[0])["message"]) == ("2 of 10", "Too few have joined.")
    assert (event(ids[0], "refuse").step, event(ids[0], "refuse").worker) == ("formed", "the counter")
    assert is_settled()


@pytest.mark.parametrize("decline", [None, "too few"])
@pytest.mark.parametrize("saga", GROUPS)
def test_runs_that_come_after_the_decision_find_it(saga: type[Saga[Experiment]], decline: str | None) -> None:
    # Given a decision that was settled before
    sagas.decide(saga, "formed", "g", decline=decline)
    settle()
    assert is_settled()
    # When runs are started, and no tick looks for decisions
    ids = join(2, saga)
    Carrier().run(ids)
    # Then
    assert states(ids) == Counter({State.FAILED if decline else State.SUCCEEDED: 2})
    assert is_settled()


@pytest.mark.parametrize("decline", [None, "too few"])
def test_runs_that_are_under_way_get_it_at_once(decline: str | None) -> None:
    # Given a run that has not begun, and one between its steps
    (under_way,) = join()
    carrier = Carrier()
    carrier.run([under_way], until=lambda: len(effects(under_way)) == 1)
    (new,) = join()
    # When
    sagas.decide(Grouped, "formed", "g", decline=decline)
    settle()
    # Then
    assert is_settled()
    if decline:
        assert states([new, under_way]) == Counter({State.COMPENSATING: 2})
    else:
        assert Confirmation.objects.filter(run_id__in=[new, under_way]).count() == 2
    carrier.run([new, under_way])
    assert states([new, under_way]) == Counter({State.FAILED if decline else State.SUCCEEDED: 2})


def test_a_repeat_gets_the_decision_that_was_made() -> None:
    ids = joined()
    first = sagas.decide(Grouped, "formed", "g", {"members": 1})
    again = sagas.decide(Grouped, "formed", "g", {"members": 1}, by="somebody else")
    assert (again.first, again.decided_at, again.by, again.settled_at) == (False, first.decided_at, "", None)
    carry(ids)
    assert sagas.decide(Grouped, "formed", "g", {"members": 1}).settled_at is not None
    assert SharedDecision.objects.count() == 1


def test_a_refusal_is_repeated_for_whatever_reason() -> None:
    sagas.decide(Grouped, "formed", "g", decline="2 of 10")
    again = sagas.decide(Grouped, "formed", "g", decline="still 2 of 10")
    assert (again.first, again.reason) == (False, "2 of 10")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"decline": "too few"}),
        ({"decline": "too few"}, {}),
        ({"data": {"members": 3}}, {"data": {"members": 4}}),
    ],
)
def test_another_decision_is_refused_and_the_transaction_goes_on(first: Any, second: Any) -> None:
    (run_id,) = joined()
    sagas.decide(Grouped, "formed", "g", **first)
    with transaction.atomic():
        with pytest.raises(DecidedOtherwise, match="formed of 'g' was") as raised:
            sagas.decide(Grouped, "formed", "g", **second)
        sagas.decide(Grouped, "formed", "other")
    assert isinstance(raised.value, AlreadyDecided)
    assert raised.value.declined == ("decline" in first)
    assert raised.value.data == (None if "decline" in first else first.get("data", {}))
    carry([run_id])
    assert state(run_id) is (State.FAILED if "decline" in first else State.SUCCEEDED)


def test_a_decision_that_is_rolled_back_was_none() -> None:
    (run_id,) = joined()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        sagas.decide(Grouped, "formed", "g", decline="a mistake")
        raise ZeroDivisionError
    sagas.decide(Grouped, "formed", "g")
    carry([run_id])
    assert state(run_id) is State.SUCCEEDED


@pytest.mark.parametrize("end", [sagas.cancel, decline])
def test_a_single_run_may_be_turned_back_before(end: Callable[[UUID], State]) -> None:
    one, other = joined(2)
    end(one)
    sagas.decide(Grouped, "formed", "g")
    carry([one, other])
    assert (state(one), state(other)) == (State.FAILED, State.SUCCEEDED)


@pytest.mark.parametrize("end", [sagas.cancel, decline])
def test_no_run_is_turned_back_after_its_decision_even_if_it_has_not_got_it(end: Callable[[UUID], State]) -> None:
    # Given a decision that no tick has given to anybody
    (run_id,) = joined()
    sagas.decide(Grouped, "formed", "g")
    # Then
    with pytest.raises(AlreadyDecided):
        end(run_id)
    carry([run_id])
    assert state(run_id) is State.SUCCEEDED


def test_a_run_whose_decision_is_a_refusal_may_be_cancelled() -> None:
    (run_id,) = joined()
    sagas.decide(Grouped, "formed", "g", decline="too few")
    assert sagas.cancel(run_id) is State.COMPENSATING


def test_a_single_run_is_not_confirmed_by_hand() -> None:
    (run_id,) = joined()
    with pytest.raises(InvalidArgument, match=r"sagas\.decide"):
        sagas.confirm(run_id, "formed")
    assert state(run_id) is State.AWAITING_CONFIRM


@pytest.mark.parametrize("early", ["payment", "formed"])
def test_a_run_with_another_confirmation_needs_both(early: str, jar: str) -> None:
    # Given
    (run_id,) = joined(saga=PaidGroup, jar=jar)
    acts: dict[str, Callable[[], object]] = {
        "payment": lambda: sagas.confirm(run_id, "payment", {"card": "1"}),
        "formed": lambda: sagas.decide(PaidGroup, "formed", "g", {"members": 1}),
    }
    # When one of them comes
    acts.pop(early)()
    settle()
    # Then the run waits: for its payment at most until the deadline, for the decision without one
    assert state(run_id) is State.AWAITING_CONFIRM
    has_deadline = Run.objects.get(pk=run_id).deadline is not None
    assert has_deadline == (early == "formed")
    assert due_in(run_id) < 40 if has_deadline else due_in(run_id) > 3000
    # When the other one comes
    acts.popitem()[1]()
    carry([run_id])
    # Then
    assert state(run_id) is State.SUCCEEDED
    assert effects(run_id) == ["three.try", "two.forward", "three.confirm", "four.forward"]


@pytest.mark.parametrize("decline", [None, "too few"])
def test_a_confirmation_between_the_last_step_and_the_claim_does_not_postpone_the_decision(
    jar: str, decline: str | None
) -> None:
    # Given a decision that is settled, and a run that comes later and has just done its last step
    sagas.decide(PaidGroup, "formed", "g", decline=decline)
    settle()
    assert is_settled()
    (run_id,) = join(1, PaidGroup, jar=jar)
    Carrier().run([run_id], until=lambda: state(run_id) is State.AWAITING_CONFIRM)

    # When its other confirmation comes before anybody claims it
    sagas.confirm(run_id, "payment")

    # Then it does not wait for an hour
    Carrier().run([run_id])
    assert state(run_id) is (State.FAILED if decline else State.SUCCEEDED)


def test_what_was_paid_is_given_back_if_the_group_does_not_form(jar: str) -> None:
    (run_id,) = joined(saga=PaidGroup, jar=jar)
    sagas.confirm(run_id, "payment")
    sagas.decide(PaidGroup, "formed", "g", decline="too few")
    carry([run_id])
    assert state(run_id) is State.FAILED
    assert effects(run_id)[2:] == ["payment.compensate", "two.compensate", "three.cancel"]
    assert counts(jar)[1:] == (0, 0)


def test_who_does_not_pay_in_time_is_undone_and_gives_the_decision_back(jar: str) -> None:
    # Given a run that has its decision, and whose payment is late
    (run_id,) = joined(saga=PaidGroup, jar=jar)
    sagas.decide(PaidGroup, "formed", "g")
    settle()
    assert is_settled()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET started_at = started_at - interval '31 s', deadline = deadline - interval '31 s', "
            "due_at = clock_timestamp() WHERE id = %s",
            [run_id],
        )
    Carrier().run([run_id])
    assert state(run_id) is State.FAILED
    assert effects(run_id)[2:] == ["formed.compensate", "two.compensate", "three.cancel"]


def test_an_escalated_run_gets_its_decision_when_it_is_resumed() -> None:
    # Given a run that cannot be claimed, and is escalated where it waits
    (run_id,) = joined()
    with transaction.atomic():
        run = LockedRun.lock(run_id)
        escalate(run.row, store.moves.event_entry("escalate"), "{}")
    # When the decision is made and settled
    sagas.decide(Grouped, "formed", "g")
    settle()
    assert is_settled()
    assert state(run_id) is State.ESCALATED
    # Then it gets the decision after the resume
    sagas.resume(run_id, by="somebody")
    Carrier().run([run_id])
    assert state(run_id) is State.SUCCEEDED


def test_a_run_that_the_settling_has_missed_is_found_within_the_hour() -> None:
    # Given an undecided run of a settled decision, which the engine never leaves
    (run_id,) = joined()
    SharedDecision.objects.create(saga="lab.Grouped", name="formed", key="g", data={}, settled_at="2026-01-01T00:00Z")
    # When it is claimed, as each hour
    make_due([run_id])
    Carrier().run([run_id])
    # Then
    assert state(run_id) is State.SUCCEEDED


def test_a_child_is_decided_with_its_group_and_confirmed_with_its_parent() -> None:
    # Given a parent whose child waits for its group
    parent = sagas.start(GroupGuardian, Experiment(group="g"))
    Carrier().run([parent])
    child = Run.objects.get(parent_id=parent).pk
    assert (state(parent), state(child)) == (State.EXECUTING, State.AWAITING_CONFIRM)
    # When
    sagas.decide(Grouped, "formed", "g")
    carry([parent, child])
    make_due([parent, child])
    Carrier().run([parent, child])
    # Then
    assert (state(parent), state(child)) == (State.SUCCEEDED, State.SUCCEEDED)


def test_a_child_whose_group_does_not_form_fails_its_parent() -> None:
    parent = sagas.start(GroupGuardian, Experiment(group="g"))
    Carrier().run([parent])
    child = Run.objects.get(parent_id=parent).pk
    sagas.decide(Grouped, "formed", "g", decline="too few")
    carry([parent, child])
    make_due([parent])
    Carrier().run([parent, child])
    assert (state(parent), state(child)) == (State.FAILED, State.FAILED)


def test_a_cohort_is_given_in_one_turn_and_others_have_theirs_in_between(settings: Any) -> None:
    # Given cohorts of three runs, and two decisions
    settings.SAGAS = {**settings.SAGAS, "COHORT": 3}
    big, small = joined(7, group="big"), joined(2, group="small")
    sagas.decide(Grouped, "formed", "big")
    sagas.decide(Grouped, "formed", "small")
    # When they get a turn each
    turns = []
    for _ in range(4):
        more = shared_decisions.settle_some().more
        turns.append((more, states(big)[State.AWAITING_CONFIRM], states(small)[State.AWAITING_CONFIRM]))
    # Then at most three runs are given theirs, and the small one does not wait for the end of the big one
    assert turns == [(True, 4, 2), (True, 3, 0), (True, 0, 0), (False, 0, 0)]
    assert (is_settled("big"), is_settled("small")) == (True, True)


def test_runs_that_others_have_locked_are_left_until_later() -> None:
    # Given two runs, of which another transaction has locked one
    first, second = joined(2)
    sagas.decide(Grouped, "formed", "g")
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM sagas_run WHERE id = %s FOR UPDATE", [first])
        # When
        assert not shared_decisions.settle_some().more
        # Then
        assert (state(first), state(second)) == (State.AWAITING_CONFIRM, State.CONFIRMING)
        assert not is_settled()
    finally:
        other.rollback()
        other.close()
    settle()
    assert state(first) is State.CONFIRMING
    assert is_settled()


def test_one_run_that_breaks_does_not_keep_the_others_from_their_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a run for which the decision cannot be given
    ids = joined(4)
    give = store.shared_decisions.give

    def break_for_one(decision: Any, rows: Any, **stay: Any) -> None:
        if ids[1] in [row.id for row in rows]:
            raise ZeroDivisionError
        give(decision, rows, **stay)

    monkeypatch.setattr(store.shared_decisions, "give", break_for_one)
    # When
    sagas.decide(Grouped, "formed", "g")
    settle()
    # Then a person is called for it
    assert states(ids) == Counter({State.CONFIRMING: 3, State.ESCALATED: 1})
    assert state(ids[1]) is State.ESCALATED
    assert is_settled()


def test_the_doctor_names_decisions_that_runs_have_not_got() -> None:
    # Given a decision that no worker gives to its runs
    joined(2)
    sagas.decide(Grouped, "formed", "g")
    assert [one.severity for one in doctor.undecided()] == [Severity.FINE]
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sagas_shareddecision DISABLE TRIGGER sagas_shareddecision_guard")
        cursor.execute("UPDATE sagas_shareddecision SET decided_at = decided_at - interval '1 hour'")
        cursor.execute("ALTER TABLE sagas_shareddecision ENABLE TRIGGER sagas_shareddecision_guard")
    # Then
    (finding,) = doctor.undecided()
    assert (finding.severity, finding.runs) == (Severity.ERROR, 2)
    assert "lab.Grouped.formed of 'g' was decided 01:00:00 ago, and 2 run(s) have not got it" in finding.what
    settle()
    assert [one.severity for one in doctor.undecided()] == [Severity.FINE]


def test_a_cohort_takes_the_same_statements_however_many_runs_it_has(settings: Any) -> None:
    counted = []
    for size in (1, 30):
        joined(size, group=str(size))
        sagas.decide(Grouped, "formed", str(size))
        with CaptureQueriesContext(connection) as queries:
            assert not shared_decisions.settle_some().more
        counted.append(len(queries))
    # Which are open; lock, received, give, move; settle; and the transaction's own
    assert counted[0] == counted[1] <= 8


def test_a_run_that_waits_costs_a_claim_an_hour() -> None:
    (run_id,) = joined()
    assert 3500 < due_in(run_id) <= 3600
    make_due([run_id])
    assert claim().count == 1
    assert (state(run_id), claim().count) == (State.AWAITING_CONFIRM, 0)
    assert 3500 < due_in(run_id) <= 3600


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "k" * 129, "\x00", "\ud800"])
def test_a_start_with_an_invalid_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest):
        join(group=key)
    assert not Run.objects.exists()


@pytest.mark.parametrize("key", ["", "k" * 129, "\x00", "\ud800", None, 7])
def test_a_decision_of_an_invalid_key_is_refused(key: Any) -> None:
    with pytest.raises(InvalidArgument, match="key of the decision"):
        sagas.decide(Grouped, "formed", key)


def test_a_decision_is_of_a_confirmation_that_is_declared_so() -> None:
    with pytest.raises(UnknownConfirmation):
        sagas.decide(Grouped, "approval", "g")
    with pytest.raises(InvalidArgument, match="decided_by"):
        sagas.decide(Lab, "approval", "g")


@pytest.mark.parametrize(
    "answer",
    [{"data": {}, "decline": "no"}, {"message": "of what?"}, {"data": []}, {"data": {"a": object()}}, {"decline": 7}],
)
def test_an_answer_is_data_or_a_refusal(answer: Any) -> None:
    with pytest.raises(InvalidArgument):
        sagas.decide(Grouped, "formed", "g", **answer)
    assert not SharedDecision.objects.exists()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE sagas_shareddecision SET data = NULL",
        "UPDATE sagas_shareddecision SET key = 'other'",
        "UPDATE sagas_shareddecision SET settled_at = NULL",
        "DELETE FROM sagas_shareddecision",
        "UPDATE sagas_run SET decision_key = 'other'",
        "UPDATE sagas_run SET decision_name = NULL",
    ],
)
def test_the_database_keeps_what_is_final(sql: str) -> None:
    ids = joined()
    sagas.decide(Grouped, "formed", "g")
    carry(ids)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_the_log_of_a_run_tells_of_its_decision() -> None:
    ids = joined()
    sagas.decide(Grouped, "formed", "g")
    carry(ids)
    assert story(ids[0]) == [
        "start",
        "one.forward DONE",
        "two.forward DONE",
        "confirmation",
        "one.confirm DONE",
    ]
