"""A step that is a saga: parent and child on the real database, with every message in this test's hand."""

from __future__ import annotations

from random import Random
from unittest.mock import patch
from uuid import UUID

import pytest
from django.db import OperationalError

import sagas
from sagas import State
from sagas.engine.subsagas import child_run_id
from sagas.errors import AlreadyDecided, UnknownConfirmation
from sagas.models import Run
from sagas.store.locked_runs import PARENT
from tests.lab import sagas as lab
from tests.lab.sagas import Experiment, Parent
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.runs import counts, due_in, effects, let_time_pass, reason, shift_clock, shift_log, state, story

pytestmark = pytest.mark.usefixtures("alone", "jar")
#: What is in the jar.
JAR = 10


class Family:
    """A parent and its two children."""

    def __init__(self, experiment: Experiment) -> None:
        self.parent = sagas.start(Parent, experiment, business_key="family")
        self.child = child_run_id(self.parent, "child")
        self.asked = child_run_id(self.parent, "asked")

    def carried(self, *, seed: int | None = None, copies: int = 1) -> None:
        """Let all happen that happens by itself; nothing gets lost."""
        random = None if seed is None else Random(seed)
        for _ in range(8):
            Carrier(random=random, copies=copies).run([self.parent, self.child, self.asked])

    def states(self) -> tuple[State, State, State]:
        return state(self.parent), state(self.child), state(self.asked)


SEEDS = pytest.mark.parametrize(("seed", "copies"), [(None, 1), (1, 2), (2, 2)])


@SEEDS
def test_the_children_are_confirmed_with_their_parent(jar: str, seed: int | None, copies: int) -> None:
    # Given
    family = Family(Experiment(jar=jar))
    family.carried(seed=seed, copies=copies)
    # Then the one holds what it has, the other waits for its own confirmation; and the parent for both
    assert family.states() == (State.EXECUTING, State.AWAITING_CONFIRM, State.AWAITING_CONFIRM)
    assert "child.forward DONE" in story(family.parent)

    # When that comes, and the parent's
    sagas.confirm(family.asked, "approval", {})
    family.carried(seed=seed, copies=copies)
    assert family.states() == (State.AWAITING_CONFIRM, State.AWAITING_CONFIRM, State.AWAITING_CONFIRM)
    assert counts(jar) == (9, 1, 0)
    sagas.confirm(family.parent, "payment", {})
    family.carried(seed=seed, copies=copies)

    # Then
    assert family.states() == (State.SUCCEEDED, State.SUCCEEDED, State.SUCCEEDED)
    assert counts(jar) == (9, 0, 1)
    results = Run.objects.get(pk=family.parent).results
    assert results["child"]["run"] == str(family.child)
    assert results["child"]["results"]["two"] == {"by": "two"}


@SEEDS
def test_a_child_that_fails_undoes_its_parent_and_its_sibling(jar: str, seed: int | None, copies: int) -> None:
    family = Family(Experiment(jar=jar, quantity=11))
    family.carried(seed=seed, copies=copies)
    assert family.states() == (State.FAILED, State.FAILED, State.FAILED)
    assert reason(family.parent)["step"] == "child"
    assert reason(family.parent)["detail"] == f"{jar}: 11 wanted, 10 left"
    assert counts(jar) == (10, 0, 0)


@SEEDS
def test_a_parent_that_is_undone_undoes_its_children(jar: str, seed: int | None, copies: int) -> None:
    # Given a parent whose last step says no, after its children hold what they have
    family = Family(Experiment(jar=jar, reject=("four",)))
    family.carried(seed=seed, copies=copies)
    sagas.confirm(family.asked, "approval", {})
    family.carried(seed=seed, copies=copies)

    # Then
    assert family.states() == (State.FAILED, State.FAILED, State.FAILED)
    assert effects(family.child) == ["two.forward", "three.try", "three.cancel", "two.compensate"]
    assert counts(jar) == (10, 0, 0)


def test_a_cancelled_parent_undoes_children_under_way(jar: str) -> None:
    # Given children that have begun
    family = Family(Experiment(jar=jar))
    for chain in chains(claim_all()):
        performed, _ = deliver(chain)
        for branch in chains(performed.messages):
            deliver(branch)
    child = next(chain for chain in chains(claim_all()) if family.child in chain.ids)
    deliver(child)

    # When
    sagas.cancel(family.parent)
    family.carried()
    let_time_pass(family.parent)
    family.carried()

    # Then
    assert family.states() == (State.FAILED, State.FAILED, State.FAILED)


def test_a_parent_does_not_wait_for_a_child_that_was_never_started(jar: str) -> None:
    family = Family(Experiment(jar=jar))
    (chain,) = chains(claim_all())
    performed, _ = deliver(chain)
    sagas.cancel(family.parent)
    for branch in chains(performed.messages):
        deliver(branch)
    Carrier().run([family.parent])
    assert state(family.parent) is State.FAILED
    assert not Run.objects.filter(parent_id=family.parent).exists()


def test_an_expired_deadline_of_a_child_undoes_the_family(jar: str) -> None:
    family = Family(Experiment(jar=jar))
    family.carried()
    shift_clock([family.asked], 40)
    family.carried()
    assert family.states() == (State.FAILED, State.FAILED, State.FAILED)
    assert reason(family.parent)["step"] == "asked"
    assert reason(family.parent)["code"] == "NotConfirmed"


def test_a_child_cannot_be_cancelled_without_its_parent(jar: str) -> None:
    family = Family(Experiment(jar=jar))
    family.carried()
    with pytest.raises(AlreadyDecided, match=f"is a step of {family.parent}"):
        sagas.cancel(family.child)
    # One that is not that far may be, and takes the others along.
    sagas.cancel(family.asked)
    family.carried()
    assert family.states() == (State.FAILED, State.FAILED, State.FAILED)


def test_only_the_parent_confirms_a_held_child(jar: str) -> None:
    run_id: UUID = Family(Experiment(jar=jar)).parent
    with pytest.raises(UnknownConfirmation):
        sagas.confirm(run_id, PARENT, {})


def test_a_held_child_waits_without_being_claimed(jar: str) -> None:
    family = Family(Experiment(jar=jar))
    family.carried()
    due = Run.objects.get(pk=family.child).due_at
    started = Run.objects.get(pk=family.child).started_at
    assert due is not None
    assert started is not None
    assert (due - started).total_seconds() > 3000


def test_a_lost_message_from_a_child_is_made_up_for(jar: str) -> None:
    # Given a child that holds what it has, of which nobody told the parent
    family = Family(Experiment(jar=jar))
    carrier = Carrier()
    carrier.wakes = False
    for _ in range(4):
        carrier.run([family.parent, family.child, family.asked])
    assert state(family.child) is State.AWAITING_CONFIRM
    assert "child.forward DONE" not in story(family.parent)

    # When its parent looks by itself
    let_time_pass(family.parent)
    family.carried()

    # Then
    assert "child.forward DONE" in story(family.parent)


def test_a_parent_of_an_escalated_child_polls_ever_less_often_and_writes_nothing(jar: str) -> None:
    # Given a parent that is undone, and a child that cannot be
    family = Family(Experiment(jar=jar, faults={"three.cancel": 99}))
    family.carried()
    sagas.cancel(family.parent)
    family.carried()
    assert family.states()[:2] == (State.COMPENSATING, State.ESCALATED)
    assert story(family.parent)[-1] == "child.compensate ACCEPTED"
    before = story(family.parent)

    # When the person takes hours
    waits = []
    for _ in range(9):
        waits.append(round(due_in(family.parent)))
        shift_log(family.parent, waits[-1])
        let_time_pass(family.parent)
        family.carried()

    # Then
    assert story(family.parent) == before
    assert waits[0] == pytest.approx(30, abs=5)
    assert waits == sorted(waits)
    assert due_in(family.parent) == pytest.approx(1920, abs=60)

    # When the person has mended it
    with patch.object(lab, "judge", lambda _: None):
        sagas.resume(family.child, by="somebody")
        family.carried()

    # Then at once
    assert family.states() == (State.FAILED, State.FAILED, State.FAILED)


def test_an_error_after_the_commit_is_no_fault_of_the_run(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a confirmed parent, and a child that cannot be told so: the database is gone right behind the commit
    family = Family(Experiment(jar=jar))
    family.carried()
    sagas.confirm(family.asked, "approval", {})
    family.carried()
    sagas.confirm(family.parent, "payment", {})
    told: list[UUID] = []

    def breaks(child: UUID, *_: object) -> None:
        told.append(child)
        raise OperationalError

    with monkeypatch.context() as patched:
        patched.setattr("sagas.engine.subsagas.confirm_child", breaks)
        family.carried()
    # Then nobody is blamed, and it is told when the parent looks again
    assert told
    assert not [line for line in story(family.parent) if line.endswith("FAULT")]
    let_time_pass(family.parent)
    family.carried()
    assert family.states() == (State.SUCCEEDED, State.SUCCEEDED, State.SUCCEEDED)


def test_a_decision_does_not_fail_because_of_an_error_after_its_commit(
    jar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a child that a person has
    family = Family(Experiment(jar=jar, reject=("four",), faults={"two.compensate": 9}))
    family.carried()
    sagas.confirm(family.asked, "approval", {})
    family.carried()
    assert state(family.child) is State.ESCALATED

    # When somebody ends it, and its parent cannot be woken
    def breaks(*_: object) -> None:
        raise OperationalError

    with monkeypatch.context() as patched:
        patched.setattr("sagas.engine.lifecycle.wake_run", breaks)
        assert sagas.resolve(family.child, outcome=State.FAILED, by="ada", note="by hand") is State.FAILED
    # Then the parent finds out all the same
    let_time_pass(family.parent)
    family.carried()
    assert family.states() == (State.FAILED, State.FAILED, State.FAILED)
