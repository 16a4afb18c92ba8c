"""The connection to RabbitMQ, on which every wait ends.

RabbitMQ keeps its connections open when it has stalled (a paused machine, a stalled disk), and when a memory or disk
alarm makes it read nothing more from connections that publish. py-amqp and Celery would wait for answers without end.
Here a wait for an answer ends after ``PATIENCE``, and at once on a connection that RabbitMQ has reported as blocked. A
connection without an answer is closed without a closing handshake, which would be one more wait. For a moment after
that, this process does not connect to the same server.

Celery makes its connections with ``AMQP.Connection``. Connections to other brokers stay kombu's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from ssl import SSLWantWriteError
from struct import unpack_from
from typing import Any

import kombu
from amqp import AMQPError, IrrecoverableConnectionError, spec, transport
from celery.app.amqp import AMQP as _CeleryAMQP
from kombu.connection import ConnectionPool, PooledConnection
from kombu.transport import pyamqp
from kombu.utils.collections import HashedSeq

from sagas import runtime

#: Seconds in which RabbitMQ answers, unless it has stalled.
PATIENCE = 5.0
#: Seconds to wait for the answer to a closing handshake. The connection is closed without it, too.
GOODBYE = 1.0
#: Seconds for which a server that did not answer is not asked again.
PAUSE = 2.0
#: Seconds for which a server counts as blocked that has said so, and nothing since.
LISTEN = 60.0

#: The type of AMQP frames that contain a method.
_METHOD = 1


_ALARM = "RabbitMQ takes no messages: an alarm of its memory or disk"


class BrokerBlocked(IrrecoverableConnectionError):
    """RabbitMQ takes no messages: it is short of memory or disk. Celery does not retry this; the tick does."""


class BrokerStalled(TimeoutError):
    """RabbitMQ did not answer a moment ago, and is not asked again yet."""


class Blocked:
    """A connection that RabbitMQ does not read, kept open to learn when RabbitMQ reads again.

    Without it every try would open one more connection, with a waiting message, to a server that is short of memory.
    After ``LISTEN`` it counts no longer: the machine at the other end may be gone.
    """

    def __init__(self, opened: Any) -> None:
        self._transport = opened
        self._until = time.monotonic() + LISTEN
        self._lock = threading.Lock()

    def lasts(self) -> bool:
        """Whether RabbitMQ is still blocked, as far as this connection has heard."""
        with self._lock:
            if self._transport is None:
                return False
            if time.monotonic() < self._until and not self._ends():
                return True
            opened, self._transport = self._transport, None
            _close(opened)
            return False

    def _ends(self) -> bool:
        try:
            with self._transport.having_timeout(0):
                while True:
                    kind, _, payload = self._transport.read_frame()
                    if kind == _METHOD and tuple(unpack_from(">HH", payload)) == spec.Connection.Unblocked:
                        return True
        except TimeoutError:
            return False
        except (OSError, AMQPError):
            return True


def _close(opened: Any) -> None:
    """Close this end without a closing handshake. TLS has one, too, and would wait for the answer."""
    if opened.sock is not None:
        opened.sock.settimeout(0.01)
    opened.close()


def _is_silent(host: str) -> bool:
    """Whether this server did not answer a moment ago."""
    return time.monotonic() < runtime.own.silent_until.get(host, 0.0)


class _Reader:
    """Stops reading in the middle of a frame, and goes on with it next time; py-amqp would read on without end."""

    def _read(self, size: int, initial: bool = False) -> bytes:  # noqa: ARG002 - py-amqp's
        read: bytes = super()._read(size, True)  # type: ignore[misc]  # mixed into a transport
        return read


class _TCP(_Reader, transport.TCPTransport):
    pass


class _TLS(_Reader, transport.SSLTransport):
    pass


class Channel(pyamqp.Channel):
    """A channel on which no wait is in vain."""

    connection: Any

    def send_method(self, *args: Any, **kwargs: Any) -> Any:
        """Send, and perhaps wait. If the socket takes no more, half a frame may be out: the connection is closed."""
        connection = self.connection
        try:
            return super().send_method(*args, **kwargs)
        except (BlockingIOError, SSLWantWriteError) as error:
            if connection is not None:
                connection.give_up()
            raise BrokerStalled("RabbitMQ reads nothing more") from error

    def wait(self, *args: Any, **kwargs: Any) -> Any:
        """Wait for an answer, unless RabbitMQ does not read this connection."""
        if self.connection is None:
            return super().wait(*args, **kwargs)
        with self.connection.awaiting():
            return super().wait(*args, **kwargs)

    def basic_publish(self, *args: Any, **kwargs: Any) -> Any:
        """Publish without a confirm, unless RabbitMQ takes no messages."""
        self._refuse_if_blocked()
        return super().basic_publish(*args, **kwargs)

    def basic_publish_confirm(self, *args: Any, **kwargs: Any) -> Any:
        """Publish with a confirm, unless RabbitMQ takes no messages. Without the confirm the connection is closed."""
        self._refuse_if_blocked()
        connection = self.connection
        try:
            return super().basic_publish_confirm(*args, **kwargs)
        except TimeoutError:
            if connection is not None:
                connection.give_up()
            raise

    def close(self, *args: Any, **kwargs: Any) -> Any:
        """Close it; without a handshake, if RabbitMQ would not read that."""
        connection = self.connection
        if connection is not None and connection.blocked:
            connection.cut()
            return None
        if connection is None:
            return super().close(*args, **kwargs)
        with connection.parting():
            return super().close(*args, **kwargs)

    def _refuse_if_blocked(self) -> None:
        if self.connection is not None:
            self.connection.refuse_to_publish()


class Connection(pyamqp.Connection):
    """A connection on which every wait ends."""

    Channel = Channel
    _transport: Any
    blocking_read: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("write_timeout", PATIENCE)
        super().__init__(*args, **kwargs)
        #: Whether RabbitMQ has said that it does not read this connection.
        self.blocked = False
        self._awaiting = 0
        self._patience: float | None = None

    def Transport(  # noqa: PLR0917 - py-amqp calls it so
        self,
        host: str,
        connect_timeout: float | None,
        ssl: bool | dict[str, Any] = False,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        socket_settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Make the transport."""
        options.update(read_timeout=read_timeout, write_timeout=write_timeout, socket_settings=socket_settings)
        return (_TLS if ssl else _TCP)(host, connect_timeout=connect_timeout, ssl=ssl, **options)

    def connect(self, *args: Any, **kwargs: Any) -> Any:
        """Connect, unless this server did not answer a moment ago."""
        if _is_silent(self.host):
            raise BrokerStalled(f"{self.host} did not answer a moment ago")
        self.blocked = False
        try:
            return super().connect(*args, **kwargs)
        except TimeoutError:
            self.give_up()
            raise

    def drain_events(self, timeout: float | None = None) -> None:
        """Read until something has happened, for at most ``timeout`` seconds; without it for ``PATIENCE``.

        Heartbeats do not count: RabbitMQ also sends them on a connection that it does not read.
        """
        patience = PATIENCE if self._patience is None else self._patience
        until = time.monotonic() + (patience if timeout is None else timeout)
        try:
            while not self.blocking_read(max(0.0, until - time.monotonic())):
                pass
        except TimeoutError:
            if timeout is None:
                self.give_up()
            raise

    def close(self, *args: Any, **kwargs: Any) -> Any:
        """Close it; without a handshake, if RabbitMQ would not read that."""
        if self._transport is not None and (self.blocked or _is_silent(self.host)):
            self.cut()
            return None
        with self.parting():
            return super().close(*args, **kwargs)

    @contextmanager
    def parting(self) -> Iterator[None]:
        """Wait only for ``GOODBYE`` seconds in this block, which is a closing handshake."""
        before, self._patience = self._patience, GOODBYE
        try:
            yield
        finally:
            self._patience = before

    def give_up(self) -> None:
        """Close this end, because RabbitMQ has stalled, and do not ask this server for a moment."""
        runtime.own.silent_until[self.host] = time.monotonic() + PAUSE
        self.cut()

    def cut(self) -> None:
        """Close this end without a handshake of AMQP or TLS. The first blocked connection to a server stays open."""
        opened, self._transport = self._transport, None
        if opened is not None:
            if self.blocked and opened.connected and self.host not in runtime.own.blocked:
                runtime.own.blocked[self.host] = Blocked(opened)
            else:
                _close(opened)
        self.collect()

    def refuse_to_publish(self) -> None:
        """Raise ``BrokerBlocked`` if RabbitMQ has said, here or on another connection, that it takes no messages."""
        if self.blocked:
            with suppress(TimeoutError):
                while True:
                    self.drain_events(timeout=0)
            self.refuse_if_blocked()
        elif (other := runtime.own.blocked.get(self.host)) is not None:
            if other.lasts():
                raise BrokerBlocked(_ALARM)
            runtime.own.blocked.pop(self.host, None)

    def refuse_if_blocked(self) -> None:
        """Raise ``BrokerBlocked`` if RabbitMQ does not read this connection."""
        if self.blocked:
            raise BrokerBlocked(_ALARM)

    @contextmanager
    def awaiting(self) -> Iterator[None]:
        """Wait for an answer in this block. If the connection becomes blocked, none will come, and this raises."""
        self.refuse_if_blocked()
        self._awaiting += 1
        try:
            yield
        finally:
            self._awaiting -= 1

    def _on_blocked(self) -> None:
        self.blocked = True
        if self._awaiting:
            self.refuse_if_blocked()

    def _on_unblocked(self) -> None:
        self.blocked = False


class Transport(pyamqp.Transport):
    """kombu's transport for RabbitMQ, with these connections."""

    Connection = Connection


class SSLTransport(pyamqp.SSLTransport):
    """The same over TLS."""

    Connection = Connection


#: For each transport of kombu the one that replaces it.
_OURS: dict[Any, Any] = {pyamqp.Transport: Transport, pyamqp.SSLTransport: SSLTransport}


class _Ours:
    """Mixed into kombu's connection: for the URL of a RabbitMQ, also one of several, it uses these transports."""

    def get_transport_cls(self) -> Any:
        """The transport for the URL."""
        found = super().get_transport_cls()  # type: ignore[misc]  # mixed into a connection
        return _OURS.get(found, found)

    def Pool(self, limit: int | None = None, **options: Any) -> Any:
        """A pool of such connections; kombu's own pool makes plain ones."""
        mine: Any = self
        return _Pool(mine, limit, **options)

    def __eqhash__(self) -> Any:
        """Key of the pools. Another app of this process may use the same URL with plain connections."""
        return HashedSeq(__name__, *super().__eqhash__())  # type: ignore[misc]  # mixed into a connection


class BrokerConnection(_Ours, kombu.Connection):
    """A connection of the engine's Celery app."""


class _Pooled(_Ours, PooledConnection):
    pass


class _Pool(ConnectionPool):
    def new(self) -> Any:
        return _Pooled(self, **dict(self.connection._info(resolve=False)))


class AMQP(_CeleryAMQP):
    """Makes the connections of the engine's Celery app."""

    Connection = BrokerConnection
