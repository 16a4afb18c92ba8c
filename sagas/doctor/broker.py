"""Probes of RabbitMQ. Each takes the open connection, which the doctor makes once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from amqp import NotFound
from kombu import Connection

from sagas import topology
from sagas.doctor.finding import Finding, Severity


def queues(broker: Connection) -> Iterator[Finding]:
    """Tell of queues that are missing, or were declared with other arguments."""
    missing, differing = topology.compare(broker)
    if missing:
        what = f"Queues are missing in RabbitMQ: {', '.join(missing)}."
        yield Finding(Severity.ERROR, what, remedy="Run manage.py sagas topology.")
    if differing:
        what = f"Queues were declared with other arguments, and are used as they are: {', '.join(differing)}."
        remedy = "Let them run empty, stop their workers, and run manage.py sagas topology --replace."
        yield Finding(Severity.ERROR, what, remedy=remedy)
    if not missing and not differing:
        yield Finding(Severity.FINE, "Every queue is in RabbitMQ as it should be.")


def dead_letters(broker: Connection) -> Iterator[Finding]:
    """Tell of messages that were set aside."""
    try:
        with broker.channel() as opened:
            channel: Any = opened
            count: int = channel.queue_declare(topology.dead().name, passive=True).message_count
    except NotFound:
        return  # of which the probe of the queues tells
    if count:
        yield Finding(
            Severity.WARNING,
            f"{count} message(s) were set aside as dead letters.",
            remedy="See manage.py sagas dead. No run hangs on them; replay what makes sense now, and drop the rest.",
        )
    else:
        yield Finding(Severity.FINE, "No message was set aside.")
