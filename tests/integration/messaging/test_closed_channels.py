"""RabbitMQ closes the channel on which a worker consumes: the worker connects anew, and its runs go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from amqp import AccessRefused, NotFound, PreconditionFailed, RecoverableConnectionError, ResourceLocked

import sagas
from sagas import State
from sagas.messaging import endurance
from tests.integration.conftest import Start
from tests.lab.sagas import Experiment, Lab
from tests.support import broker, servers
from tests.support.awaiting import eventually
from tests.support.row_locks import await_lock_waits, blocked_at
from tests.support.runs import assert_effects_once, await_state
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def hurry() -> Iterator[None]:
    """RabbitMQ has deliveries acknowledged within seconds, and looks every second; by default 30 and one minutes."""

    def have(timeout: int, look: int) -> None:
        for name, value in (("consumer_timeout", timeout), ("channel_tick_interval", look)):
            servers.rabbitmqctl("-q", "eval", f"application:set_env(rabbit, {name}, {value}).")

    have(2_000, 1_000)
    yield
    have(1_800_000, 60_000)


def assert_it_goes_on(worker: Worker, jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    await_state(run_id, State.AWAITING_CONFIRM)
    assert_effects_once(run_id)
    assert worker.process.poll() is None, worker.text()[-4000:]


def test_a_worker_survives_the_acknowledgement_timeout(hurry: None, start_worker: Start, jar: str) -> None:
    # Given a participant that takes longer than RabbitMQ waits, and a message that waits for the same child
    worker = start_worker()
    with blocked_at("three"):
        first = sagas.start(Lab, Experiment(jar=jar))
        await_lock_waits()
        second = sagas.start(Lab, Experiment(jar=jar))
        # When it closes the channel, with 406
        worker.await_text("RabbitMQ closed a channel")
        assert "PRECONDITION_FAILED" in worker.text()
    # Then all goes on, both runs as well
    for run_id in (first, second):
        await_state(run_id, State.AWAITING_CONFIRM)
        assert_effects_once(run_id)
    assert_it_goes_on(worker, jar)


def test_a_worker_survives_the_deletion_of_its_queue(start_worker: Start, jar: str) -> None:
    # RabbitMQ cancels the consumer
    worker = start_worker()
    for queue in ("orders", "sagas.dispatch"):
        with broker.channel() as channel:
            channel.queue_delete(queue)
    eventually(lambda: is_there("orders") and is_there("sagas.dispatch"), what="declared again")
    assert_it_goes_on(worker, jar)


def is_there(queue: str) -> bool:
    try:
        broker.length(queue)
    except NotFound:
        return False
    return True


def test_a_worker_survives_the_loss_of_a_permission(start_worker: Start, jar: str) -> None:
    # Given a worker whose right to consume one queue is taken away (403)
    worker = start_worker()
    user = ("-q", "set_permissions", "drinkgroup", ".*", ".*")
    servers.rabbitmqctl(*user, "^(?!orders$).*")
    try:
        close_connections()
        worker.await_text("ACCESS_REFUSED")
        worker.await_text("RabbitMQ closed a channel")
    finally:
        servers.rabbitmqctl(*user, ".*")
    assert_it_goes_on(worker, jar)


def close_connections() -> None:
    servers.rabbitmqctl("-q", "close_all_connections", "test")


# -- Without a worker -----------------------------------------------------------------------------------------


class CeleryConsumer:
    """As much of Celery's as is looked at here."""

    connection_errors: tuple[type[BaseException], ...] = (OSError,)
    channel_errors: tuple[type[BaseException], ...] = (NotFound, PreconditionFailed, ResourceLocked, AccessRefused)

    met: BaseException

    def __init__(self, **options: object) -> None:
        self.options = options

    def loop(self, *args: object) -> None:
        raise self.met

    def on_ready(self) -> None: ...

    def on_connection_error_after_connected(self, exc: BaseException) -> None: ...

    def on_connection_error_before_connected(self, exc: BaseException) -> None: ...


class Consumer(endurance.Endurance, CeleryConsumer):
    pass


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [1000.0]

    def pass_by(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(endurance, "monotonic", lambda: clock[0])
    monkeypatch.setattr(endurance, "sleep", pass_by)
    return clock


@pytest.mark.parametrize("error", [NotFound, PreconditionFailed, ResourceLocked, AccessRefused])
def test_a_consumer_that_was_ready_reconnects_and_one_that_never_was_raises(error: type[BaseException]) -> None:
    # Given a worker that is started twice by one name, or without its rights: it is to end
    consumer = Consumer()
    consumer.met = error("closed")
    with pytest.raises(error):
        consumer.loop()
    # When it was ready once, Celery takes the same for a connection that was lost
    consumer.on_ready()
    with pytest.raises(RecoverableConnectionError, match="closed"):
        consumer.loop()
    assert isinstance(consumer.met, consumer.connection_errors)


def test_a_worker_reconnects_after_growing_delays_which_reset(now: list[float]) -> None:
    consumer = Consumer()
    waits = []
    for _ in range(8):
        before = now[0]
        consumer.on_connection_error_after_connected(NotFound("gone"))
        waits.append(now[0] - before)
    assert waits == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30], abs=0.2)
    now[0] += 61
    before = now[0]
    consumer.on_connection_error_before_connected(NotFound("gone"))
    assert now[0] - before < 1


def test_a_connection_that_is_lost_is_not_waited_for(now: list[float]) -> None:
    Consumer().on_connection_error_after_connected(OSError("reset"))
    assert now == [1000.0]
