"""Replay events that a listener could not take from its queue in the database, where there is a broker by now.

They are left from a time without one. Each goes to the listener's queue in RabbitMQ, and is deleted here after the
confirm. If the process dies in between, it is there twice, and the listener's inbox knows the copy.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from amqp import AMQPError
from amqp.exceptions import MessageNacked
from django.db import transaction
from kombu import Connection

from sagas.messaging.dead_letters import publish_to_queue
from sagas.messaging.relay import message_of
from sagas.store import outbox
from sagas.store.outbox import DeadEvent

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Report:
    """The events that were replayed, and those that are still here, each with the reason."""

    done: list[DeadEvent] = field(default_factory=list)
    kept: list[tuple[DeadEvent, str]] = field(default_factory=list)


def replay(connection: Connection, chosen: Sequence[DeadEvent], *, by: str) -> Report:
    """Publish events to the queues of their listeners, in their order.

    Args:
        connection: to RabbitMQ, with publisher confirms.
        chosen: events that were set aside.
        by: name of the person, for the log.
    """
    report = Report()
    for dead in chosen:
        try:
            with transaction.atomic(durable=True):
                event = outbox.take_dead(dead.listener, dead.event_id)
                if event is None:
                    # Somebody else has just replayed or dropped it.
                    continue
                publish_to_queue(connection, dead.listener, message_of(event))
                # Before the commit: if it fails, the event was replayed all the same.
                logger.warning("sagas: event %s of listener %s: replayed by %s", dead.event_id, dead.listener, by)
        except (AMQPError, MessageNacked, OSError) as error:
            why = f"the queue {dead.listener} did not take it ({type(error).__name__}): start manage.py sagas listen"
            report.kept.append((dead, why))
            continue
        report.done.append(dead)
    return report
