"""The queues and exchanges of RabbitMQ: what they are called, and how they are declared.

Durable quorum queues throughout. What waits, waits in delay queues that nobody consumes: one TTL a
queue (RabbitMQ expires only at a queue's head), dead-lettered at least once. Declared at start-up, by
workers and by ``manage.py sagas topology``: a quorum queue declared a moment before a crash is lost.
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
from sagas.requirements.software import Lack, server

logger = logging.getLogger(__name__)

DISPATCH = "sagas.dispatch"
CANCEL = "sagas.cancel"
ESCALATION = "sagas.escalation"
DEAD = "sagas.dead"
COMPENSATE_EXCHANGE = "exchange.compensate"
CANCEL_KEY = "routing.compensate.cancel"
EVENTS_EXCHANGE = "sagas.events"
#: The events that move the runs of sagas under choreography. Not those for the world: these name cohorts.
CHOREOGRAPHY_EXCHANGE = "exchange.choreography"

_dead_exchange = Exchange("exchange.dead", "fanout", durable=True)
_compensate_exchange = Exchange(COMPENSATE_EXCHANGE, "direct", durable=True)
_choreography_exchange = Exchange(CHOREOGRAPHY_EXCHANGE, "topic", durable=True)
_default_exchange = Exchange("")

#: What RabbitMQ redelivers this often kills workers. Generous: a worker's restart counts as well.
DELIVERY_LIMIT = 20
#: Seconds in which a broker that is not standing still answers.
PATIENCE = 5.0


def _work(name: str, exchange: Exchange | None = None, routing_key: str = "") -> Queue:
    """A queue that workers consume; what they refuse goes to the dead-letter queue."""
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
    """A queue that nobody consumes: messages leave it for ``then`` when their time is over."""
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
    """RabbitMQ's unit of TTLs."""
    return round(seconds * 1000)


def consumed() -> list[Queue]:
    """The queues that workers consume: one a domain, and the engine's three."""
    return [
        _work(DISPATCH),
        _work(CANCEL, _compensate_exchange, CANCEL_KEY),
        _work(ESCALATION),
        *(_work(name) for name in config().queues),
    ]


def delay_exchange(seconds: float) -> str:
    """The exchange that holds a message back; its routing key is the queue it goes to then."""
    return f"exchange.delay.{milliseconds(seconds)}"


def deadline_exchange(seconds: float) -> str:
    """The exchange that holds a deadline back; it goes to ``exchange.compensate`` then."""
    return f"exchange.deadline.{milliseconds(seconds)}"


def events_exchange() -> Exchange:
    """Where domain events are published, by routing keys as ``orders.PlaceOrder.InventoryReserved``."""
    return Exchange(EVENTS_EXCHANGE, "topic", durable=True)


def subscription(name: str, patterns: Sequence[str]) -> Queue:
    """A consumer's queue of the events that fit one of these patterns, as ``orders.PlaceOrder.*``.

    One consumer at a time gets its messages, the others stand by: so a run's events stay in order. What is delivered
    too often is set aside.
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


def delays() -> list[Queue]:
    """The delay queues of retries, and one for each confirm deadline in use."""
    queues = [
        _delay(
            f"sagas.delay.{milliseconds(seconds)}",
            seconds,
            Exchange(delay_exchange(seconds), "fanout", durable=True),
            # The default exchange, and no routing key: the message keeps its own, a queue's name.
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
    # A deadline that was judged a moment too early waits again, for one of the short delays.
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


def dead() -> Queue:
    """Where poison is set aside for a person to see."""
    return Queue(
        DEAD,
        _dead_exchange,
        durable=True,
        # To look at a message is to deliver it and put it back: RabbitMQ 4 would drop it after 20 looks.
        queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": 1_000_000},
    )


def consuming() -> list[Queue]:
    """What ``consumed`` does, for Celery: not declared again, for ``declare`` lives with a queue of old arguments."""
    queues: list[Any] = consumed()
    for queue in queues:
        queue.no_declare = True
    return queues


def declare(connection: Connection, *, replace: bool = False) -> list[str]:
    """Declare everything, targets before sources. Idempotent.

    RabbitMQ refuses to redeclare a queue with other arguments, such as those of an earlier version of the
    engine. It is used as it is then, for it carries messages all the same, and replaced by a person's
    command: a worker that did so by itself would fight those of the earlier version during a rolling deploy.

    Args:
        connection: to RabbitMQ.
        replace: replace such queues too, those that are empty and that nobody consumes.

    Returns:
        The names of the queues whose arguments still differ. A warning is logged for each.
    """
    with connection.channel() as channel:
        events_exchange()(channel).declare()
    queues: list[Queue] = [dead(), *consumed(), *delays()]
    differing = [queue.name for queue in queues if not _declare(connection, queue, replace=replace)]
    with connection.channel() as opened:
        binding_channel: Any = opened
        _choreography_exchange(binding_channel).declare()
        for queue_name, key in sorted(choreographed()):
            binding_channel.queue_bind(queue_name, CHOREOGRAPHY_EXCHANGE, key)
    return differing


def too_old(connection: Connection) -> Lack | None:
    """Whether the RabbitMQ of a connection is older than what the delay queues rest on."""
    # Two of kombu's, of which the inner one is py-amqp's.
    opened: Any = connection.connection
    properties = getattr(opened, "server_properties", None) or {}
    return server("RabbitMQ", str(properties.get("version", "")))


def choreographed() -> set[tuple[str, str]]:
    """What each queue reacts to, as (queue, routing key), of the sagas under choreography."""
    return {
        bound
        for definition in registry.all_definitions()
        if config().is_choreographed(definition.name, definition.carrier)
        for bound in choreography.bindings(definition)
    }


def be_impatient(connection: Connection) -> None:
    """Have no answer on a connection awaited for longer: then there is a ``TimeoutError``.

    A broker that stands still (a paused machine, a stalled disk) keeps its connections, and py-amqp has no time-out
    of its own for most of what it asks. Where one is given, that holds.
    """
    opened: Any = connection.connection
    opened.transport.sock.settimeout(PATIENCE)


def compare(connection: Connection) -> tuple[list[str], list[str]]:
    """Look which queues RabbitMQ has not, and which it has with other arguments. Declares nothing that is not there.

    Returns:
        The names of the missing, and of the differing.
    """
    missing: list[str] = []
    differing: list[str] = []
    for queue in [dead(), *consumed(), *delays()]:
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
            # Asked and deleted in two steps: a quorum queue cannot be deleted on condition. What came in between
            # is lost, as any message may be: the database holds the work.
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
