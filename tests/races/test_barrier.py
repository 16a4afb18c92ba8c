"""The barrier row in another database: a worker that has lost its run's lock, and does not know it, races the undo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from uuid import UUID

import pytest

import sagas
from sagas import State
from sagas.db import ConnectionLost
from sagas.decisions.messages import Chain
from sagas.engine.performing import perform
from tests.lab.sagas import Experiment
from tests.loyalty.sagas import Afar
from tests.races.racing import Race, Racer, Stop
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.loyalty import ALIAS, nulls, rows, stamps
from tests.support.runs import make_due, state

pytestmark = pytest.mark.usefixtures("purse")

BOTH = ("default", ALIAS)
ENTRY = Stop("INSERT INTO sagas_barrier", ALIAS)
COMMIT_THERE = Stop("COMMIT", ALIAS)


def at_two(purse: str) -> tuple[UUID, Chain]:
    """A run at its first step in the other database."""
    run_id = sagas.start(Afar, Experiment(jar=purse))
    (chain,) = chains(claim_all())
    _, following = deliver(chain)
    assert following is not None
    return run_id, following


def delivery(chain: Chain, *, token: int = 0) -> Callable[[], list[UUID]]:
    return lambda: perform(chain.links[0], chain.ids, token=token).survivors


def cut_off(race: Race, chain: Chain, stop: Stop, *, token: int = 0) -> Racer[list[UUID]]:
    """A worker that is stopped in the other database, and whose run others may lock since."""
    ghost = race.start(delivery(chain, token=token), stop, aliases=BOTH)
    ghost.cut()
    return ghost


def cancelled(run_id: UUID) -> Chain:
    """The run is being undone; the chain that begins with the undo of its second step."""
    sagas.cancel(run_id)
    (chain,) = chains(claim_all())
    undo: Chain | None = chain
    while undo is not None and undo.links[0].step != "two":
        _, undo = deliver(undo)
    assert undo is not None
    return undo


def carry(run_id: UUID) -> None:
    make_due([run_id])
    Carrier().run([run_id])


def test_the_forward_operation_comes_before_its_undo(race: Race, purse: str) -> None:
    # Given an operation that is about to commit there, of which the engine knows nothing
    run_id, chain = at_two(purse)
    ghost = cut_off(race, chain, COMMIT_THERE)
    # When its undo comes, it waits at the barrier row
    undo = cancelled(run_id)
    undoing = race.start(delivery(undo), aliases=BOTH)
    race.await_blocked(undoing, ghost, at="sagas_barrier", alias=ALIAS)
    ghost.go()
    # Then it takes back what was done there in the end
    assert isinstance(ghost.outcome(), ConnectionLost)
    assert undoing.outcome() == [run_id]
    assert stamps(run_id) == Counter({"two.forward": 1, "two.compensate": 1})
    carry(run_id)
    assert state(run_id) is State.FAILED
    assert nulls(run_id) == []


def test_the_undo_comes_before_its_forward_operation(race: Race, purse: str) -> None:
    # Given an operation that is about to begin there, of which the engine knows nothing
    run_id, chain = at_two(purse)
    ghost = cut_off(race, chain, ENTRY)
    # When its undo is about to commit there, it waits at the barrier row
    undo = cancelled(run_id)
    undoing = race.start(delivery(undo), COMMIT_THERE, aliases=BOTH)
    ghost.go()
    race.await_blocked(ghost, undoing, at="sagas_barrier", alias=ALIAS)
    undoing.go()
    # Then nothing was undone, and nothing is done any more
    assert undoing.outcome() == [run_id]
    assert isinstance(ghost.outcome(), ConnectionLost)
    assert stamps(run_id) == Counter()
    assert (rows(run_id)["two.forward"], nulls(run_id)) == ("VOID", ["two.compensate"])
    carry(run_id)
    assert state(run_id) is State.FAILED
    assert stamps(run_id) == Counter()


def test_the_forward_operation_dies_while_its_undo_waits(race: Race, purse: str) -> None:
    run_id, chain = at_two(purse)
    ghost = cut_off(race, chain, COMMIT_THERE)
    undoing = race.start(delivery(cancelled(run_id)), aliases=BOTH)
    race.await_blocked(undoing, ghost, at="sagas_barrier", alias=ALIAS)
    # When it never commits there
    ghost.cut(ALIAS)
    # Then there is nothing to undo
    assert undoing.outcome() == [run_id]
    assert (stamps(run_id), nulls(run_id)) == (Counter(), ["two.compensate"])
    ghost.go()
    assert isinstance(ghost.outcome(), ConnectionLost)


@pytest.mark.parametrize("stop", [COMMIT_THERE, ENTRY], ids=["before its double", "behind its double"])
def test_the_same_operation_twice(race: Race, purse: str, stop: Stop) -> None:
    # Given an operation in the middle of its work there, which is delivered once more, for nobody knows of it
    run_id, chain = at_two(purse)
    ghost = cut_off(race, chain, stop)
    again = race.start(delivery(chain), None if stop is COMMIT_THERE else COMMIT_THERE, aliases=BOTH)
    # When both are there
    if stop is COMMIT_THERE:
        race.await_blocked(again, ghost, at="sagas_barrier", alias=ALIAS)
        ghost.go()
    else:
        ghost.go()
        race.await_blocked(ghost, again, at="sagas_barrier", alias=ALIAS)
        again.go()
    # Then one has the effect, and the run goes on
    assert again.outcome() == [run_id]
    assert isinstance(ghost.outcome(), ConnectionLost)
    assert stamps(run_id) == Counter({"two.forward": 1})


def test_the_same_undo_twice(race: Race, purse: str) -> None:
    # Given an undo in the middle of its work there, of which nobody knows
    run_id, chain = at_two(purse)
    delivery(chain)()
    undo = cancelled(run_id)
    ghost = cut_off(race, undo, COMMIT_THERE, token=1)
    # When it comes with a higher fencing token
    again = race.start(delivery(undo, token=2), aliases=BOTH)
    race.await_blocked(again, ghost, at="sagas_barrier", alias=ALIAS)
    ghost.go()
    # Then it is done once
    assert again.outcome() == [run_id]
    assert isinstance(ghost.outcome(), ConnectionLost)
    assert stamps(run_id) == Counter({"two.forward": 1, "two.compensate": 1})
    carry(run_id)
    assert state(run_id) is State.FAILED
