"""Reports that come twice, late, for another operation than is under way, or for a run that a person has."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

import sagas
from sagas import Accepted, Call, Done, Rejected, Saga, State, Tcc
from sagas.errors import NotAwaited, UnknownStep
from tests.lab.sagas import QUICK, Experiment, Reported, judge
from tests.support.carrier import Carrier
from tests.support.runs import let_time_pass, state, story

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

    courier = Tcc(Courier(), queue="orders", retry=QUICK, finish=QUICK)


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


def test_what_was_not_begun_is_not_reported(jar: str) -> None:
    run_id = started(Couriered, jar)
    before = story(run_id)
    for operation in ("confirm", "cancel"):
        with pytest.raises(NotAwaited, match=f"the {operation} of .*Couriered.courier of {run_id} has not been begun"):
            sagas.report(run_id, "courier", Done(), operation=operation)
    with pytest.raises(UnknownStep, match="courier has no operation 'compensate'"):
        sagas.report(run_id, "courier", Done(), operation="compensate")
    assert story(run_id) == before
    assert sagas.report(run_id, "courier", Rejected("no"), operation="try") is State.COMPENSATING
