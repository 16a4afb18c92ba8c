"""What decides a run besides its steps: pivots, several confirmations, refunds, refusals, time-outs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

import sagas
from sagas import Accepted, Call, Outcome, Saga, State, Step, set_based
from sagas.decisions.messages import Chain
from sagas.engine import lifecycle
from sagas.engine.claiming import claim
from sagas.errors import AlreadyDecided, InvalidRequest, UnknownConfirmation
from sagas.models import Run
from tests.lab.models import Mark
from tests.lab.sagas import QUICK, Boom, Charged, Closing, Experiment, Forked, Hurried, Twice, accept, mark
from tests.support.carrier import Carrier, chains, claim_all, deadlines, deliver
from tests.support.runs import (
    counts,
    effects,
    event,
    make_due,
    marks,
    reason,
    shift_clock,
    shift_log,
    state,
    story,
)

pytestmark = pytest.mark.usefixtures("alone", "jar")
#: What is in the jar.
JAR = 10


def carried(*ids: UUID) -> None:
    Carrier().run(ids)


def database_clock() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


# -- The pivot of a saga without a confirmation ---------------------------------------------------------------


def test_steps_before_the_pivot_are_undone_when_the_pivot_rejects(jar: str) -> None:
    run_id = sagas.start(Charged, Experiment(jar=jar, reject=("two",)))
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["three.try", "three.cancel"]
    assert counts(jar) == (10, 0, 0)


def test_a_run_past_its_pivot_only_goes_forward(jar: str) -> None:
    # Given a run of which the step behind the pivot breaks more often than a step before it may
    run_id = sagas.start(Charged, Experiment(jar=jar, faults={"four.forward": 2}))

    # When
    carried(run_id)

    # Then it is confirmed, and goes on; no customer cancels it any more
    assert state(run_id) is State.SUCCEEDED
    assert effects(run_id) == ["three.try", "two.forward", "three.confirm", "four.forward"]
    assert counts(jar) == (9, 0, 1)


@set_based
def accept_all(calls: Sequence[Call[Experiment]]) -> list[Outcome]:
    Mark.objects.bulk_create(Mark(run_id=c.run_id, step=c.step, operation=c.operation) for c in calls)
    return [Accepted(timedelta(seconds=20)) for _ in calls]


class AcceptedCharge(Saga[Experiment]):
    """The point of no return is left open, which it may not be."""

    one = Step(mark, compensate=mark, queue="inventory", retry=QUICK, finish_retry=QUICK)
    charge = Step(accept, queue="orders", retry=QUICK, pivot=True)


class AcceptedCharges(Saga[Experiment]):
    """The same, set-based."""

    one = Step(mark, compensate=mark, queue="inventory", retry=QUICK, finish_retry=QUICK)
    charge = Step(accept_all, queue="orders", retry=QUICK, pivot=True)


@pytest.mark.parametrize("saga", [AcceptedCharge, AcceptedCharges])
def test_an_accepted_pivot_is_a_fault(jar: str, saga: type[Saga[Experiment]]) -> None:
    # Given runs of which the pivot is accepted: cancelled then, it would stay, and all else be undone
    ids = [sagas.start(saga, Experiment(jar=jar)) for _ in range(2)]

    # When
    carried(*ids)

    # Then it is a fault, of which nothing is left, and which says what to do
    for run_id in ids:
        assert state(run_id) is State.FAILED
        assert reason(run_id)["code"] == "PivotAccepted"
        assert "Give it a compensation instead" in reason(run_id)["detail"]
        assert marks(run_id) == {"one.forward": 1, "one.compensate": 1}
        assert not any("ACCEPTED" in line for line in story(run_id))


def test_a_run_past_its_pivot_cannot_be_cancelled(jar: str) -> None:
    run_id = sagas.start(Charged, Experiment(jar=jar))
    chain = chains(claim_all())[0]
    _, following = deliver(chain)
    assert following is not None
    deliver(following)
    assert state(run_id) is State.CONFIRMING
    with pytest.raises(AlreadyDecided):
        sagas.cancel(run_id)
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED


# -- Deadlines that are computed from the request -------------------------------------------------------------


def closing(seconds: float) -> UUID:
    """A run whose approval must come so many seconds from now."""
    return sagas.start(Closing, Experiment(closes_at=database_clock() + timedelta(seconds=seconds)))


def test_a_computed_deadline_has_no_message_and_sets_the_due_time() -> None:
    # Given
    run_id = closing(3600)

    # When it begins
    messages = claim_all()

    # Then only the deadline that all runs have goes out as a message; the run is due at the first of both
    assert [message.confirmation for message in deadlines(messages)] == ["payment"]
    for chain in chains(messages):
        deliver(deliver(chain)[1] or chain)
    run = Run.objects.get(pk=run_id)
    assert run.state == State.AWAITING_CONFIRM
    assert run.started_at is not None
    # Its statement reads the clock twice
    assert run.deadline is not None
    assert abs(run.deadline - run.started_at - timedelta(seconds=60)) < timedelta(milliseconds=100)
    # And when that came, at the other
    sagas.confirm(run_id, "payment", {})
    run.refresh_from_db()
    assert run.deadline == Closing.definition.load(str_request(run)).closes_at
    carried(run_id)
    assert state(run_id) is State.AWAITING_CONFIRM


@pytest.mark.parametrize("closes_at", [datetime(2030, 1, 1), datetime.max])  # noqa: DTZ001, DTZ901 - as they are sent
def test_a_deadline_without_a_time_zone_is_refused_at_the_start(closes_at: datetime) -> None:
    with pytest.raises(
        InvalidRequest, match=r"when approval is too late: .* a deadline is a datetime with a time zone"
    ):
        sagas.start(Closing, Experiment(closes_at=closes_at))
    # And leaves nothing behind
    assert not Run.objects.exists()


def test_a_deadline_that_cannot_be_computed_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: object) -> datetime:
        raise KeyError("what others must not read")

    monkeypatch.setattr(Closing.definition.confirmations[0], "until", breaks)
    with pytest.raises(InvalidRequest, match=r"when approval is too late: KeyError$"):
        sagas.start(Closing, Experiment())
    assert not Run.objects.exists()


@pytest.mark.parametrize("hours", [-12, 0, 8])
def test_a_run_with_the_latest_possible_deadline_succeeds(hours: int) -> None:
    """``datetime.max``, in whatever time zone: as people write "no end"."""
    # Given
    zone = timezone(timedelta(hours=hours))
    run_id = sagas.start(Closing, Experiment(closes_at=datetime.max.replace(tzinfo=zone)))
    carried(run_id)
    # When
    sagas.confirm(run_id, "payment", {"payment_id": "pay_1"})
    assert Run.objects.get(pk=run_id).due_at is not None
    sagas.confirm(run_id, "approval", {})
    carried(run_id)
    # Then
    assert state(run_id) is State.SUCCEEDED


def str_request(run: Run) -> str:
    """Its request, as the database has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT request::text FROM sagas_run WHERE id = %s", [run.pk])
        text: str = cursor.fetchone()[0]
    return text


def test_a_run_is_undone_at_its_computed_deadline_and_its_payment_is_refunded() -> None:
    # Given a paid run whose approval can come no more
    run_id = closing(0.0)
    sagas.confirm(run_id, "payment", {"amount": 12})

    # When
    carried(run_id)
    make_due([run_id])
    carried(run_id)

    # Then
    assert state(run_id) is State.FAILED
    assert effects(run_id)[-3:] == ["payment.compensate", "two.compensate", "one.compensate"]
    why = reason(run_id)
    assert (why["kind"], why["step"], why["by"]) == ("timeout", "approval", "tick")
    assert why["late_ms"] >= 0
    assert event(run_id, "expire").step == "approval"


def test_a_deadline_message_that_comes_too_early_has_no_effect() -> None:
    run_id = closing(3600)
    carried(run_id)
    assert lifecycle.expire_unconfirmed("lab.Closing", 1, "approval", [run_id], by="message") == []
    assert state(run_id) is State.AWAITING_CONFIRM


# -- Confirmations that are taken back ------------------------------------------------------------------------


@pytest.mark.parametrize("came", [(), ("payment",), ("approval",), ("approval", "payment")])
def test_only_confirmations_that_came_are_compensated(came: tuple[str, ...]) -> None:
    # Given a run whose second step says no, and confirmations that came before
    run_id = sagas.start(Closing, Experiment(reject=("two",)))
    for name in came:
        sagas.confirm(run_id, name, {})

    # When
    carried(run_id)

    # Then
    assert state(run_id) is State.FAILED
    taken_back = [f"{name}.compensate" for name in ("payment", "approval") if name in came]
    assert effects(run_id) == ["one.forward", *taken_back, "one.compensate"]
    assert marks(run_id) == Counter(effects(run_id))


def test_a_refund_that_comes_twice_is_done_once() -> None:
    run_id = sagas.start(Closing, Experiment(faults={"payment.compensate": 2}))
    sagas.confirm(run_id, "payment", {})
    carried(run_id)
    sagas.cancel(run_id)
    Carrier(copies=2).run([run_id])
    assert state(run_id) is State.FAILED
    assert story(run_id).count("payment.compensate FAULT") == 2
    assert effects(run_id).count("payment.compensate") == 1


def test_confirmations_that_come_during_a_fork_are_both_compensated(jar: str) -> None:
    # Given a run that was approved early, and stands in a fork of which a part is done
    run_id = sagas.start(Forked, Experiment(jar=jar, reject=("right",)))
    sagas.confirm(run_id, "approval", {})
    (chain,) = chains(claim_all())
    branches = {chain.links[0].step: chain for chain in chains(deliver(chain)[0].messages)}
    deliver(branches["three"])

    # When another branch says no
    deliver(branches["right"])
    carried(run_id)

    # Then
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["one.forward", "three.try", "approval.compensate", "three.cancel", "one.compensate"]
    assert counts(jar) == (10, 0, 0)


def test_a_refund_receives_the_data_of_its_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    refund = Closing.definition.all_steps[Closing.definition.index("payment")]
    (phase,) = refund.actions
    action = refund.actions[phase]
    from dataclasses import replace

    monkeypatch.setitem(refund.actions, phase, replace(action, participant=lambda call: seen.append(call.results)))
    run_id = sagas.start(Closing, Experiment())
    sagas.confirm(run_id, "payment", {"payment_id": "p-1"})
    carried(run_id)
    sagas.cancel(run_id)
    carried(run_id)
    assert seen == [{"one": {"by": "one"}, "payment": {"payment_id": "p-1"}}]


# -- Refusals -------------------------------------------------------------------------------------------------


def test_a_declined_confirmation_undoes_the_run() -> None:
    run_id = sagas.start(Twice, Experiment())
    carried(run_id)
    assert sagas.decline(run_id, "payment", reason="card declined", by="bank") is State.COMPENSATING
    assert sagas.decline(run_id, "payment") is State.COMPENSATING
    carried(run_id)
    assert state(run_id) is State.FAILED
    why = reason(run_id)
    assert (why["kind"], why["step"], why["detail"]) == ("refused", "payment", "card declined")
    assert event(run_id, "refuse").worker == "bank"
    assert sagas.decline(run_id, "payment") is State.FAILED


def test_a_confirmation_that_came_cannot_be_declined() -> None:
    run_id = sagas.start(Twice, Experiment())
    carried(run_id)
    sagas.confirm(run_id, "payment", {})
    with pytest.raises(AlreadyDecided, match="payment has come"):
        sagas.decline(run_id, "payment")
    with pytest.raises(UnknownConfirmation):
        sagas.decline(run_id, "nothing")
    assert state(run_id) is State.AWAITING_CONFIRM


# -- Time-outs ------------------------------------------------------------------------------------------------


def before_its_hurried_step(seconds: float, **experiment: Any) -> tuple[UUID, Chain]:
    """A run that has stood before a step of five seconds for so long, and the message that performs it."""
    run_id = sagas.start(Hurried, Experiment(**experiment))
    (chain,) = chains(claim_all())
    _, following = deliver(chain)
    assert following is not None
    shift_log(run_id, seconds)
    return run_id, following


def test_a_step_past_its_timeout_is_not_performed_any_more() -> None:
    # Given
    run_id, following = before_its_hurried_step(6)

    # When
    performed, _ = deliver(following)

    # Then
    assert performed.survivors == []
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["one.forward", "one.compensate"]
    why = reason(run_id)
    assert (why["kind"], why["step"], why["code"]) == ("timeout", "two", "TimedOut")
    assert 900 <= why["late_ms"] < 5000


def test_a_step_gets_no_attempt_after_its_timeout() -> None:
    # Given a step that breaks, is tried every two seconds, and has five: begun three and a half ago
    run_id, following = before_its_hurried_step(3.5, faults={"two.forward": 9})

    # When it breaks
    deliver(following)

    # Then it is not waited for
    assert state(run_id) is State.COMPENSATING
    assert reason(run_id)["kind"] == "timeout"
    assert "attempt 1" in reason(run_id)["detail"]
    assert story(run_id).count("two.forward FAULT") == 1
    carried(run_id)
    assert state(run_id) is State.FAILED


def test_the_last_error_is_reported_though_the_database_cannot_store_its_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a step without time for a next attempt, and an error with a character that PostgreSQL's JSON has not
    monkeypatch.setattr(Boom, "__str__", lambda _: "a\x00b")
    run_id, following = before_its_hurried_step(3.5, faults={"two.forward": 9})

    # When
    deliver(following)

    # Then
    assert state(run_id) is State.COMPENSATING
    assert reason(run_id)["detail"].endswith("the last attempt: Boom: a\\0b")


def test_a_run_past_its_timeout_is_undone() -> None:
    # Given a run whose message is lost, and whose time is over
    run_id = sagas.start(Hurried, Experiment())
    claim_all()
    shift_clock([run_id], 41)

    # When
    claimed = claim(lapsed=True)

    # Then
    assert chains(claimed.messages) == []
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert (reason(run_id)["step"], reason(run_id)["detail"]) == ("", "the steps took too long")


def test_a_run_within_its_timeout_goes_on() -> None:
    run_id = sagas.start(Hurried, Experiment(faults={"two.forward": 1}))
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED
