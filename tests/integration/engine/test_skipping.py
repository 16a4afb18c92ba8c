"""Runs that skip steps by their ``when``: nothing of a skipped step is done, confirmed or undone, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

import sagas
from sagas import Confirmation, State, Step, runtime, store
from sagas.decisions.messages import Deadline
from sagas.engine.claiming import claim
from sagas.engine.shared_decisions import settle_some
from sagas.errors import InvalidRequest
from sagas.models import Definition, Log, Run
from sagas.selectors import run_view
from sagas.states import CARRIERS
from sagas.testing import given, given_run
from tests.lab.models import Mark
from tests.lab.sagas import Choosy, ChoosyCompressed, ChoosyParent, Experiment, mark
from tests.support.carrier import Carrier, claim_all
from tests.support.deploys import deploy, deploying, step
from tests.support.runs import effects, make_due, state

pytestmark = pytest.mark.usefixtures("alone")

ALL = ("one", "two", "three", "four")
SETS = [skip for count in range(len(ALL) + 1) for skip in combinations(ALL, count)]
#: For every day: none, a branch of a fork, a whole fork and what is behind the pivot, all that is before it, all.
FEW = [(), ("two",), ("two", "three", "four"), ("one", "two", "three"), ALL]


def left(skip: tuple[str, ...], *steps: str) -> list[str]:
    return [step for step in steps if step not in skip]


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(
    "skip", [pytest.param(s, marks=() if s in FEW else pytest.mark.slow) for s in SETS], ids="-".join
)
def test_a_run_does_what_it_does_not_skip(skip: tuple[str, ...], carrier: str, jar: str) -> None:
    request = Experiment(jar=jar, skip=skip)
    # A run that is confirmed does and confirms the other steps
    done = given(Choosy, request, carrier=carrier).when_confirmed()
    done.then_succeeded().then_done(*left(skip, *ALL)).then_skipped(*skip)
    confirmed = [f"{name}.confirm" for name in left(skip, "one", "three")]
    assert [effect for effect in effects(done.run_id) if effect.endswith("confirm")] == confirmed
    # One whose time is over undoes them
    late = given(Choosy, request, carrier=carrier).when_not_confirmed()
    late.then_compensated(*left(skip, "three", "two", "one"))
    # And nothing is said of the others
    for run_id in (done.run_id, late.run_id):
        assert not Log.objects.filter(run_id=run_id, step__in=skip).exists()
        assert not Mark.objects.filter(run_id=run_id, step__in=skip).exists()
        shown = run_view(run_id).steps
        assert [one.name for one in shown] == list(ALL)
        assert [one.name for one in shown if one.state == "skipped"] == list(skip)


def test_runs_with_and_without_a_step_mix(jar: str) -> None:
    # Given runs of one saga that skip different steps, all due at once
    runs = {Choosy.start(Experiment(jar=jar, skip=skip)): skip for skip in FEW * 2}
    for run_id in list(runs)[::2]:
        sagas.confirm(run_id, "approval", {})
    # When they are carried together, each message twice
    Carrier(copies=2).run(list(runs))
    for run_id in list(runs)[1::2]:
        sagas.confirm(run_id, "approval", {})
    Carrier(copies=2).run(list(runs))
    # Then each has done its own steps, each once
    for run_id, skip in runs.items():
        assert state(run_id) is State.SUCCEEDED
        forward = [effect.partition(".")[0] for effect in effects(run_id) if effect.endswith((".forward", ".try"))]
        assert sorted(forward) == sorted(left(skip, *ALL))


def test_a_condition_is_asked_once() -> None:
    asked: list[object] = []

    def when(request: object) -> bool:
        asked.append(request)
        return len(asked) == 1

    with deploying():
        saga = deploy({"a": step(), "b": Step(mark, compensate=mark, queue="orders", when=when)})
        run_id = sagas.start(saga, Experiment())
        assert len(asked) == 1
        # What this process remembers is lost, and all is delivered twice
        runtime.reset()
        Carrier(copies=2).run([run_id])
        assert len(asked) == 1
        assert [name for name in effects(run_id) if name.startswith("b")]


def refuse(_: object) -> bool:
    raise LookupError


@pytest.mark.parametrize("when", [refuse, lambda _: None])
def test_a_condition_that_does_not_answer_refuses_the_start(when: Any) -> None:
    with deploying():
        saga = deploy({"a": step(), "b": Step(mark, compensate=mark, queue="orders", when=when)})
        for start in (lambda: sagas.start(saga, Experiment()), lambda: sagas.start_sql(saga, Experiment())):
            with pytest.raises(InvalidRequest, match="whether b is performed"):
                start()
    assert not Run.objects.exists()


def test_a_start_by_sql_skips_steps_too(jar: str) -> None:
    start = sagas.start_sql(Choosy, Experiment(jar=jar, skip=("two",)))
    with connection.cursor() as cursor:
        cursor.execute(" ".join(["WITH", start.ctes, "SELECT id FROM sagas_started"]), start.params)
    given_run(start.run_id).when_confirmed().then_succeeded().then_done("one", "three", "four").then_skipped("two")


# -- All steps before the pivot, or all steps -----------------------------------------------------------------


def test_a_run_that_skips_everything_waits_for_its_confirmation_all_the_same() -> None:
    run_id = Choosy.start(Experiment(skip=ALL))
    # When it is claimed, it begins, and its time with it
    claimed = claim()
    run = Run.objects.get(pk=run_id)
    assert run.state == State.AWAITING_CONFIRM
    assert run.started_at is not None
    # Each is the clock's time when it is written.
    assert run.deadline is not None
    assert abs(run.deadline - run.started_at - timedelta(seconds=30)) < timedelta(seconds=1)
    deadlines = [message for message in claimed.messages if isinstance(message, Deadline)]
    assert [(one.confirmation, one.ids) for one in deadlines] == [("approval", (run_id,))]
    # And it is not claimed before its deadline
    assert claim_all() == []
    # And its confirmation ends it
    assert sagas.confirm(run_id, "approval", {}).state is State.CONFIRMING
    claim_all()
    assert state(run_id) is State.SUCCEEDED
    assert effects(run_id) == []


def test_it_may_be_confirmed_before_it_begins() -> None:
    run_id = Choosy.start(Experiment(skip=("one", "two", "three")))
    sagas.confirm(run_id, "approval", {})
    Carrier().run([run_id])
    assert state(run_id) is State.SUCCEEDED
    assert effects(run_id) == ["four.forward"]


@pytest.mark.parametrize("begun", [False, True])
def test_it_may_be_cancelled(begun: bool) -> None:
    run_id = Choosy.start(Experiment(skip=ALL))
    if begun:
        claim()
    sagas.cancel(run_id, reason="no longer wanted", by="a test")
    claim_all()
    assert state(run_id) is State.FAILED


def test_what_has_come_is_given_back_though_nothing_was_done() -> None:
    run_id = Choosy.start(Experiment(skip=ALL))
    sagas.confirm(run_id, "approval", {})
    # When a person ends it as failed
    store_escalated(run_id)
    sagas.resolve(run_id, outcome=State.FAILED, by="a test", note="nobody wants it")
    Carrier().run([run_id])
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["approval.compensate"]


def store_escalated(run_id: UUID) -> None:
    """Let claims of it come to nothing, until a person is called."""
    Run.objects.filter(pk=run_id).update(claims=6)
    claim_all(lapsed=True)
    assert state(run_id) is State.ESCALATED


def test_without_a_confirmation_it_succeeds_at_once() -> None:
    run_id = ChoosyCompressed.start(Experiment(skip=("one", "two")))
    claim()
    assert state(run_id) is State.SUCCEEDED


@pytest.mark.parametrize("skip", [("one",), ("two",)], ids="-".join)
def test_a_compressed_run_does_the_others_in_one_commit(skip: tuple[str, ...]) -> None:
    given(ChoosyCompressed, Experiment(skip=skip)).then_succeeded().then_done(*left(skip, "one", "two"))


@pytest.mark.parametrize("skip", [("one",), ("one", "two")], ids="-".join)
def test_a_child_may_skip_its_own_steps(skip: tuple[str, ...]) -> None:
    given(ChoosyParent, Experiment(skip=skip)).when_confirmed().then_succeeded().then_done("one", "child")
    given(ChoosyParent, Experiment(skip=skip)).when_cancelled().then_compensated("child", "one")


def test_a_child_that_is_skipped_is_never_started() -> None:
    skipping = given(ChoosyParent, Experiment(skip=("child",))).when_confirmed()
    skipping.then_succeeded().then_done("one")
    assert not Run.objects.filter(parent_id=skipping.run_id).exists()


# -- Deploys ----------------------------------------------------------------------------------------------------


def approval() -> Confirmation:
    return Confirmation(within=timedelta(seconds=30), needs_compensation=False)


@pytest.fixture
def deploys() -> Iterator[None]:
    with deploying():
        yield


def choosing(*, performs: bool) -> Step:
    return Step(mark, confirm=mark, compensate=mark, queue="orders", when=lambda _: performs)


@pytest.mark.usefixtures("deploys")
@pytest.mark.parametrize("then", ["another answer", "no condition", "no step"])
def test_a_deploy_does_not_ask_runs_again_that_have_begun(then: str) -> None:
    old = deploy({"approval": approval(), "a": step(), "b": choosing(performs=False), "c": step()})
    run_id = sagas.start(old, Experiment())
    match then:
        case "another answer":
            changed = {"b": choosing(performs=True)}
        case "no condition":
            changed = {"b": step()}
        case _:
            changed = {}
    new = deploy({"approval": approval(), "a": step(), **changed, "c": step()})
    after = sagas.start(new, Experiment())
    for one in (run_id, after):
        sagas.confirm(one, "approval", {})
    Carrier().run([run_id, after])
    # The old run has skipped its step, and says so, whatever the code says now
    assert state(run_id) is state(after) is State.SUCCEEDED
    assert effects(run_id) == ["a.forward", "c.forward"]
    assert [(one.name, one.state) for one in run_view(run_id).steps][1] == ("b", "skipped")
    # And the new one does what the code says
    assert ("b.forward" in effects(after)) is bool(changed)


@pytest.mark.usefixtures("deploys")
def test_a_run_that_performs_a_step_needs_it_and_one_that_skips_it_does_not() -> None:
    optional = Step(mark, queue="orders", when=lambda request: not request.skip)
    old = deploy({"approval": approval(), "a": step(), "b": optional})
    performs, skips = sagas.start(old, Experiment()), sagas.start(old, Experiment(skip=("b",)))
    deploy({"approval": approval(), "a": step()})
    (problem,) = store.definitions.problems()
    assert (problem.live, problem.what) == (1, "step b is gone")
    sagas.confirm(skips, "approval", {})
    Carrier().run([skips])
    assert state(skips) is State.SUCCEEDED
    assert state(performs) is State.PENDING


def test_all_shapes_are_recorded_by_the_first_start() -> None:
    Definition.objects.filter(saga=Choosy.definition.name).delete()
    Choosy.start(Experiment(skip=("one",)))
    # Two transactions that start the first runs of two variants would wait for each other otherwise
    assert Definition.objects.filter(saga=Choosy.definition.name).count() == 2 ** len(ALL)
    # And an index that lists the kinds of plain runs knows each of them
    assert store.definitions.is_own(store.definitions.find(*Run.objects.values_list("saga", "version", "shape").get()))


def test_lapsed_leases_bring_back_what_begins_with_nothing_to_do() -> None:
    run_id = Choosy.start(Experiment(skip=ALL))
    make_due([run_id], since=20)
    claim_all(lapsed=True)
    claim_all()
    assert state(run_id) is State.AWAITING_CONFIRM


@pytest.mark.usefixtures("deploys")
@pytest.mark.parametrize("decided", ["before it starts", "while it waits"])
def test_a_decision_for_many_reaches_a_run_that_has_nothing_to_do(decided: str) -> None:
    formed = Confirmation(decided_by=lambda request: request.group, needs_compensation=False)
    saga = deploy({"formed": formed, "a": choosing(performs=False)})
    if decided == "before it starts":
        sagas.decide(saga, "formed", "tea", {})
    run_id = sagas.start(saga, Experiment(group="tea"))
    claim_all()
    if decided == "while it waits":
        assert state(run_id) is State.AWAITING_CONFIRM
        sagas.decide(saga, "formed", "tea", {})
        settle_some()
        claim_all()
    assert state(run_id) is State.SUCCEEDED
    assert effects(run_id) == []
