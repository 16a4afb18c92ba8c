"""The compressed lifecycle: a forward and an undo that need the same two pool rows, in opposite orders."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

import sagas
from sagas import State, store
from sagas.decisions.messages import Chain
from sagas.engine.cohort import Performed
from sagas.engine.compressed import perform_compressed
from tests.lab.sagas import Experiment, TwoJars
from tests.races.racing import Race, Stop
from tests.support.carrier import chains, claim_all, deliver
from tests.support.runs import assert_jar_adds_up, counts, new_jar, state

pytestmark = pytest.mark.usefixtures("alone")

#: Behind the first operation, whose statement has locked its row, and before that of the second one.
BETWEEN = Stop('UPDATE "lab_jar" AS pool', time=2)


def work(chain: Chain) -> Callable[[], Performed | None]:
    return lambda: perform_compressed(chain.links, chain.ids)


def start(jars: str) -> UUID:
    return sagas.start(TwoJars, Experiment(jar=jars))


def opposites(jars: str) -> tuple[UUID, Chain, UUID, Chain]:
    """A run that is to take both jars, and one that is to give both back, with their chains."""
    back = start(jars)
    for chain in chains(claim_all()):
        deliver(chain)
    sagas.cancel(back, by="test", reason="race")
    (undo,) = chains(claim_all())
    there = start(jars)
    (forward,) = chains(claim_all())
    return there, forward, back, undo


def test_a_forward_and_an_undo_take_turns_because_all_rows_are_locked_first(race: Race) -> None:
    # Given
    first, second = new_jar(10), new_jar(10)
    there, forward, back, undo = opposites(f"{first}+{second}")
    # When the undo comes while the forward is between its two steps
    leader = race.start(work(forward), BETWEEN)
    follower = race.start(work(undo))
    race.await_blocked(follower, leader, at="FOR NO KEY UPDATE")
    leader.go()
    # Then both are done in one transaction each
    assert isinstance(leader.outcome(), Performed)
    assert isinstance(follower.outcome(), Performed)
    assert (state(there), state(back)) == (State.AWAITING_CONFIRM, State.FAILED)
    for jar in (first, second):
        assert counts(jar) == (9, 1, 0)
        assert_jar_adds_up(jar, 10)


def test_without_these_locks_they_deadlock(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    first, second = new_jar(10), new_jar(10)
    _, forward, _, undo = opposites(f"{first}+{second}")
    monkeypatch.setattr(store.shared_rows, "lock", lambda *_: None)
    # When both are between their steps
    there = race.start(work(forward), BETWEEN)
    back = race.start(work(undo), BETWEEN)
    there.go()
    back.go()
    # Then PostgreSQL ends one of them, which is rolled back whole and must go the ordinary way
    outcomes = [there.outcome(), back.outcome()]
    assert outcomes.count(None) == 1, outcomes
    for jar in (first, second):
        assert_jar_adds_up(jar, 10)


def test_a_session_that_is_lost_between_two_steps_leaves_nothing(race: Race) -> None:
    # Given
    jar = new_jar(10)
    run_id = start(f"{jar}+{jar}")
    (chain,) = chains(claim_all())
    # When
    dying = race.start(work(chain), BETWEEN)
    dying.cut()
    dying.go()
    # Then nothing was committed, and nobody is blamed
    assert dying.outcome() is None
    assert counts(jar) == (10, 0, 0)
    assert state(run_id) is State.EXECUTING
