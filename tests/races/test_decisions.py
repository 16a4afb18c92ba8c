"""Who decides about a run: its customer, its deadline, its steps, a person. One of two wins, whoever comes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

import sagas
from sagas import State
from sagas.decisions import plan
from sagas.decisions.messages import Chain
from sagas.definition.participants import Phase
from sagas.engine import lifecycle
from sagas.engine.claiming import claim
from sagas.errors import AlreadyDecided
from sagas.models import Log, Run
from tests.lab.sagas import Experiment, Lab
from tests.races.racing import COMMIT, Race
from tests.support.carrier import Carrier, chains, claim_all, deliver, make_waiting_retries_due
from tests.support.runs import assert_effects_once, counts, expired_by, shift_clock, state

pytestmark = pytest.mark.usefixtures("alone")

PLACES = ["under way", "all done"]


def begun(jar: str, step: str, **experiment: Any) -> tuple[UUID, Chain]:
    """A run at this step, and the chain that begins with it."""
    run_id = sagas.start(Lab, Experiment(jar=jar, **experiment))
    (chain,) = chains(claim_all())
    following: Chain | None = chain
    while following is not None and following.links[0].step != step:
        _, following = deliver(following)
    assert following is not None
    return run_id, following


@pytest.fixture(params=PLACES)
def run(request: pytest.FixtureRequest, jar: str) -> tuple[UUID, Chain | None]:
    """A run that waits for its approval, or whose last step is to come; its deadline is over."""
    run_id, chain = begun(jar, "four")
    if request.param == "all done":
        deliver(chain)
    shift_clock([run_id], 40)
    return run_id, (chain if request.param == "under way" else None)


def confirm(run_id: UUID) -> Callable[[], lifecycle.Receipt]:
    return lambda: sagas.confirm(run_id, "approval", {"by": "card"})


def cancel(run_id: UUID) -> Callable[[], State]:
    return lambda: sagas.cancel(run_id, by="somebody")


def expire(run_id: UUID) -> Callable[[], object]:
    return lambda: lifecycle.expire_unconfirmed(Lab.name, 1, "approval", [run_id], by="message")


def perform(chain: Chain) -> Callable[[], object]:
    return lambda: deliver(chain)[0].survivors


def events(run_id: UUID) -> list[str]:
    """Who decided, in order."""
    names = ("confirmation", "expire", "cancel", "resume", "resolve")
    found = Log.objects.filter(run_id=run_id, outcome="EVENT", operation__in=names).order_by("id")
    return list(found.values_list("operation", flat=True))


def carry(run_id: UUID, chain: Chain | None, ends: State, jar: str) -> None:
    """Carry it to its end: all of it is there, or nothing."""
    carrier = Carrier()
    carrier.post([chain] if chain else [])
    carrier.run([run_id])
    assert state(run_id) is ends
    assert_effects_once(run_id)
    assert counts(jar) == ((999, 0, 1) if ends is State.SUCCEEDED else (1000, 0, 0))


# -- Confirm, deadline, cancel --------------------------------------------------------------------------------


def test_the_confirmation_comes_before_the_deadline(race: Race, run: tuple[UUID, Chain | None], jar: str) -> None:
    run_id, chain = run
    receipt, messages = race.overtake(confirm(run_id), expire(run_id))
    assert isinstance(receipt, lifecycle.Receipt)
    assert receipt.first
    assert messages == []
    assert events(run_id) == ["confirmation"]
    carry(run_id, chain, State.SUCCEEDED, jar)


def test_the_deadline_comes_before_the_confirmation(race: Race, run: tuple[UUID, Chain | None], jar: str) -> None:
    run_id, chain = run
    _, refused = race.overtake(expire(run_id), confirm(run_id))
    assert isinstance(refused, AlreadyDecided)
    assert refused.state is State.COMPENSATING
    assert events(run_id) == ["expire"]
    carry(run_id, chain, State.FAILED, jar)


def test_the_confirmation_comes_before_the_cancel(race: Race, run: tuple[UUID, Chain | None], jar: str) -> None:
    run_id, chain = run
    _, refused = race.overtake(confirm(run_id), cancel(run_id))
    assert isinstance(refused, AlreadyDecided)
    assert events(run_id) == ["confirmation"]
    carry(run_id, chain, State.SUCCEEDED, jar)


def test_the_cancel_comes_before_the_confirmation(race: Race, run: tuple[UUID, Chain | None], jar: str) -> None:
    run_id, chain = run
    cancelled, refused = race.overtake(cancel(run_id), confirm(run_id))
    assert cancelled is State.COMPENSATING
    assert isinstance(refused, AlreadyDecided)
    assert events(run_id) == ["cancel"]
    carry(run_id, chain, State.FAILED, jar)


def test_the_confirmation_comes_twice(race: Race, run: tuple[UUID, Chain | None], jar: str) -> None:
    run_id, chain = run
    first, second = race.overtake(confirm(run_id), confirm(run_id))
    assert isinstance(first, lifecycle.Receipt)
    assert isinstance(second, lifecycle.Receipt)
    assert (first.first, second.first) == (True, False)
    assert (first.data, first.received_at) == (second.data, second.received_at)
    assert events(run_id) == ["confirmation"]
    carry(run_id, chain, State.SUCCEEDED, jar)


def test_the_deadline_comes_twice(race: Race, run: tuple[UUID, Chain | None], jar: str) -> None:
    run_id, chain = run
    first, second = race.overtake(expire(run_id), expire(run_id))
    assert (len(first), second) == (1, [])  # type: ignore[arg-type]  # a list of messages
    assert events(run_id) == ["expire"]
    carry(run_id, chain, State.FAILED, jar)


@pytest.mark.parametrize("first", ["cancel", "deadline"])
def test_a_cancel_and_a_deadline_race(race: Race, run: tuple[UUID, Chain | None], jar: str, first: str) -> None:
    run_id, chain = run
    works = [cancel(run_id), expire(run_id)]
    outcomes = race.overtake(*(works if first == "cancel" else works[::-1]))
    assert not any(isinstance(outcome, BaseException) for outcome in outcomes)
    assert events(run_id) == ["cancel" if first == "cancel" else "expire"]
    carry(run_id, chain, State.FAILED, jar)


def test_the_deadline_comes_by_message_before_the_tick(race: Race, jar: str) -> None:
    # Given a deadline, and the grace that the tick gives to its message, which are over
    run_id = waiting_for_long(jar)
    by_message = race.start(expire(run_id), COMMIT)
    # When the tick comes, it passes the run by
    assert race.start(claim_all).outcome() == []
    assert state(run_id) is State.AWAITING_CONFIRM
    by_message.go()
    by_message.await_end()
    assert expired_by(run_id) == "message"
    carry(run_id, None, State.FAILED, jar)


def test_the_deadline_comes_by_the_tick_before_its_message(race: Race, jar: str) -> None:
    run_id = waiting_for_long(jar)
    _, messages = race.overtake(claim, expire(run_id))
    assert messages == []
    assert expired_by(run_id) == "tick"
    carry(run_id, None, State.FAILED, jar)


def waiting_for_long(jar: str) -> UUID:
    run_id, chain = begun(jar, "four")
    deliver(chain)
    shift_clock([run_id], 60)
    return run_id


# -- And the steps --------------------------------------------------------------------------------------------


def test_the_last_step_commits_before_the_deadline(race: Race, jar: str) -> None:
    # Given
    run_id, chain = begun(jar, "four")
    shift_clock([run_id], 40)
    # When the deadline comes in the middle of the last step
    race.overtake(perform(chain), expire(run_id))
    # Then that is undone, too
    assert events(run_id) == ["expire"]
    carry(run_id, None, State.FAILED, jar)
    assert Log.objects.filter(run_id=run_id, step="four", operation="compensate", outcome="DONE").exists()


def test_the_deadline_comes_before_the_last_step(race: Race, jar: str) -> None:
    run_id, chain = begun(jar, "four")
    shift_clock([run_id], 40)
    _, survivors = race.overtake(expire(run_id), perform(chain))
    assert survivors == []
    carry(run_id, None, State.FAILED, jar)
    assert not Log.objects.filter(run_id=run_id, step="four").exists()


@pytest.mark.parametrize("first", ["step", "confirmation"])
def test_the_last_step_and_the_confirmation_race(race: Race, jar: str, first: str) -> None:
    # Whoever comes second finds what the first has left: the run is never left waiting for what is there.
    run_id, chain = begun(jar, "four")
    works = [perform(chain), confirm(run_id)]
    outcomes = race.overtake(*(works if first == "step" else works[::-1]))
    assert not any(isinstance(outcome, BaseException) for outcome in outcomes)
    assert state(run_id) is State.CONFIRMING
    carry(run_id, None, State.SUCCEEDED, jar)


@pytest.mark.parametrize("first", ["undo", "late step"])
def test_an_undo_and_a_late_step_race(race: Race, jar: str, first: str) -> None:
    # Given a run that is being undone, and a step of it that was on its way for long
    run_id, late = begun(jar, "four")
    sagas.cancel(run_id)
    (undo,) = chains(claim_all())
    works = [perform(undo), perform(late)]
    # When
    outcomes = race.overtake(*(works if first == "undo" else works[::-1]))
    # Then it comes to nothing
    undone, dropped = outcomes if first == "undo" else outcomes[::-1]
    assert (undone, dropped) == ([run_id], [])
    carry(run_id, undo, State.FAILED, jar)
    assert not Log.objects.filter(run_id=run_id, step="four").exists()


# -- And a person ---------------------------------------------------------------------------------------------


@pytest.fixture
def stuck(jar: str) -> UUID:
    """A run that a person has: its jar could not be given back."""
    run_id = sagas.start(Lab, Experiment(jar=jar, faults={"three.cancel": 3}))
    Carrier().run([run_id])
    sagas.cancel(run_id)
    Carrier().run([run_id])
    assert state(run_id) is State.ESCALATED
    return run_id


def resume(run_id: UUID) -> Callable[[], State]:
    return lambda: sagas.resume(run_id, by="one", note="again")


def resolve(run_id: UUID) -> Callable[[], State]:
    return lambda: sagas.resolve(run_id, outcome=State.FAILED, by="another", note="given back by hand")


@pytest.mark.parametrize("works", [(resume, resolve), (resolve, resume), (resume, resume), (resolve, resolve)])
def test_two_operators_decide_at_once(
    race: Race, stuck: UUID, works: tuple[Callable[[UUID], Callable[[], State]], ...]
) -> None:
    first, second = (work(stuck) for work in works)
    won, lost = race.overtake(first, second)
    assert isinstance(won, State)
    assert isinstance(lost, AlreadyDecided)
    assert len(events(stuck)) == 2  # the cancel before, and one of them


def test_an_operator_resolves_before_a_retry_comes(race: Race, stuck: UUID, jar: str) -> None:
    # Given a message of before that comes once more
    undo = retry_of(stuck)
    # When
    resolved, survivors = race.overtake(resolve(stuck), perform(undo))
    # Then
    assert (resolved, survivors, state(stuck)) == (State.FAILED, [], State.FAILED)
    assert not Log.objects.filter(run_id=stuck, step="three", operation="cancel", outcome="DONE").exists()


def test_a_resumed_retry_comes_before_another_operator_resolves(race: Race, stuck: UUID, jar: str) -> None:
    # Given that somebody has it tried again, which works now
    sagas.resume(stuck, by="one", note="again")
    claim_all()
    undo = retry_of(stuck)
    mend(stuck)
    # When somebody else, who does not know, ends it by hand
    survivors, refused = race.overtake(perform(undo), resolve(stuck))
    # Then
    assert survivors == [stuck]
    assert isinstance(refused, AlreadyDecided)
    assert counts(jar) == (1000, 0, 0)


def test_the_last_attempt_fails_while_an_operator_decides(race: Race, jar: str) -> None:
    # Given the last attempt of an undo, in the middle of which nobody has anything to resolve
    run_id = sagas.start(Lab, Experiment(jar=jar, faults={"three.cancel": 9}))
    Carrier().run([run_id])
    sagas.cancel(run_id)
    carrier = Carrier()
    carrier.run([run_id], until=lambda: Log.objects.filter(run_id=run_id, outcome="FAULT").count() == 2)
    make_waiting_retries_due([run_id])
    (undo,) = chains(claim_all())
    # When it breaks, and somebody comes who waits for its lock
    survivors, resolved = race.overtake(perform(undo), resolve(run_id))
    # Then he finds it escalated, and ends it
    assert (survivors, resolved, state(run_id)) == ([], State.FAILED, State.FAILED)


def retry_of(run_id: UUID) -> Chain:
    """The undo of its jar, as it was sent out before."""
    links = plan.links_from(Lab.definition, Lab.definition.index("three"), Phase.UNDO)
    return Chain(links, (run_id,))


def mend(run_id: UUID) -> None:
    """Have its jar break no more."""
    run = Run.objects.get(pk=run_id)
    run.request = {**run.request, "faults": {}}
    run.save(update_fields=["request"])
