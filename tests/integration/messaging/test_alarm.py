"""RabbitMQ takes no messages (an alarm of its memory or disk), or stands still: workers go on with what they can do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from amqp import Message

import sagas
from sagas import State, runtime
from sagas.decisions.messages import Kick
from sagas.delivery import dispatching
from sagas.delivery.carrier import CarrierAway
from sagas.messaging import broker_connection, publisher, topology
from sagas.messaging.app import app
from tests.integration.conftest import Start
from tests.lab.sagas import Experiment, Lab
from tests.support import broker, servers
from tests.support.awaiting import eventually
from tests.support.runs import assert_effects_once, await_state, expired_by, shift_clock
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(autouse=True)
def _fresh_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    publisher.drop_connections(app)
    # Connections to RabbitMQ are new. Those to PostgreSQL live on, with what is prepared in them.
    monkeypatch.setattr(runtime, "own", runtime.Own(prepared=runtime.own.prepared))
    yield
    publisher.drop_connections(app)


def publish_cancel_later(seconds: float, run_id: object) -> None:
    """A deadline message that comes after so many seconds."""
    import json

    kwargs = {"saga": "lab.Lab", "version": 1, "confirmation": "approval", "ids": [str(run_id)]}
    body = json.dumps([[], kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    headers = {"lang": "py", "task": "sagas.cancel", "id": "late", "root_id": "late", "retries": 0}
    message = Message(body, application_headers=headers, content_type="application/json", content_encoding="utf-8")
    with broker.channel() as channel:
        channel.basic_publish_confirm(message, exchange=topology.delay_exchange(seconds), routing_key="sagas.cancel")


def assert_ends_when_told(worker: Worker) -> None:
    worker.process.terminate()
    assert worker.process.wait(timeout=25) == 0, worker.text()[-4000:]


def test_during_an_alarm_a_worker_expires_deadlines_and_stops_when_told(start_worker: Start, jar: str) -> None:
    # Given a run that waits for its confirmation, and a deadline message that comes under the alarm
    worker = start_worker()
    run_id = sagas.start(Lab, Experiment(jar=jar))
    await_state(run_id, State.AWAITING_CONFIRM)
    publish_cancel_later(8, run_id)
    with broker.taking_nothing():
        # And a worker that has tried to publish: an event, a tick
        eventually(broker.is_blocked, what="the worker has published")
        # When the deadline is over, and the message comes
        shift_clock([run_id], 60)
        # Then it is judged. Who judges it may go on with the undo, for which no message is needed.
        await_state(run_id, State.COMPENSATING, State.FAILED)
        assert expired_by(run_id) == "message"
        # And SIGTERM is obeyed
        assert_ends_when_told(worker)

    # And when the alarm is over, the rest is done
    start_worker()
    await_state(run_id, State.FAILED)
    assert_effects_once(run_id)


@pytest.mark.slow
def test_a_worker_starts_during_an_alarm_and_works_when_it_is_over(start_worker: Start, jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    with broker.taking_nothing():
        worker = start_worker()
        eventually(broker.is_blocked, what="the worker has published")
    await_state(run_id, State.AWAITING_CONFIRM)
    assert worker.process.poll() is None


def test_a_worker_stops_when_told_while_rabbitmq_hangs(start_worker: Start) -> None:
    worker = start_worker()
    with servers.standing_still("rabbitmq"):
        assert_ends_when_told(worker)


@pytest.mark.slow
def test_a_worker_survives_a_rabbitmq_that_hangs(start_worker: Start, jar: str) -> None:
    worker = start_worker()
    with servers.standing_still("rabbitmq"):
        run_id = sagas.start(Lab, Experiment(jar=jar))
        worker.await_text("no dispatch could be asked for")
    await_state(run_id, State.AWAITING_CONFIRM)
    assert worker.process.poll() is None


# -- One process ----------------------------------------------------------------------------------------------


def test_no_publisher_waits_during_an_alarm_and_one_connection_learns_its_end() -> None:
    publisher.ask_for_dispatch(app, tick=False)
    with broker.taking_nothing():
        before = connections()
        for _ in range(10):
            with pytest.raises(broker_connection.BrokerBlocked):
                publisher.ask_for_dispatch(app, tick=False)
        publisher.drop_connections(app)
        # Asked by whoever consumes, RabbitMQ answers all the same
        assert publisher.Publisher().is_congested() is False
        assert connections() <= before + 2
    eventually(asked, what="a dispatch is asked for as soon as RabbitMQ takes messages")


def asked() -> bool:
    try:
        publisher.ask_for_dispatch(app, tick=False)
    except broker_connection.BrokerBlocked:
        return False
    return True


def connections() -> int:
    return len(servers.rabbitmqctl("-q", "list_connections", "pid", "--no-table-headers").split())


@pytest.mark.slow
def test_a_silent_connection_does_not_keep_an_alarm_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_connection, "LISTEN", 0.0)
    publisher.ask_for_dispatch(app, tick=False)
    with broker.taking_nothing():
        for _ in range(2):
            with pytest.raises(broker_connection.BrokerBlocked):
                publisher.ask_for_dispatch(app, tick=False)
        (told,) = runtime.own.blocked.values()
        assert not told.lasts()


def test_a_process_waits_only_once_for_a_rabbitmq_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_connection, "PATIENCE", 0.3)
    monkeypatch.setattr(broker_connection, "PAUSE", 60.0)
    publisher.ask_for_dispatch(app, tick=False)
    with servers.standing_still("rabbitmq"):
        with pytest.raises(CarrierAway):
            publisher.Publisher().is_congested()
        # No more than the pauses between the tries of each
        for _ in range(5):
            with pytest.raises(CarrierAway, match="did not answer a moment ago"):
                publisher.Publisher().publish(Kick(1.0))


def test_new_runs_begin_although_the_length_of_a_missing_queue_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime.memory, "are_queues_long", True)
    with broker.channel() as channel:
        channel.queue_delete("delivery")
    try:
        assert dispatching.look_at_queues(publisher.Publisher) is False
    finally:
        with app.connection_for_write() as connection:
            topology.declare(connection)
