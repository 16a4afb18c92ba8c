"""A RabbitMQ that stands still (a paused machine, a stalled disk) keeps its connections: nobody waits for long."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from sagas.delivery.carrier import CarrierAway
from sagas.messaging import (
    broker_connection,
    consumer,
    publisher,
    relay,
    topology,
)
from sagas.messaging.app import app
from sagas.models import Outbox
from tests.integration.messaging.test_outbox import confirmed, relay_all
from tests.support import broker, servers

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five seconds are too long for a test."""
    monkeypatch.setattr(relay, "CONFIRM_TIMEOUT", 0.3)
    monkeypatch.setattr(topology, "PATIENCE", 0.3)
    monkeypatch.setattr(broker_connection, "PATIENCE", 0.3)
    monkeypatch.setattr(broker_connection, "PAUSE", 0.0)
    monkeypatch.setattr(consumer, "QUIET", 0.2)


def while_it_stands_still(work: Callable[[], object], *, connected: Callable[[], object]) -> BaseException | None:
    """Do ``connected``, then ``work`` while RabbitMQ stands still; say what that raised; fail if it does not end."""
    is_connected, goes_on = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def do() -> None:
        try:
            connected()
            is_connected.set()
            goes_on.wait(20)
            work()
        except BaseException as error:
            raised.append(error)
        finally:
            is_connected.set()
            connection.close()

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    is_connected.wait(20)
    with servers.standing_still("rabbitmq"):
        goes_on.set()
        thread.join(10)
        held = thread.is_alive()
    thread.join(20)
    publisher.drop_connections(app)
    assert not held, "it waits as long as RabbitMQ stands still"
    return raised[0] if raised else None


def test_events_wait_for_the_next_tick_while_rabbitmq_hangs() -> None:
    # Given events that wait, and a connection that was good
    def publish_some() -> None:
        confirmed(1)
        relay_all()
        confirmed(1)

    # When they are published
    error = while_it_stands_still(lambda: relay.relay(app), connected=publish_some)

    # Then the worker is free again, and they still wait
    assert isinstance(error, relay.NotConfirmed)
    assert Outbox.objects.exists()
    relay_all()
    relay.close()
    assert not Outbox.objects.exists()


def test_a_dispatch_does_not_wait_for_queue_lengths_while_rabbitmq_hangs() -> None:
    look = publisher.Publisher().is_congested
    error = while_it_stands_still(look, connected=look)
    assert isinstance(error, CarrierAway)
    assert isinstance(error.__cause__, TimeoutError)


def test_pooled_connections_are_dropped_without_a_closing_handshake() -> None:
    error = while_it_stands_still(
        lambda: publisher.drop_connections(app), connected=lambda: publisher.Publisher().is_congested()
    )
    assert error is None


def test_an_event_consumer_reconnects() -> None:
    # Given somebody who listens, to a broker that answers, for longer than it says nothing
    listens = threading.Event()
    questions = iter(range(100))

    def should_stop() -> bool:
        if next(questions) > 5:
            listens.set()
        return False

    errors: list[BaseException] = []

    def listen() -> None:
        try:
            consumer.listen("lab-standing-still", ["lab.Nobody.*"], print, should_stop=should_stop, poll=0.1)
        except OSError as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert listens.wait(20)
    assert errors == []

    # When it stands still
    with servers.standing_still("rabbitmq"):
        thread.join(8)
        held = thread.is_alive()

    # Then that is an error, for whoever supervises
    assert not held
    assert [type(error) for error in errors] == [TimeoutError]
    with broker.channel() as channel:
        channel.queue_delete("lab-standing-still")
