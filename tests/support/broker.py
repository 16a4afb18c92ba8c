"""RabbitMQ as a test needs it: publish what no engine would, and see what lies on a queue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from amqp import AMQPError, Message
from django.conf import settings
from kombu import Connection

from sagas.messaging import topology
from tests.support import servers
from tests.support.awaiting import eventually


@cache
def _connection() -> Connection:
    """The one connection of this process: to connect takes longer than to ask."""
    return Connection(settings.RABBITMQ_URL)


@contextmanager
def channel() -> Iterator[Any]:
    """A channel of one's own, also after the broker was away."""
    try:
        opened: Any = _connection().channel()
    except (OSError, AMQPError):
        close()
        opened = _connection().channel()
    with opened:
        yield opened


def close() -> None:
    """Give the connection back."""
    _connection().close()
    _connection.cache_clear()


def publish_raw(queue: str, body: bytes | str, *, headers: dict[str, Any] | None = None, **properties: Any) -> None:
    """Put anything on a queue; it is there when this returns."""
    properties = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2, **properties}
    with channel() as opened:
        opened.basic_publish_confirm(
            Message(body, application_headers=headers or {}, **properties), exchange="", routing_key=queue
        )


def publish_task(queue: str, task: str, args: Any = (), kwargs: Any = None, **headers: Any) -> None:
    """Put a Celery task message on a queue, whether or not the task is called so."""
    body = json.dumps([args, kwargs or {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    publish_raw(
        queue,
        body,
        headers={"lang": "py", "task": task, "id": "poison-1", "root_id": "poison-1", "retries": 0, **headers},
        correlation_id="poison-1",
    )


def purge(*queues: str) -> int:
    """Throw away what waits on these queues (all by default); say how much it was."""
    names = queues or tuple(queue.name for queue in topology.all_queues())
    with channel() as opened:
        # To ask costs a tenth of what a purge does, and most are empty.
        return sum(opened.queue_purge(name) for name in names if opened.queue_declare(name, passive=True).message_count)


def length(queue: str) -> int:
    """How many messages are ready on it."""
    with channel() as opened:
        return int(opened.queue_declare(queue, passive=True).message_count)


def is_declared(queue: str) -> bool:
    """Whether there is such a queue."""
    try:
        length(queue)
    except AMQPError:
        return False
    return True


def take(queue: str) -> Any:
    """Take the first message off a queue, or ``None``."""
    with channel() as opened:
        return opened.basic_get(queue, no_ack=True)


def queue_names(prefix: str) -> list[str]:
    """The engine's queues whose names begin so."""
    names = [queue.name for queue in topology.all_queues()]
    return [name for name in names if name.startswith(prefix)]


@contextmanager
def refusing(queue: str) -> Iterator[None]:
    """Have RabbitMQ refuse (nack) whatever is published to this queue, as a full one does, in which a message lies."""
    servers.rabbitmqctl("set_policy", "refusing", f"^{queue}$", '{"max-length": 0}', "--apply-to", "queues")
    try:
        yield
    finally:
        servers.rabbitmqctl("clear_policy", "refusing")


@contextmanager
def taking_nothing() -> Iterator[None]:
    """Have RabbitMQ take no messages inside this block: an alarm of its memory."""
    servers.rabbitmqctl("set_vm_memory_high_watermark", "0.0000001")
    try:
        eventually(lambda: "memory" in servers.rabbitmqctl("-q", "eval", "rabbit_alarm:get_alarms()."), what="an alarm")
        yield
    finally:
        servers.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1GB")


def is_blocked() -> bool:
    """Whether somebody has published since the alarm, and is read no more."""
    return "blocked" in servers.rabbitmqctl("-q", "list_connections", "state")
