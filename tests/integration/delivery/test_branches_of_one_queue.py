"""Under choreography one message leads to all branches of a fork that have its queue: whose deaths it counts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import UUID

import pytest

import sagas
from sagas import Parallel, Retry, Saga, Step, tasks
from sagas.conf import config
from sagas.db import ConnectionLost
from sagas.decisions import choreography
from sagas.decisions.messages import Chain, Link, Publication
from sagas.definition.participants import Phase
from sagas.delivery import redelivery
from sagas.engine.cohort import Interrupted, Performed
from sagas.engine.delivery import delivery_of, sort_by_stand
from sagas.engine.performing import perform
from sagas.messaging.publisher import BY_MESSAGE, INTERRUPTIONS
from sagas.models import Run
from sagas.states import CHOREOGRAPHY
from sagas.store import runs
from tests.lab.sagas import Experiment, mark
from tests.support.carrier import chains, claim_all
from tests.support.runs import make_due, story

pytestmark = pytest.mark.usefixtures("alone")


class Twins(Saga[Experiment]):
    """Both branches have one queue."""

    name = "tests.Twins"
    carrier = CHOREOGRAPHY

    both = Parallel(
        left=Step(mark, compensate=mark, queue="orders", retry=Retry(delay=timedelta(minutes=1))),
        right=Step(mark, compensate=mark, queue="orders", retry=Retry(delay=timedelta(minutes=1))),
    )


class Dies(BaseException):
    """What a process does that is killed: no ``except Exception`` sees it."""


class Queue:
    """The one queue of this saga, which delivers a message again whose worker has died, and counts."""

    waiting: ClassVar[deque[tuple[Chain, int]]] = deque()

    def publish(self, publication: Publication) -> None:
        # All branches react to the same event.
        if isinstance(publication, Chain) and publication.ids not in [chain.ids for chain, _ in self.waiting]:
            self.waiting.append((publication, 0))

    def kick(self) -> None:
        """Nobody waits for it."""

    @classmethod
    def deliver(cls) -> None:
        """Deliver the first message to a worker, which may die."""
        chain, deaths = cls.waiting.popleft()
        headers = {"x-delivery-count": deaths, INTERRUPTIONS: chain.interruptions, BY_MESSAGE: int(chain.by_message)}
        request = SimpleNamespace(
            id="", headers=headers, delivery_info={"redelivered": deaths > 0}, hostname="here", chain=None
        )
        app = SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from={})))
        first = chain.links[0]
        event = chain.event or choreography.trigger(Twins.definition, Twins.definition.index(first.step), Phase.FORWARD)
        task: Any = tasks.event.run
        try:
            task.__func__(
                SimpleNamespace(name="sagas.event", request=request, app=app),
                [str(run_id) for run_id in chain.ids],
                saga=first.saga,
                version=first.version,
                event=event,
            )
        except Dies:
            cls.waiting.appendleft((chain, deaths + 1))


@pytest.fixture(autouse=True)
def _queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Queue, "waiting", deque())
    monkeypatch.setattr(tasks, "Publisher", Queue)


def _given(count: int = 1) -> list[UUID]:
    """Runs at the fork, whose message is in the queue."""
    ids = [sagas.start(Twins, Experiment()) for _ in range(count)]
    for chain in chains(claim_all()):
        Queue().publish(chain)
    return sorted(ids)


def _breaking(
    monkeypatch: pytest.MonkeyPatch, step: str, error: type[BaseException], victims: Sequence[UUID] = ()
) -> list[int]:
    """Have a branch break whoever performs it for one of these runs; of how many runs each such delivery was."""
    broken: list[int] = []

    def performing(link: Link, ids: Sequence[UUID], **more: Any) -> Performed:
        here, _ = sort_by_stand(delivery_of(link, ""), runs.read(ids))
        if link.step == step and {row.id for row in here} & set(victims or ids):
            if not any("FAULT" in line for line in story(here[0].id)):
                broken.append(len(ids))
            raise error if error is Dies else Interrupted(Performed(), ids, (), 0.1, error())
        return perform(link, ids, **more)

    monkeypatch.setattr(redelivery, "perform", performing)
    return broken


def _deliver_until(run_id: UUID, line: str, most: int = 12) -> None:
    for _ in range(most):
        if line in story(run_id):
            break
        if not Queue.waiting:
            make_due([run_id])
            with suppress(ConnectionLost):
                for chain in chains(claim_all()):
                    Queue().publish(chain)
        Queue.deliver()


def test_a_branch_that_ends_its_workers_is_given_up_and_the_other_one_is_performed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (run_id,) = _given()
    ended = _breaking(monkeypatch, "left", Dies)

    _deliver_until(run_id, "right.forward DONE")

    assert story(run_id) == ["start", "left.forward FAULT", "right.forward DONE"]
    assert len(ended) == config().deliveries


def test_a_branch_is_not_given_up_for_the_workers_that_died_at_the_one_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a message at which all workers died but one that are allowed, each at the first branch
    (run_id,) = _given()
    with monkeypatch.context() as patched:
        _breaking(patched, "left", Dies)
        for _ in range(config().deliveries - 1):
            Queue.deliver()

    # When the first branch is done at last, and the second one ends its workers
    ended = _breaking(monkeypatch, "right", Dies)
    _deliver_until(run_id, "right.forward FAULT")

    # Then the second one has died as often as any other operation may
    assert story(run_id) == ["start", "left.forward DONE", "right.forward FAULT"]
    assert len(ended) == config().deliveries


def test_a_branch_is_not_given_up_for_the_sessions_that_the_one_before_it_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a message that says that its run has lost all sessions but one that are allowed, each at the first branch
    (run_id,) = _given()
    with monkeypatch.context() as patched:
        _breaking(patched, "left", ConnectionError)
        for _ in range(config().deliveries - 1):
            Queue.deliver()
            # The second branch waits as well.
            Queue.waiting = deque(item for item in Queue.waiting if item[0].links[0].step == "left")
    (((chain, _)),) = Queue.waiting
    assert chain.interruptions == config().deliveries - 1

    # When the first branch is done at last, and the second one loses one
    _breaking(monkeypatch, "right", ConnectionError)
    Queue.deliver()

    # Then it has more to lose
    assert story(run_id)[-1] == "left.forward DONE"


def test_of_a_cohort_only_the_run_is_given_up_whose_branch_ends_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = _given(4)
    ended = _breaking(monkeypatch, "right", Dies, ids[2:3])

    _deliver_until(ids[2], "right.forward FAULT", most=40)

    # Its neighbours died with it twice, each time in a cohort half as large, and it was alone in the end.
    assert ended == [4, 2, *[1] * config().deliveries]
    while Queue.waiting:
        Queue.deliver()
    assert [line for line in story(ids[2]) if "FAULT" in line] == ["right.forward FAULT"]
    for run_id in (*ids[:2], ids[3]):
        assert sorted(story(run_id)[1:]) == ["left.forward DONE", "right.forward DONE"]


def test_a_branch_that_only_waited_is_not_given_up_for_the_workers_that_died_at_the_other_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a message at which all workers that are allowed died at the second branch, while the first one waited
    (run_id,) = _given()
    Run.objects.filter(pk=run_id).update(pending={"left": {"until": time.time() + 60.0, "failed": 1}})
    _breaking(monkeypatch, "right", Dies)
    for _ in range(config().deliveries):
        Queue.deliver()

    # When the first one has waited long enough
    Run.objects.filter(pk=run_id).update(pending={"left": {"until": time.time() - 1.0, "failed": 1}})
    _deliver_until(run_id, "left.forward DONE")

    # Then the second one is given up
    assert story(run_id) == ["start", "right.forward FAULT", "left.forward DONE"]
