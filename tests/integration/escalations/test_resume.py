"""Runs that a person resumes: what nobody answered is asked for again, and attempts are counted from the first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

import sagas
from sagas import Accepted, Call, Done, Parallel, Retry, Saga, State, Step
from sagas.errors import NoReport
from sagas.models import Log, Run
from tests.lab.models import Mark
from tests.lab.sagas import QUICK, Experiment, mark
from tests.support.carrier import Carrier
from tests.support.runs import let_time_pass, marks, mend, state, story

pytestmark = pytest.mark.usefixtures("alone", "jar")


def ask(call: Call[Experiment]) -> Accepted:
    Mark.objects.create(run_id=call.run_id, step=call.step, operation=call.operation)
    return Accepted(timedelta(hours=1))


class NeverAgain(Saga[Experiment]):
    """A courier that does not report is not asked again by the engine; but a person may have him asked."""

    courier = Step(mark, compensate=ask, queue="orders", retry=QUICK, finish_retry=replace(QUICK, never=(NoReport,)))
    four = Step(mark, queue="delivery", retry=QUICK)


class Once(Saga[Experiment]):
    """A courier that is asked once."""

    courier = Step(mark, compensate=ask, queue="orders", retry=QUICK, finish_retry=Retry(attempts=1))
    four = Step(mark, queue="delivery", retry=QUICK)


class Beside(Saga[Experiment]):
    """Behind the pivot two at the same time, of which one is reported."""

    one = Step(mark, queue="orders", retry=QUICK, pivot=True)
    sent = Parallel(left=Step(ask, queue="delivery", retry=QUICK), right=Step(mark, queue="orders", retry=QUICK))


def carried(*ids: UUID) -> None:
    Carrier().run(ids)


def resumed(run_id: UUID) -> None:
    sagas.resume(run_id, by="mei", note="the courier's phone is charged again")
    carried(run_id)


def attempts(run_id: UUID, step: str, outcome: str) -> list[int]:
    return list(
        Log.objects.filter(run_id=run_id, step=step, outcome=outcome).order_by("id").values_list("attempt", flat=True)
    )


@pytest.mark.parametrize("saga", [NeverAgain, Once])
def test_a_resumed_run_repeats_an_operation_without_a_report(jar: str, saga: type[Saga[Experiment]]) -> None:
    # Given a run that a person has because nobody has reported an undo in time
    run_id = sagas.start(saga, Experiment(jar=jar, reject=("four",)))
    carried(run_id)
    let_time_pass(run_id)
    carried(run_id)
    assert state(run_id) is State.ESCALATED
    assert marks(run_id)["courier.compensate"] == 1

    # When he resumes it
    resumed(run_id)

    # Then the courier is asked again, and may report
    assert state(run_id) is State.COMPENSATING
    assert story(run_id)[-2:] == ["resume", "courier.compensate ACCEPTED"]
    assert marks(run_id)["courier.compensate"] == 2
    sagas.report(run_id, "courier", Done(), operation="compensate")
    carried(run_id)
    assert state(run_id) is State.FAILED


def test_a_report_that_comes_after_the_resumption_counts(jar: str) -> None:
    # Given
    run_id = sagas.start(Once, Experiment(jar=jar, reject=("four",)))
    carried(run_id)
    let_time_pass(run_id)
    carried(run_id)

    # When it is reported after the resumption, before anybody has been asked again
    sagas.resume(run_id, by="mei", note="asked him myself")
    sagas.report(run_id, "courier", Done(), operation="compensate")

    # Then
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert marks(run_id)["courier.compensate"] == 1


def test_a_resumed_branch_has_all_its_attempts_and_the_run_waits_for_the_other(jar: str) -> None:
    # Given a run that a person has for one branch, while the other is under way
    run_id = sagas.start(Beside, Experiment(jar=jar, faults={"right.forward": 99}))
    carried(run_id)
    assert state(run_id) is State.ESCALATED
    assert attempts(run_id, "right", "FAULT") == [1, 2, 3]

    # When he resumes it, and has mended nothing
    resumed(run_id)

    # Then it is tried as often again
    assert state(run_id) is State.ESCALATED
    assert attempts(run_id, "right", "FAULT") == [1, 2, 3, 1, 2, 3]

    # And the other was not asked again, for its answer may still come
    assert marks(run_id)["left.forward"] == 1
    mend(run_id)
    resumed(run_id)
    assert (state(run_id), marks(run_id)["left.forward"]) == (State.CONFIRMING, 1)
    assert set(Run.objects.get(pk=run_id).pending or {}) == {"left"}
    assert sagas.report(run_id, "left", Done()) is State.SUCCEEDED


def test_a_branch_whose_report_is_overdue_is_repeated_when_the_run_is_resumed(jar: str) -> None:
    # Given the same, and nobody has reported the other branch meanwhile
    run_id = sagas.start(Beside, Experiment(jar=jar, faults={"right.forward": 99}))
    carried(run_id)
    pending = Run.objects.get(pk=run_id).pending or {}
    Run.objects.filter(pk=run_id).update(pending={**pending, "left": {**pending["left"], "until": 0}})

    # When
    mend(run_id)
    resumed(run_id)

    # Then
    assert (state(run_id), marks(run_id)["left.forward"]) == (State.CONFIRMING, 2)
    assert attempts(run_id, "left", "ACCEPTED") == [1, 1]
    assert sagas.report(run_id, "left", Done()) is State.SUCCEEDED
