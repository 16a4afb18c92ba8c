"""Lines at business keys: who is first is never in doubt, and nobody stays in line for a key that is free."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

import sagas
from sagas import Locked, State
from sagas.decisions.messages import Chain, Message, Unlock
from sagas.engine import locks
from sagas.engine.performing import perform
from sagas.models import Lock, Run
from tests.lab.sagas import Experiment, Impatient, Keyed, KeyedTillApproved, Lab
from tests.races.racing import COMMIT, Race
from tests.support.carrier import chains, claim_all, deliver
from tests.support.runs import make_due, state, states

pytestmark = pytest.mark.usefixtures("alone")

ADVISORY = "pg_advisory_xact_lock"


@pytest.fixture
def key() -> str:
    return f"order:{uuid4().hex[:8]}"


def start(*keys: str, saga: type[sagas.Saga[Any]] = KeyedTillApproved) -> Callable[[], UUID]:
    return partial(sagas.start, saga, Experiment(keys=keys))


def at_the_end(key: str) -> tuple[UUID, Chain]:
    """A run that holds the key, and the chain of its last step."""
    run_id = sagas.start(Keyed, Experiment(keys=(key,)))
    (chain,) = chains(claim_all())
    _, following = deliver(chain)
    assert following is not None
    return run_id, following


def test_two_runs_queue_for_one_key(race: Race, key: str) -> None:
    # When one is about to commit its place in line, the next one waits to learn whether it is the first
    first, second = race.overtake(start(key), start(key), at=ADVISORY)
    assert isinstance(first, UUID)
    assert isinstance(second, UUID)
    # Then the one that was first begins, and it alone
    assert list(Lock.objects.order_by("ticket").values_list("run_id", flat=True)) == [first, second]
    make_due([first, second])
    claim_all()
    assert (state(first), state(second)) == (State.EXECUTING, State.PENDING)


def test_of_two_starts_of_a_unique_key_the_second_finds_the_first(race: Race, key: str) -> None:
    def once() -> UUID:
        return sagas.start(Lab, Experiment(), business_key=key, unique="attach")

    # When the second one comes while the first is about to commit, it waits for what becomes of it
    first, second = race.overtake(once, once, at=ADVISORY)
    # Then both have the one run
    assert isinstance(first, UUID)
    assert first == second
    assert Run.objects.filter(business_key=key).count() == 1


def test_the_second_run_does_not_begin_before_the_first_commits(race: Race, key: str) -> None:
    # Given one that has its place, and has not committed
    slow = race.start(start(key), COMMIT)
    quick = race.start(start(key))
    race.await_blocked(quick, slow, at=ADVISORY)
    # When the dispatcher looks meanwhile, and once more when both are there
    claim_all()
    slow.go()
    ids = [slow.outcome(), quick.outcome()]
    make_due(ids)  # type: ignore[arg-type]  # if one has failed, this does
    claim_all()
    # Then one runs
    assert states(ids) == {State.EXECUTING: 1, State.PENDING: 1}  # type: ignore[arg-type]  # as above


def test_a_run_that_does_not_wait_is_refused_by_an_uncommitted_holder(race: Race, key: str) -> None:
    holder, refused = race.overtake(start(key, saga=Impatient), start(key, saga=Impatient), at=ADVISORY)
    assert isinstance(refused, Locked)
    assert refused.holder == holder


def test_two_runs_want_two_keys_in_opposite_order(race: Race, key: str) -> None:
    first, second = race.overtake(start(key, f"{key}-b"), start(f"{key}-b", key), at=ADVISORY)
    ids = [first, second]
    make_due(ids)  # type: ignore[arg-type]  # if one has failed, this does
    claim_all()
    assert [state(run_id) for run_id in ids] == [State.EXECUTING, State.PENDING]  # type: ignore[arg-type]  # as above


def told(chain: Chain, messages: list[Message]) -> Callable[[], list[UUID]]:
    """Perform a link; what is to be published then is kept."""

    def work() -> list[UUID]:
        performed = perform(chain.links[0], chain.ids)
        messages.extend(performed.messages)
        return performed.survivors

    return work


def unlock(messages: list[Message]) -> list[bool]:
    return [locks.wake_next(message.keys) for message in messages if isinstance(message, Unlock)]


def test_the_holder_ends_while_another_run_queues(race: Race, key: str) -> None:
    # Given a holder that is about to commit its end
    holder, last = at_the_end(key)
    messages: list[Message] = []
    ending = race.start(told(last, messages), COMMIT)
    # When another gets in line, it does not wait for that commit, and sees the holder still
    second = race.start(start(key)).outcome()
    assert isinstance(second, UUID)
    claim_all()
    assert (state(holder), state(second)) == (State.EXECUTING, State.PENDING)
    ending.go()
    ending.await_end()
    # Then whoever is told of the end lets it begin
    assert unlock(messages) == [True]
    claim_all()
    assert (state(holder), state(second)) == (State.SUCCEEDED, State.EXECUTING)


def test_another_run_queues_while_the_holder_ends(race: Race, key: str) -> None:
    # Given another that saw the holder in the line, and has not committed
    holder, last = at_the_end(key)
    messages: list[Message] = []
    coming = race.start(start(key), COMMIT)
    # When the holder ends meanwhile, nobody can be told
    race.start(told(last, messages)).await_end()
    assert unlock(messages) == [False]
    coming.go()
    second = coming.outcome()
    assert isinstance(second, UUID)
    assert state(holder) is State.SUCCEEDED
    # Then it looks by itself, when its patience is over
    claim_all()
    assert state(second) is State.PENDING
    make_due([second])
    claim_all()
    assert state(second) is State.EXECUTING


@pytest.mark.parametrize("first", ["line up", "claim"])
def test_the_next_run_is_woken_and_claimed_at_once(race: Race, key: str, first: str) -> None:
    # Given a free key, and the next in line, which looks just now
    holder, last = at_the_end(key)
    second = start(key)()
    told(last, [])()
    make_due([second])
    if first == "line up":
        # When it is being told, the claim passes it by, and takes it the next time
        telling = race.start(lambda: locks.wake_next([key]), COMMIT)
        assert race.start(claim_all).outcome() == []
        telling.go()
        assert telling.outcome() is True
        claim_all()
    else:
        # When it is being claimed, it is told for nothing: it has begun
        _, began = race.overtake(lambda: len(claim_all()), lambda: locks.wake_next([key]))
        assert began is False
    assert (state(holder), state(second)) == (State.SUCCEEDED, State.EXECUTING)
