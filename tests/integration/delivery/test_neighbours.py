"""Several things are taken at once, and one of them breaks: the others must not be lost with it, until their lease."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest
from celery import Celery
from django.db import OperationalError, connection
from kombu.exceptions import OperationalError as BrokerAway

import sagas
from sagas import State, tasks
from sagas.decisions.messages import Chain, Kick, RemoteCalls, Wake
from sagas.decisions.plan import link
from sagas.definition.participants import Phase
from sagas.delivery import dispatching, redelivery, short_path
from sagas.delivery.carrier import CarrierAway, carry, carry_or_leave, start_calls
from sagas.delivery.short_path import ShortPath
from sagas.engine import breakers, claiming, lifecycle
from sagas.engine.outside import remote_threads
from sagas.engine.performing import perform
from sagas.escalations import notices
from sagas.messaging import dispatcher, publisher, relay
from sagas.messaging.app import app
from sagas.messaging.publisher import Publisher
from sagas.models import Outbox, Run
from sagas.redis import kicks
from tests.lab import sagas as lab
from tests.lab.sagas import Experiment, Lab, Telling, Unconfirmed
from tests.support import broker
from tests.support.carrier import Carrier, claim_all
from tests.support.runs import escalation, state, states, story

pytestmark = pytest.mark.usefixtures("alone")

HERE = ("orders",)


@pytest.fixture
def cohorts() -> list[UUID]:
    """Runs of three sagas, which are three cohorts, of which each has its first step on one queue."""
    return [sagas.start(saga, Experiment()) for saga in (Lab, Unconfirmed, Telling)]


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine ends no dispatch."""
    monkeypatch.setattr(short_path, "LONGEST", 60.0)


def on_their_way() -> int:
    """Messages of steps on all queues."""
    return sum(broker.length(queue) for queue in ("orders", "inventory", "coupons", "delivery"))


def break_for(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """Let the dispatcher's first step of one saga raise."""
    honest = perform

    def performing(first: Any, ids: Sequence[UUID], **more: Any) -> Any:
        if first.saga == name:
            raise error
        return honest(first, ids, **more)

    monkeypatch.setattr(redelivery, "perform", performing)


@pytest.mark.parametrize("saga", [Lab, Unconfirmed, Telling], ids=["first", "second", "third"])
@pytest.mark.parametrize(
    "error",
    [RuntimeError("bug"), OperationalError("the database"), sagas.errors.UnknownStep("two"), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_a_first_step_that_raises_does_not_affect_other_cohorts(
    cohorts: list[UUID], monkeypatch: pytest.MonkeyPatch, saga: Any, error: Exception
) -> None:
    break_for(monkeypatch, saga.name, error)

    dispatching.dispatch(Publisher, ShortPath(queues=HERE))

    # Two were performed here and went on to their next queue, and the third has gone to its first
    done = [run_id for run_id in cohorts if story(run_id)[-1] != "start"]
    assert len(done) == 2
    assert on_their_way() == 3


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_a_process_that_ends_at_a_first_step_releases_the_other_cohorts(
    cohorts: list[UUID], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    break_for(monkeypatch, Unconfirmed.name, error)
    with pytest.raises(type(error)):
        dispatching.dispatch(Publisher, ShortPath(queues=HERE))
    # Whoever was not performed is due again, after a tick; and whoever was goes on from where it stands. But what may
    # have ended it keeps its lease, or it would be taken again and again, and nobody would count
    assert [Run.objects.get(pk=run_id).claims for run_id in cohorts] == [0, 1, 0]


def test_a_session_lost_at_a_first_step_is_handled_as_for_a_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given
    ids = [sagas.start(Lab, Experiment()) for _ in range(3)]
    other = sagas.start(Unconfirmed, Experiment())

    def judge(call: Any) -> None:
        if call.run_id == ids[1]:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(lab, "judge", judge)

    # When
    sent: list[Any] = []
    monkeypatch.setattr(dispatching, "carry", lambda messages, _: sent.extend(messages))
    dispatching.dispatch(Publisher, ShortPath(queues=HERE))

    # Then
    halves = [message for message in sent if isinstance(message, Chain) and message.interruptions]
    assert sorted(run_id for half in halves for run_id in half.ids) == sorted(ids)
    assert max(len(half.ids) for half in halves) == 2
    assert story(other)[-1] == "one.forward DONE"


def test_a_cohort_that_cannot_be_published_does_not_affect_the_others(
    cohorts: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest: Callable[[Celery, Chain], None] = publisher._publish_chain

    def publishing(app: Celery, chain: Chain) -> None:
        if chain.links[0].saga == Unconfirmed.name:
            raise TypeError("not JSON")
        honest(app, chain)

    monkeypatch.setattr(publisher, "_publish_chain", publishing)
    with pytest.raises(TypeError):
        dispatching.dispatch(Publisher)
    assert on_their_way() == 2
    assert Run.objects.get(pk=cohorts[1]).claims == 0
    assert Run.objects.get(pk=cohorts[0]).claims == 1


def test_a_first_step_raises_while_the_broker_refuses(cohorts: list[UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    break_for(monkeypatch, Lab.name, RuntimeError("bug"))
    monkeypatch.setattr(publisher, "_publish_chain", refuse)
    with pytest.raises(CarrierAway):
        dispatching.dispatch(Publisher, ShortPath(queues=HERE))
    assert set(Run.objects.filter(pk__in=cohorts).values_list("claims", flat=True)) == {0}


def refuse(*_: Any, **__: Any) -> None:
    raise BrokerAway


def test_messages_are_published_after_a_commit_although_a_parent_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a message that wakes somebody, what breaks is his; the next link is not lost with it."""
    run_id = sagas.start(Lab, Experiment())
    claim_all()
    following = perform(link(Lab.definition, 0, Phase.FORWARD), [run_id]).survivors
    chain = Chain((link(Lab.definition, 1, Phase.FORWARD),), tuple(following))

    def locked(*_: Any) -> None:
        raise OperationalError("canceling statement due to lock timeout")

    monkeypatch.setattr(lifecycle, "wake_run", locked)
    with pytest.raises(OperationalError):
        carry([Wake(run_id, "child"), chain, Kick()], Publisher)
    assert broker.length("coupons") == 1
    # And a task that has committed goes on to the chain's next link
    carry_or_leave([Wake(run_id, "child")], Publisher)


def test_an_unreachable_broker_is_tried_once_and_parents_are_still_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    told: list[object] = []

    def away(_app: Celery, chain: Chain) -> None:
        asked.append(chain)
        raise BrokerAway

    monkeypatch.setattr(publisher, "_publish_chain", away)
    monkeypatch.setattr(lifecycle, "wake_run", lambda *of: told.append(of))
    monkeypatch.setattr(kicks, "kick", lambda: None)
    chain = Chain((link(Lab.definition, 1, Phase.FORWARD),), (UUID(int=1),))
    with pytest.raises(CarrierAway):
        carry([chain, chain, Wake(UUID(int=2), "child")], Publisher)
    assert (len(asked), len(told)) == (1, 1)


def test_remote_calls_that_cannot_be_made_lose_no_other_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(remote_threads, "start_remote_calls", no_thread)
    calls = RemoteCalls(link(Lab.definition, 0, Phase.FORWARD), (), frozenset(), "")
    assert start_calls([calls, Kick(1.0)], Publisher) == [Kick(1.0)]


def test_a_failing_part_of_the_tick_delays_no_other_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a saga that always breaks the fresh claim would stop lapsed leases, notices and events for ever."""
    done: list[str] = []

    def breaking(*_: Any, lapsed: bool = False, **__: Any) -> bool:
        done.append("lapsed" if lapsed else "fresh")
        raise RuntimeError(done[-1])

    monkeypatch.setattr(dispatching, "dispatch", breaking)
    monkeypatch.setattr(dispatching, "publish_notices", lambda _: done.append("notices"))
    monkeypatch.setattr(breakers, "prune_samples", lambda: done.append("tidy"))
    monkeypatch.setattr(dispatcher, "_relay", lambda *_, **__: done.append("relay"))
    with pytest.raises(RuntimeError, match="fresh"):
        tasks.dispatch_task.apply(kwargs={"tick": True}, throw=True)
    assert done == ["fresh", "lapsed", "notices", "tidy", "relay"]


def test_a_notice_that_cannot_be_written_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two escalations for different causes
    ids = [sagas.start(Lab, Experiment(faults={f"{step}.compensate": 9})) for step in ("one", "two")]
    Carrier().run(ids)
    for run_id in ids:
        sagas.cancel(run_id)
    Carrier().run(ids)
    assert states(ids) == {State.ESCALATED: 2}
    honest = notices.Published.message

    def message(published: notices.Published) -> dict[str, Any]:
        if published.notice.step == "one":
            raise ValueError("not JSON")
        return honest(published)

    monkeypatch.setattr(notices.Published, "message", message)

    # When
    with pytest.raises(ValueError, match="JSON"):
        dispatching.publish_notices(Publisher)

    # Then
    assert broker.length("sagas.escalation") == 1
    # and that one is due again
    assert escalation(ids[0]).notify_at is not None


def test_an_event_that_cannot_be_written_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [sagas.start(Telling, Experiment()) for _ in range(3)]
    honest = relay.message_of

    def message(event: Any) -> Any:
        if event.run_id == ids[0]:
            raise ValueError("not JSON")
        return honest(event)

    monkeypatch.setattr(relay, "message_of", message)
    relay.relay(app)
    waiting = Outbox.objects.filter(run_id__in=ids)
    assert {event.run_id for event in waiting} == {ids[0]}
    assert waiting[0].attempt == 1
    relay.close()


def test_a_run_whose_failure_cannot_be_written_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    from sagas.engine import cohort

    ids = [sagas.start(Lab, Experiment(faults={"one.forward": 1} if n == 1 else {})) for n in range(3)]
    claim_all()

    def breaks(*_: Any) -> None:
        raise ValueError("no")

    monkeypatch.setattr(cohort, "record_failure", breaks)
    done = perform(link(Lab.definition, 0, Phase.FORWARD), ids)
    # One-call participants answer for themselves; a set, and what breaks at the commit, is blamed
    assert len(done.survivors) >= 2
    assert state(ids[1]) is State.EXECUTING
    assert claiming.claim(lapsed=True).count == 0
