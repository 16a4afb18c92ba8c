"""The names of the queues and exchanges in RabbitMQ, and their declaration.

All queues are durable quorum queues. Delayed messages wait in delay queues without consumers, from which RabbitMQ
dead-letters them at least once. Each delay queue has one TTL, because RabbitMQ expires messages only at a queue's head.
Workers declare everything at start-up, as does ``manage.py sagas topology``: a quorum queue that was declared a moment
before a crash is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from amqp import NotFound, PreconditionFailed
from kombu import Connection, Exchange, Queue, binding

from sagas.conf import config
from sagas.decisions import choreography
from sagas.definition import registry
from sagas.requirements.lack import Lack
from sagas.requirements.software import server

logger = logging.getLogger(__name__)

DISPATCH = "sagas.dispatch"
CANCEL = "sagas.cancel"
ESCALATION = "sagas.escalation"
DEAD = "sagas.dead"
COMPENSATE_EXCHANGE = "exchange.compensate"
CANCEL_KEY = "routing.compensate.cancel"
EVENTS_EXCHANGE = "sagas.events"
#: For the events that move the cohorts of sagas under choreography. Domain events go to ``sagas.events``.
CHOREOGRAPHY_EXCHANGE = "exchange.choreography"

_dead_exchange = Exchange("exchange.dead", "fanout", durable=True)
_compensate_exchange = Exchange(COMPENSATE_EXCHANGE, "direct", durable=True)
_choreography_exchange = Exchange(CHOREOGRAPHY_EXCHANGE, "topic", durable=True)
_default_exchange = Exchange("")

#: A message that was delivered this often is dead-lettered: it kills workers. High, because restarts of workers count.
DELIVERY_LIMIT = 20
#: Seconds in which RabbitMQ answers, unless it has stalled.
PATIENCE = 5.0


def _work(name: str, exchange: Exchange | None = None, routing_key: str = "") -> Queue:
    """A queue that workers consume. Messages that they reject go to the dead-letter queue."""
    return Queue(
        name,
        exchange or _default_exchange,
        routing_key=routing_key or name,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": _dead_exchange.name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )


def _delay(name: str, seconds: float, exchange: Exchange, then: dict[str, str]) -> Queue:
    """A queue without consumers. Messages leave it for ``then`` after ``seconds``."""
    return Queue(
        name,
        exchange,
        routing_key="",
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-message-ttl": milliseconds(seconds),
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            **then,
        },
    )


def milliseconds(seconds: float) -> int:
    """RabbitMQ's unit for TTLs."""
    return round(seconds * 1000)


def work_queues() -> list[Queue]:
    """The queues that workers consume: one a domain, and the engine's three."""
    return [
        _work(DISPATCH),
        _work(CANCEL, _compensate_exchange, CANCEL_KEY),
        _work(ESCALATION),
        *(_work(name) for name in config().queues),
    ]


def delay_exchange(seconds: float) -> str:
    """The exchange that delays a message. Its routing key is the queue that it goes to after that."""
    return f"exchange.delay.{milliseconds(seconds)}"


def deadline_exchange(seconds: float) -> str:
    """The exchange that delays a deadline. It goes to ``exchange.compensate`` after that."""
    return f"exchange.deadline.{milliseconds(seconds)}"


def events_exchange() -> Exchange:
    """The exchange for domain events, with routing keys such as ``orders.PlaceOrder.InventoryReserved``."""
    return Exchange(EVENTS_EXCHANGE, "topic", durable=True)


def subscription(name: str, patterns: Sequence[str]) -> Queue:
    """A consumer's queue for the events that match one of these patterns, such as ``orders.PlaceOrder.*``.

    Only one consumer at a time gets messages, and the others stand by, so the events of a run stay in order. A message
    that was delivered too often is set aside.
    """
    bindings = [binding(events_exchange(), routing_key=pattern) for pattern in patterns]
    return Queue(
        name,
        bindings=bindings,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-single-active-consumer": True,
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": _dead_exchange.name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )


def delay_queues() -> list[Queue]:
    """The delay queues of retries, and one for each confirm deadline in use."""
    queues = [
        _delay(
            f"sagas.delay.{milliseconds(seconds)}",
            seconds,
            Exchange(delay_exchange(seconds), "fanout", durable=True),
            # To the default exchange. The message keeps its routing key, which is the name of a queue.
            {"x-dead-letter-exchange": ""},
        )
        for seconds in config().delays
    ]
    withins = {
        confirmation.within.total_seconds()
        for definition in registry.all_definitions()
        for confirmation in definition.confirmations
        if confirmation.within is not None
    }
    # A deadline that came a moment too early waits again, for one of the short delays.
    queues += [
        _delay(
            f"sagas.deadline.{milliseconds(seconds)}",
            seconds,
            Exchange(deadline_exchange(seconds), "fanout", durable=True),
            {"x-dead-letter-exchange": COMPENSATE_EXCHANGE, "x-dead-letter-routing-key": CANCEL_KEY},
        )
        for seconds in sorted(withins | set(config().delays))
    ]
    return queues


def dead_letter_queue() -> Queue:
    """The dead-letter queue, where a person can see the messages that were set aside."""
    return Queue(
        DEAD,
        _dead_exchange,
        durable=True,
        # Looking at a message delivers it and puts it back. RabbitMQ 4 would drop it after 20 looks.
        queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": 1_000_000},
    )


def all_queues() -> list[Queue]:
    """Every queue of the engine, those that others lead to first."""
    return [dead_letter_queue(), *work_queues(), *delay_queues()]


def celery_queues(*, typed: bool = True) -> list[Queue]:
    """The queues of ``work_queues`` for Celery, which must not declare them: ``declare`` accepts old arguments.

    Args:
        typed: whether Celery may see that they are quorum queues; see ``task_consumer``.
    """
    queues: list[Any] = work_queues()
    for queue in queues:
        queue.no_declare = True
        if not typed:
            queue.queue_arguments = None
    return queues


def declare(connection: Connection, *, replace: bool = False) -> list[str]:
    """Declare everything, targets before sources. Idempotent.

    RabbitMQ refuses to declare a queue again with other arguments, such as those of an earlier version of the engine.
    Such a queue is used as it is: it carries messages all the same. A person replaces it by a command. If workers did
    so automatically, those of two versions would replace it in turn during a rolling deploy.

    Args:
        connection: to RabbitMQ.
        replace: replace such queues, if they are empty and have no consumers.

    Returns:
        The names of the queues whose arguments still differ. A warning is logged for each.
    """
    with connection.channel() as channel:
        events_exchange()(channel).declare()
    queues: list[Queue] = all_queues()
    differing = [queue.name for queue in queues if not _declare(connection, queue, replace=replace)]
    with connection.channel() as opened:
        binding_channel: Any = opened
        _choreography_exchange(binding_channel).declare()
        for queue_name, key in sorted(choreography_bindings()):
            binding_channel.queue_bind(queue_name, CHOREOGRAPHY_EXCHANGE, key)
    return differing


def find_old_server(connection: Connection) -> Lack | None:
    """The lack of a RabbitMQ that is too old for the delay queues; ``None`` if it is new enough."""
    # kombu's connection has py-amqp's inside.
    opened: Any = connection.connection
    properties = getattr(opened, "server_properties", None) or {}
    return server("RabbitMQ", str(properties.get("version", "")))


def choreography_bindings() -> set[tuple[str, str]]:
    """The bindings of the sagas under choreography, as (queue, routing key)."""
    return {
        bound
        for definition in registry.all_definitions()
        if config().is_choreographed(definition.name, definition.carrier)
        for bound in choreography.bindings(definition)
    }


def limit_waits(connection: Connection) -> None:
    """Let no wait for an answer on a connection exceed ``PATIENCE``: after that there is a ``TimeoutError``.

    A broker that has stalled (a paused machine, a stalled disk) keeps its connections open, and py-amqp has no time-out
    of its own for most requests. Where a request has one, that counts.
    """
    opened: Any = connection.connection
    opened.transport.sock.settimeout(PATIENCE)


def compare_queues(connection: Connection) -> tuple[list[str], list[str]]:
    """Find the queues that RabbitMQ lacks, and those that it has with other arguments. Declares no missing queue.

    Returns:
        The names of the missing queues, and of the differing ones.
    """
    missing: list[str] = []
    differing: list[str] = []
    for queue in all_queues():
        try:
            with connection.channel() as opened:
                passive: Any = opened
                passive.queue_declare(queue.name, passive=True)
        except NotFound:
            missing.append(queue.name)
            continue
        try:
            with connection.channel() as channel:
                queue(channel).queue_declare()
        except PreconditionFailed:
            differing.append(queue.name)
    return missing, differing


def _declare(connection: Connection, queue: Queue, *, replace: bool) -> bool:
    with suppress(PreconditionFailed), connection.channel() as first:
        queue(first).declare()
        return True
    # RabbitMQ has closed that channel.
    with connection.channel() as opened:
        channel: Any = opened
        found = channel.queue_declare(queue.name, passive=True)
        idle = not found.message_count and not found.consumer_count
        bound: Any = queue(channel)
        if replace and idle:
            # Two steps, for RabbitMQ cannot delete a quorum queue on condition. A message that comes in between is
            # lost, as any message may be: the database holds the work.
            bound.delete()
            bound.declare()
            return True
        if bound.exchange and bound.exchange.name:
            bound.exchange.declare()
            bound.queue_bind()
    logger.warning(
        "sagas: queue %s was declared with other arguments and is used as it is (%d messages, %d consumers); "
        "to renew it let it run empty, stop its workers, and run: manage.py sagas topology --replace",
        queue.name,
        found.message_count,
        found.consumer_count,
    )
    return False
