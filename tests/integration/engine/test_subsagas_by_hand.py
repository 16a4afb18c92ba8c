"""A person ends a parent or a child by hand: the other ends too, or another person is called."""

from __future__ import annotations

import logging
from uuid import UUID

import pytest
from django.db import OperationalError, transaction

import sagas
from sagas import State, store
from sagas.engine.compensation import escalate
from sagas.engine.subsagas import child_run_id
from sagas.errors import AlreadyDecided
from sagas.store.moves import event_entry
from tests.lab.sagas import AskedGuardian, Experiment, Guardian
from tests.support.carrier import Carrier
from tests.support.runs import effects, escalation, let_time_pass, state, story

pytestmark = pytest.mark.usefixtures("alone", "jar")


def go_on(*ids: UUID) -> None:
    """Everything that comes by itself, however long it takes."""
    for _ in range(12):
        for run_id in ids:
            let_time_pass(run_id)
        Carrier().run(list(ids))


def hand_over(run_id: UUID) -> None:
    """A person has it, from where it stands."""
    with transaction.atomic():
        escalate(store.runs.lock([run_id])[0], event_entry("escalate"), "{}")


class Family:
    """A parent with one child."""

    def __init__(self, experiment: Experiment) -> None:
        self.parent = sagas.start(Guardian, experiment)
        self.child = child_run_id(self.parent, "child")
        self.go_on()

    def go_on(self) -> None:
        go_on(self.parent, self.child)

    @property
    def states(self) -> tuple[State, State]:
        return state(self.parent), state(self.child)


def assert_a_person_is_called(family: Family, operation: str, told: str) -> None:
    assert state(family.parent) is State.ESCALATED
    found = escalation(family.parent)
    assert (found.step, found.operation, found.error["code"]) == ("child", operation, "ChildEnded")
    assert told in found.suggestion
    # At once: to ask again would change nothing
    assert story(family.parent).count(f"child.{operation} FAULT") == 1


def test_a_child_resolved_as_succeeded_escalates_its_compensating_parent() -> None:
    # Given
    family = Family(Experiment(reject=("four",), faults={"two.compensate": 99}))
    assert family.states == (State.COMPENSATING, State.ESCALATED)
    # When
    sagas.resolve(family.child, outcome=State.SUCCEEDED, by="mei", note="it is delivered, and cannot be undone")
    family.go_on()
    # Then
    assert_a_person_is_called(family, "compensate", "was ended by hand, and is confirmed; this run wants it undone")


def test_a_child_resolved_as_failed_escalates_its_confirming_parent() -> None:
    family = Family(Experiment(faults={"two.confirm": 99}))
    assert family.states == (State.CONFIRMING, State.ESCALATED)
    sagas.resolve(family.child, outcome=State.FAILED, by="mei", note="undone by hand")
    family.go_on()
    assert_a_person_is_called(family, "confirm", "was ended by hand, and is undone; this run wants it confirmed")


def test_a_child_that_was_confirmed_by_hand_before_its_parent_decides_is_done() -> None:
    family = Family(Experiment(reject=("three",), faults={"two.compensate": 99}))
    assert family.states == (State.EXECUTING, State.ESCALATED)
    sagas.resolve(family.child, outcome=State.SUCCEEDED, by="mei", note="done by hand")
    family.go_on()
    # Its parent goes on, and ends as it did
    assert family.states == (State.SUCCEEDED, State.SUCCEEDED)


def test_a_child_that_was_confirmed_by_hand_is_not_undone_with_its_parent() -> None:
    # Given the same, and the parent's own last step will say no
    family = Family(Experiment(reject=("three", "four"), faults={"two.compensate": 99}))
    sagas.resolve(family.child, outcome=State.SUCCEEDED, by="mei", note="done by hand")
    family.go_on()
    assert_a_person_is_called(family, "compensate", "is confirmed; this run wants it undone")


def broken() -> Family:
    """A parent that a person has, whose child still holds what it has."""
    family = Family(Experiment(reject=("five",), faults={"four.compensate": 99}))
    assert family.states == (State.ESCALATED, State.AWAITING_CONFIRM)
    return family


@pytest.mark.parametrize("outcome", [State.FAILED, State.SUCCEEDED])
@pytest.mark.parametrize("lost", [False, True])
def test_a_parent_that_was_ended_by_hand_takes_its_child_along(
    monkeypatch: pytest.MonkeyPatch, outcome: State, lost: bool
) -> None:
    # Given
    family = broken()

    def breaks(*_: object) -> None:
        raise OperationalError

    # When
    with monkeypatch.context() as patched:
        if lost:
            # The process dies behind the commit, or the database is away
            patched.setattr("sagas.engine.subsagas.end_children", breaks)
        sagas.resolve(family.parent, outcome=outcome, by="mei", note="done by hand")
    if not lost:
        assert state(family.child) in {State.CONFIRMING, State.COMPENSATING}
    family.go_on()

    # Then it is told, or finds out when it looks
    assert family.states == (outcome, outcome)
    undone = ["three.compensate", "two.compensate"]
    assert effects(family.child)[2:] == (undone if outcome is State.FAILED else ["two.confirm"])


@pytest.mark.parametrize("outcome", [State.FAILED, State.SUCCEEDED])
def test_a_child_whose_parent_has_ended_can_be_cancelled(monkeypatch: pytest.MonkeyPatch, outcome: State) -> None:
    # Given a child that has not heard of it
    family = broken()
    monkeypatch.setattr("sagas.engine.subsagas.end_children", lambda *_: None)
    sagas.resolve(family.parent, outcome=outcome, by="mei", note="done by hand")
    # Then it may be undone, but not against its parent
    if outcome is State.SUCCEEDED:
        with pytest.raises(AlreadyDecided, match="which has succeeded"):
            sagas.cancel(family.child)
    else:
        assert sagas.cancel(family.child) is State.COMPENSATING
    family.go_on()
    assert family.states == (outcome, outcome)


@pytest.mark.parametrize("outcome", [State.FAILED, State.SUCCEEDED])
def test_an_escalated_child_follows_its_parent_when_it_is_resumed(outcome: State) -> None:
    # Given both escalated, the child while it holds what it has
    family = broken()
    hand_over(family.child)
    # When
    sagas.resolve(family.parent, outcome=outcome, by="mei", note="done by hand")
    assert state(family.child) is State.ESCALATED
    sagas.resume(family.child, by="mei")
    family.go_on()
    # Then
    assert family.states == (outcome, outcome)


def test_a_child_that_ended_differently_from_its_parent_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    # Given a child that was undone with its parent, which a person then calls a success
    family = Family(Experiment(reject=("four",), faults={"one.compensate": 99}))
    assert family.states == (State.ESCALATED, State.FAILED)
    with caplog.at_level(logging.WARNING, logger="sagas.engine.subsagas"):
        sagas.resolve(family.parent, outcome=State.SUCCEEDED, by="mei", note="delivered after all")
    assert f"its child {family.child} is FAILED" in caplog.text


def test_a_child_accepts_its_confirmation_after_its_parent_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a child that waits for its own approval, and whose parent was ended meanwhile without its hearing of it
    parent = sagas.start(AskedGuardian, Experiment())
    child = child_run_id(parent, "child")
    go_on(parent)
    hand_over(parent)
    monkeypatch.setattr("sagas.engine.subsagas.end_children", lambda *_: None)
    sagas.resolve(parent, outcome=State.FAILED, by="mei", note="undone by hand")
    Carrier().run([child])
    assert state(child) is State.AWAITING_CONFIRM
    # When
    assert sagas.confirm(child, "approval", {}).state is State.COMPENSATING
    Carrier().run([child])
    # Then
    assert state(child) is State.FAILED
