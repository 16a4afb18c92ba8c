"""Between two attempts a run waits, whatever the network delivers meanwhile."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

import sagas
from sagas import State
from sagas.errors import NoReport
from sagas.models import Run
from tests.lab.sagas import Boom, Experiment, Forked, Hopeless, Reported, Unconfirmed
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.runs import (
    assert_effects_once,
    effects,
    escalation,
    let_time_pass,
    never,
    state,
    story,
)

pytestmark = pytest.mark.usefixtures("alone")
#: What is in the jar.
JAR = 10


@pytest.mark.parametrize("step", ["one", "two"])
def test_a_second_copy_of_a_message_is_no_second_attempt(step: str) -> None:
    # Given a run whose step breaks, one attempt before the last
    run_id = sagas.start(Unconfirmed, Experiment(faults={f"{step}.forward": 1}))
    carrier = Carrier()
    carrier.run([run_id], until=lambda: Run.objects.get(pk=run_id).attempt == 1)
    (broken,) = carrier.delivered[-1:]
    assert story(run_id)[-1] == f"{step}.forward FAULT"
    before = story(run_id)

    # When the message comes again, and again
    for _ in range(2):
        deliver(broken)

    # Then the run still waits for its second attempt
    assert story(run_id) == before
    assert Run.objects.get(pk=run_id).attempt == 1

    # And has it when its time has come
    Carrier().run([run_id])
    assert state(run_id) is State.SUCCEEDED
    assert_effects_once(run_id)


def test_a_retry_that_is_delivered_twice_is_one() -> None:
    run_id = sagas.start(Unconfirmed, Experiment(faults={"two.forward": 1}))
    Carrier(copies=1).run([run_id], until=lambda: Run.objects.get(pk=run_id).attempt == 1)
    Run.objects.filter(pk=run_id).update(due_at="2000-01-01T00:00:00Z")
    (retry,) = chains(claim_all())
    for _ in range(2):
        deliver(retry)
    assert state(run_id) is State.SUCCEEDED
    assert_effects_once(run_id)


@pytest.mark.parametrize("step", ["one", "two", "three", "charge"])
def test_an_error_that_is_never_retried_undoes_the_run_at_once(step: str, jar: str) -> None:
    operation = "try" if step == "three" else "forward"
    run_id = sagas.start(Hopeless, Experiment(jar=jar, faults={f"{step}.{operation}": 1}))
    Carrier().run([run_id])
    assert state(run_id) is State.FAILED
    assert story(run_id).count(f"{step}.{operation} FAULT") == 1
    assert_effects_once(run_id)


@pytest.mark.parametrize(
    ("where", "asked"),
    [
        ("three.confirm", {}),
        ("four.forward", {}),
        ("one.compensate", {"reject": ("charge",)}),
        ("two.compensate", {"reject": ("charge",)}),
    ],
    ids=["confirm", "behind the pivot", "one-call undo", "set-based undo"],
)
def test_an_error_of_a_confirm_or_an_undo_that_is_never_retried_escalates_at_once(
    where: str, asked: dict[str, Any], jar: str
) -> None:
    # Given an operation that cannot be given up, and an error that another attempt cannot mend
    run_id = sagas.start(Hopeless, Experiment(jar=jar, faults={where: 1}, **asked))
    Carrier().run([run_id])
    assert state(run_id) is State.ESCALATED
    assert story(run_id).count(f"{where} FAULT") == 1

    # And nobody tries it again
    Carrier().run([run_id])
    assert story(run_id).count(f"{where} FAULT") == 1


@pytest.mark.parametrize("where", ["left.forward", "right.forward", "three.try"])
def test_a_branch_that_is_never_retried_undoes_the_others(
    where: str, jar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    never(monkeypatch, Forked, Boom)
    run_id = sagas.start(Forked, Experiment(jar=jar, faults={where: 1}))
    Carrier(random=Random(7), copies=2).run([run_id])
    assert state(run_id) is State.FAILED
    assert story(run_id).count(f"{where} FAULT") == 1


def test_a_missing_report_need_not_lead_to_another_attempt(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an operation that was accepted, and must not be begun twice
    never(monkeypatch, Reported, NoReport)
    run_id = sagas.start(Reported, Experiment(jar=jar))
    Carrier().run([run_id])
    assert story(run_id)[-1] == "two.forward ACCEPTED"

    # When nobody reports
    let_time_pass(run_id)
    Carrier().run([run_id])

    # Then it is undone, for it may have taken effect
    assert state(run_id) is State.FAILED
    assert story(run_id).count("two.forward ACCEPTED") == story(run_id).count("two.forward FAULT") == 1
    assert effects(run_id) == ["one.forward", "two.compensate", "one.compensate"]


def test_an_undo_reported_as_refused_escalates_at_once(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an undo that somebody will report
    never(monkeypatch, Reported, sagas.Rejected)
    run_id = sagas.start(Reported, Experiment(jar=jar, reject=("four",)))
    Carrier().run([run_id])
    sagas.report(run_id, "two", sagas.Done())
    Carrier().run([run_id])
    sagas.report(run_id, "left", sagas.Done())
    Carrier().run([run_id])
    assert story(run_id)[-1] == "left.compensate ACCEPTED"

    # When the report says no, which nobody may say to an undo
    sagas.report(run_id, "left", sagas.Rejected("It has been delivered."), operation="compensate")

    # Then
    assert state(run_id) is State.ESCALATED
    assert escalation(run_id).error["detail"] == "It has been delivered."


def test_neighbours_of_a_run_that_is_never_retried_go_on(jar: str) -> None:
    bad = sagas.start(Hopeless, Experiment(jar=jar, faults={"two.forward": 9}))
    good = [sagas.start(Hopeless, Experiment(jar=jar)) for _ in range(5)]
    Carrier().run([bad, *good])
    assert state(bad) is State.FAILED
    assert {state(run_id) for run_id in good} == {State.SUCCEEDED}
