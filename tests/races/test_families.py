"""Parents and children: what becomes of a child, and what its parent wants of it, at the same time."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import transaction

import sagas
from sagas import State, store
from sagas.decisions.messages import Chain
from sagas.engine import lifecycle
from sagas.engine.compensation import escalate
from sagas.engine.performing import perform
from sagas.engine.subsagas import child_run_id
from sagas.models import Run
from sagas.store.moves import event_entry
from tests.lab.sagas import Experiment, Parent
from tests.races.racing import COMMIT, Race
from tests.support.carrier import Carrier
from tests.support.runs import counts, make_due, state

pytestmark = pytest.mark.usefixtures("alone")


class Family:
    """A parent whose first child is at its last step; ``last`` is that step's message."""

    def __init__(self, jar: str) -> None:
        self.parent = sagas.start(Parent, Experiment(jar=jar))
        self.child, self.asked = child_run_id(self.parent, "child"), child_run_id(self.parent, "asked")
        self.carrier = Carrier()
        self.carrier.run(self.members, until=lambda: self._message() is not None)
        found = self._message()
        assert found is not None
        self.carrier.waiting.remove(found)
        self.last = found

    @property
    def members(self) -> list[UUID]:
        """All of them."""
        return [self.parent, self.child, self.asked]

    def _message(self) -> Chain | None:
        chains = [chain for chain in self.carrier.waiting if self.child in chain.ids]
        return next((chain for chain in chains if chain.links[0].step == "three"), None)

    def perform_last(self) -> list[UUID]:
        """The child's last step."""
        performed = perform(self.last.links[0], self.last.ids)
        self.carrier.post(performed.messages)
        return performed.survivors

    def cancel_child(self) -> State:
        """What the parent's undo asks for after its commit."""
        return lifecycle.cancel_run(self.child, reason="", by="parent", by_parent=True)[0]

    def carry(self) -> None:
        """To the end, patience and all."""
        for _ in range(20):
            if {state(member) for member in self._there()} <= {State.FAILED, State.SUCCEEDED}:
                return
            make_due(self._there())
            Carrier().run(self.members)
        raise AssertionError({member: state(member) for member in self._there()})

    def _there(self) -> list[UUID]:
        return list(Run.objects.filter(pk__in=self.members).values_list("pk", flat=True))


@pytest.fixture
def family(jar: str) -> Family:
    return Family(jar)


def test_the_child_ends_its_steps_before_its_parent_undoes_it(race: Race, family: Family, jar: str) -> None:
    sagas.cancel(family.parent)
    _, told = race.overtake(family.perform_last, family.cancel_child)
    # What the child has just done is undone with the rest
    assert told is State.COMPENSATING
    family.carry()
    assert [state(member) for member in (family.parent, family.child)] == [State.FAILED] * 2
    assert counts(jar) == (1000, 0, 0)


def test_the_parent_undoes_the_child_before_its_last_step(race: Race, family: Family, jar: str) -> None:
    sagas.cancel(family.parent)
    told, survivors = race.overtake(family.cancel_child, family.perform_last)
    assert (told, survivors) == (State.COMPENSATING, [])
    family.carry()
    assert [state(member) for member in (family.parent, family.child)] == [State.FAILED] * 2
    assert counts(jar) == (1000, 0, 0)


def test_the_cancel_of_a_parent_does_not_wait_for_its_child(race: Race, family: Family, jar: str) -> None:
    # Given a child in the middle of its last step
    working = race.start(family.perform_last, COMMIT)
    # When its parent is cancelled, that does not wait: parent and child never lock each other
    assert race.start(lambda: sagas.cancel(family.parent)).outcome() is State.COMPENSATING
    working.go()
    working.await_end()
    family.carry()
    assert [state(member) for member in (family.parent, family.child)] == [State.FAILED] * 2
    assert counts(jar) == (1000, 0, 0)


@pytest.mark.parametrize("outcome", [State.FAILED, State.SUCCEEDED])
@pytest.mark.parametrize("first", ["last step", "person"])
def test_an_operator_resolves_the_parent_at_the_childs_last_step(
    race: Race, family: Family, jar: str, first: str, outcome: State
) -> None:
    # Given a parent that a person has, in the middle of its steps
    with transaction.atomic():
        escalate(store.runs.lock([family.parent])[0], event_entry("escalate"), "{}")

    def resolve() -> State:
        """Behind its commit the child is told, and waits for the child's lock; never with the parent's."""
        return sagas.resolve(family.parent, outcome=outcome, by="mei", note="by hand")

    # When
    if first == "last step":
        race.overtake(family.perform_last, resolve)
    else:
        resolve()
        family.perform_last()

    # Then the child ends as its parent did
    for _ in range(6):
        make_due([family.child])
        Carrier().run([family.child])
    assert (state(family.parent), state(family.child)) == (outcome, outcome)
    assert counts(jar) == ((1000, 0, 0) if outcome is State.FAILED else (999, 0, 1))


@pytest.mark.parametrize("first", ["word of the child", "cancel"])
def test_a_childs_message_and_the_cancel_of_its_parent_race(race: Race, family: Family, jar: str, first: str) -> None:
    # Given a child that has done all, and its parent has not been told
    family.carrier.wakes = False
    family.perform_last()

    def tell() -> None:
        lifecycle.wake_run(family.parent, "child")

    def cancel() -> State:
        return sagas.cancel(family.parent)

    works = [tell, cancel]
    # When both come
    outcomes = race.overtake(*(works if first == "word of the child" else works[::-1]))
    # Then the one is for nothing, and harms nobody
    assert not any(isinstance(outcome, BaseException) for outcome in outcomes)
    assert state(family.parent) is State.COMPENSATING
    family.carry()
    assert [state(member) for member in (family.parent, family.child)] == [State.FAILED] * 2
    assert counts(jar) == (1000, 0, 0)
