"""A kick is put on the pool of its own worker, if that worker performs dispatches and a child is free."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.asynchronous.semaphore import LaxBoundedSemaphore

from sagas import runtime
from sagas.messaging import handover
from sagas.messaging.app import app
from sagas.messaging.publisher import DISPATCH_TASK


class Loop:
    """An event loop that a test turns."""

    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], None]] = {}

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        self.readers[fd] = callback

    def turn(self) -> None:
        for callback in self.readers.values():
            callback()


class Celerys:
    """What the mixin finds in Celery's consumer."""

    def __init__(self, queues: set[str], semaphore: object, *, uses_semaphore: bool = True) -> None:
        self.app = SimpleNamespace(
            amqp=SimpleNamespace(queues=SimpleNamespace(consume_from=queues), as_task_v2=app.amqp.as_task_v2)
        )
        self.controller = SimpleNamespace(semaphore=semaphore, pool=SimpleNamespace(uses_semaphore=uses_semaphore))
        self.taken: list[Any] = []
        self.reject: Callable[..., None] = lambda *_: None
        self.strategies = {DISPATCH_TASK: self._take}

    def _take(self, message: Any, body: None, ack: Callable[..., None], reject: Callable[..., None], _: Any) -> None:
        self.taken.append(message)
        # As Celery does at the end of a task
        ack(None, ())
        self.reject = reject

    def register_with_event_loop(self, hub: Loop) -> None:
        pass

    def on_close(self) -> None:
        pass


class Consumer(handover.HandsOver, Celerys):
    pass


@pytest.fixture(autouse=True)
def _own() -> Iterator[None]:
    runtime.own.handover = None
    yield
    runtime.own.handover = None


def test_a_kick_is_a_dispatch_of_a_free_child() -> None:
    loop, consumer = Loop(), Consumer({"sagas.dispatch", "one"}, LaxBoundedSemaphore(1))
    consumer.register_with_event_loop(loop)
    assert handover.hand_over()
    loop.turn()
    (message,) = consumer.taken
    assert message.headers["task"] == DISPATCH_TASK
    args, kwargs, _ = message.payload
    assert (args, kwargs) == ([], {"tick": False})
    # And the loop may be woken by nothing
    loop.turn()


def test_after_a_child_has_died_with_a_kick_a_dispatch_is_published_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ticker = SimpleNamespace(kicked=threading.Event())
    monkeypatch.setattr(runtime.own, "tickers", [ticker])
    loop, consumer = Loop(), Consumer({"sagas.dispatch"}, LaxBoundedSemaphore(1))
    consumer.register_with_event_loop(loop)
    assert handover.hand_over()
    loop.turn()

    # When its message is refused for good, as Celery does at a failed task
    consumer.reject(None, (), False)
    # Then
    assert not ticker.kicked.is_set()

    # When it is to be delivered again
    consumer.reject(None, (), True)
    # Then the ticker asks, RabbitMQ this time, and afterwards children again
    assert ticker.kicked.is_set()
    assert not handover.hand_over()
    assert handover.hand_over()


def test_where_no_child_is_free_nothing_is_handed_over() -> None:
    semaphore = LaxBoundedSemaphore(1)
    consumer = Consumer({"sagas.dispatch"}, semaphore)
    consumer.register_with_event_loop(Loop())
    semaphore.acquire(lambda: None)
    assert not handover.hand_over()
    semaphore.release()
    assert handover.hand_over()


@pytest.mark.parametrize(
    ("queues", "semaphore"), [({"one"}, LaxBoundedSemaphore(1)), ({"sagas.dispatch"}, None)], ids=["queue", "pool"]
)
def test_a_worker_without_dispatches_or_without_an_event_loop_takes_none(queues: set[str], semaphore: Any) -> None:
    Consumer(queues, semaphore).register_with_event_loop(Loop())
    assert not handover.hand_over()


def test_a_pool_that_does_not_say_when_a_child_is_free_takes_none() -> None:
    consumer = Consumer({"sagas.dispatch"}, LaxBoundedSemaphore(1), uses_semaphore=False)
    consumer.register_with_event_loop(Loop())
    assert not handover.hand_over()


def test_without_a_connection_nothing_is_handed_over() -> None:
    loop, consumer = Loop(), Consumer({"sagas.dispatch"}, LaxBoundedSemaphore(1))
    consumer.register_with_event_loop(loop)
    # Given a kick that comes as the connection is lost
    assert handover.hand_over()
    consumer.on_close()
    loop.turn()
    assert not consumer.taken
    assert not handover.hand_over()
    # When it is back, by the same pipe
    consumer.register_with_event_loop(loop)
    assert len(loop.readers) == 1
    assert handover.hand_over()
    loop.turn()
    assert len(consumer.taken) == 1


def test_a_kick_that_cannot_be_handed_over_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    loop, consumer = Loop(), Consumer({"sagas.dispatch"}, LaxBoundedSemaphore(1))
    consumer.register_with_event_loop(loop)
    consumer.strategies.clear()
    assert handover.hand_over()
    loop.turn()
    assert "could not be handed" in caplog.text
