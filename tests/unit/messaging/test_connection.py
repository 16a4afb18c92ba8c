"""Connections to RabbitMQ on which every wait ends: without one, over a pair of sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kombu.transport.redis import Transport as RedisTransport

from sagas import runtime
from sagas.messaging import broker_connection
from sagas.messaging.broker_connection import BrokerConnection, Connection, SSLTransport, Transport

HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, socket.socket]]:
    monkeypatch.setattr(runtime, "own", runtime.Own())
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def connection(sockets: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch) -> Connection:
    """As it is after the handshake."""
    monkeypatch.setattr(broker_connection, "PATIENCE", 0.2)
    made: Any = Connection(host="somewhere:5672")
    made.transport = transport = made.Transport("somewhere:5672", None)
    transport.sock = sockets[0]
    transport._setup_transport()
    transport.connected = True
    made.on_inbound_frame = lambda frame: frame[0] != HEARTBEAT[0]
    found: Connection = made
    return found


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        ("amqp://somewhere", Transport),
        ("pyamqp://somewhere", Transport),
        ("amqps://somewhere", SSLTransport),
        ("amqp://somewhere;amqp://elsewhere", Transport),
        ("redis://somewhere", RedisTransport),
    ],
)
def test_only_connections_to_rabbitmq_differ_from_kombus(url: str, transport: type[Any]) -> None:
    connection = BrokerConnection(url)
    assert connection.get_transport_cls() is transport
    assert connection.clone().get_transport_cls() is transport
    pooled = connection.Pool(1).new()
    assert pooled.get_transport_cls() is transport
    # And after it has gone to the next of several
    connection.maybe_switch_next()
    assert connection.get_transport_cls() is transport


def test_heartbeats_do_not_count_as_an_answer(
    connection: Connection, sockets: tuple[socket.socket, socket.socket]
) -> None:
    # Given a server that sends nothing else
    over = threading.Event()

    def beat() -> None:
        while not over.wait(0.02):
            try:
                sockets[1].sendall(HEARTBEAT)
            except OSError:
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    # When an answer is awaited
    try:
        with pytest.raises(TimeoutError):
            connection.drain_events()
    finally:
        over.set()
        thread.join(10)
    # Then this end is closed, and the server is left alone
    assert not connection.connected
    with pytest.raises(broker_connection.BrokerStalled):
        connection.connect()


def test_an_incomplete_frame_does_not_block_the_loop(
    connection: Connection, sockets: tuple[socket.socket, socket.socket]
) -> None:
    frame = b"\x01\x00\x01\x00\x00\x00\x02ab\xce"
    sockets[1].sendall(frame[:5])
    # As Celery's loop reads
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0)
    assert connection.connected
    # And nothing of it is lost
    sockets[1].sendall(frame[5:])
    connection.drain_events(timeout=0)


def test_a_socket_that_accepts_no_more_data_ends_the_connection(
    connection: Connection, sockets: tuple[socket.socket, socket.socket]
) -> None:
    sockets[0].setblocking(False)
    channel: Any = broker_connection.Channel(connection, 1)

    def write(*_: object) -> None:
        sockets[0].sendall(b"x" * 10_000_000)

    writable: Any = connection
    writable.frame_writer = write
    with pytest.raises(broker_connection.BrokerStalled):
        channel.send_method((10, 10))
    assert not connection.connected
