"""One decision for many runs, against the start of a run, its last step, its cancel, and another decision."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID

import pytest
from django.db import connections, transaction

import sagas
from sagas import State
from sagas.engine import shared_decisions
from sagas.engine.claiming import claim
from sagas.engine.shared_decisions import Settled
from sagas.errors import AlreadyDecided, DecidedOtherwise
from sagas.models import SharedDecision
from sagas.store.shared_decisions import Decision
from tests.lab.sagas import Experiment, Grouped
from tests.races.racing import COMMIT, Race
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.runs import assert_effects_once, effects, state, states

pytestmark = pytest.mark.usefixtures("alone")


def join() -> UUID:
    with transaction.atomic():
        return Grouped.start(Experiment(group="g"))


def joined() -> UUID:
    """A run that waits."""
    run_id = join()
    Carrier().run([run_id])
    assert state(run_id) is State.AWAITING_CONFIRM
    return run_id


def decide(decline: str | None = None) -> Callable[[], Decision]:
    def act() -> Decision:
        with transaction.atomic():
            return sagas.decide(Grouped, "formed", "g", decline=decline)

    return act


def settle() -> Settled:
    return shared_decisions.settle_some()


def is_settled() -> bool:
    return SharedDecision.objects.get().settled_at is not None


def carry(run_id: UUID, ends: State) -> None:
    Carrier().run([run_id])
    assert state(run_id) is ends
    assert_effects_once(run_id)


@pytest.mark.parametrize("decline", [None, "too few"])
def test_a_run_is_started_while_its_group_is_decided(race: Race, decline: str | None) -> None:
    # Given a start that is about to commit
    start = race.start(join, COMMIT)
    # When the decision is made and settled, which cannot see it
    decide(decline)()
    settle()
    assert is_settled()
    start.go()
    run_id = start.outcome()
    assert isinstance(run_id, UUID)
    # Then it finds the decision itself
    carry(run_id, State.FAILED if decline else State.SUCCEEDED)


@pytest.mark.parametrize("decline", [None, "too few"])
def test_a_last_step_has_looked_before_the_decision(race: Race, decline: str | None) -> None:
    # Given a run whose last step has found no decision, and is about to commit
    run_id = join()
    (chain,) = chains(claim_all())
    _, following = deliver(chain)
    assert following is not None
    last = race.start(lambda: deliver(following), COMMIT)
    # When the decision is made
    decide(decline)()
    settle()
    # Then it is not settled before the run has it
    assert not is_settled()
    last.go()
    last.await_end()
    assert (state(run_id), claim().count) == (State.AWAITING_CONFIRM, 0)
    settle()
    assert is_settled()
    carry(run_id, State.FAILED if decline else State.SUCCEEDED)


def test_a_cancel_has_looked_before_the_decision(race: Race) -> None:
    run_id = joined()
    cancel = race.start(lambda: sagas.cancel(run_id), COMMIT)
    decide()()
    settle()
    assert not is_settled()
    cancel.go()
    assert cancel.outcome() is State.COMPENSATING
    settle()
    assert is_settled()
    carry(run_id, State.FAILED)


def test_a_cancel_comes_while_the_decision_is_given(race: Race) -> None:
    run_id = joined()
    decide()()
    _, refused = race.overtake(settle, lambda: sagas.cancel(run_id))
    assert isinstance(refused, AlreadyDecided)
    carry(run_id, State.SUCCEEDED)


def test_a_decision_is_given_by_two_at_once(race: Race) -> None:
    # Given one that is about to commit what it gives
    run_id = joined()
    decide()()
    first = race.start(settle, COMMIT)
    # When another one comes, it does not wait
    settle()
    assert not is_settled()
    first.go()
    first.await_end()
    # Then the run has it once
    settle()
    assert is_settled()
    carry(run_id, State.SUCCEEDED)


def test_two_decide_otherwise(race: Race) -> None:
    run_id = joined()
    first, second = race.overtake(decide(), decide("too few"), at="sagas_shareddecision")
    assert isinstance(first, Decision)
    assert isinstance(second, DecidedOtherwise)
    settle()
    carry(run_id, State.SUCCEEDED)


def test_two_decide_the_same(race: Race) -> None:
    first, second = race.overtake(decide(), decide(), at="sagas_shareddecision")
    assert isinstance(first, Decision)
    assert isinstance(second, Decision)
    assert (first.first, second.first, first.decided_at) == (True, False, second.decided_at)


# -- All at once ----------------------------------------------------------------------------------------------


class Crowd:
    """Threads that start, perform, cancel, decide and settle for a moment, each as it likes."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.over = threading.Event()
        self.started: list[UUID] = []
        self.cancelled: set[UUID] = set()
        self.refused: set[UUID] = set()
        self.answers: list[bool] = []
        self.errors: list[BaseException] = []

    def start_runs(self, random: Random) -> None:
        for _ in range(12):
            self.started.append(join())
            self._pause(random)

    def perform(self, _random: Random) -> None:
        # It has its leases to the end: what it has claimed, it performs.
        while not self.over.is_set():
            for chain in chains(claim(limit=3).messages):
                following = [chain]
                while following:
                    performed, rest = deliver(following.pop())
                    following += [*chains(performed.messages), *([rest] if rest else [])]

    def cancel(self, random: Random) -> None:
        for _ in range(6):
            self._pause(random)
            if self.started:
                run_id = random.choice(self.started)
                try:
                    sagas.cancel(run_id)
                except AlreadyDecided:
                    self.refused.add(run_id)
                else:
                    self.cancelled.add(run_id)

    def decide(self, random: Random) -> None:
        for _ in range(random.randrange(8)):
            self._pause(random)
        declines = random.random() < 0.5
        try:
            sagas.decide(Grouped, "formed", "g", decline="no" if declines else None)
            self.answers.append(not declines)
        except DecidedOtherwise as other:
            self.answers.append(not other.declined)

    def settle(self, _random: Random) -> None:
        while not self.over.is_set():
            shared_decisions.settle_some()

    def _pause(self, random: Random) -> None:
        self.over.wait(random.random() * 0.01)

    def play(self) -> None:
        finite = [self.start_runs, self.start_runs, self.cancel, self.decide, self.decide]
        threads = [self._thread(act, number) for number, act in enumerate(finite)]
        others = [self._thread(act, 9 + number) for number, act in enumerate([self.perform, self.perform, self.settle])]
        for thread in threads:
            thread.join()
        self.over.set()
        for thread in others:
            thread.join()

    def _thread(self, act: Callable[[Random], None], number: int) -> threading.Thread:
        def run() -> None:
            try:
                act(Random(f"{self.seed}|{number}"))
            except BaseException as error:
                self.errors.append(error)
            finally:
                connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        return thread


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_all_runs_get_the_same_answer_whoever_comes_when(seed: int, settings: Any) -> None:
    # Given small cohorts, so that all of it meets
    settings.SAGAS = {**settings.SAGAS, "COHORT": 2}
    crowd = Crowd(seed)
    # When
    crowd.play()
    # Then there is one answer
    assert crowd.errors == []
    assert len(set(crowd.answers)) == 1
    (answer,) = set(crowd.answers)
    # And what was under way comes to its end
    while not is_settled():
        settle()
    Carrier().run(crowd.started)
    assert is_settled()
    succeeded = {run_id for run_id in crowd.started if state(run_id) is State.SUCCEEDED}
    assert set(states(crowd.started)) <= {State.SUCCEEDED, State.FAILED}
    # A run is turned back by its cancel alone, or by the answer; and who was told that it is too late was right
    assert succeeded == (set(crowd.started) - crowd.cancelled if answer else set())
    assert crowd.refused <= succeeded
    for run_id in crowd.started:
        assert_effects_once(run_id)
        assert len(effects(run_id)) == len(set(effects(run_id)))
