"""For consumers of domain events that use Django: each event takes effect once, in the consumer's own transaction.

RabbitMQ delivers at least once. The inbox, a table in the consumer's database, records which events were taken. It is
written in the transaction of the event's effect, so both are there or neither is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

from celery import Celery
from django.db import close_old_connections, connection, transaction
from django.db.models.functions import Now
from kombu import Consumer

from sagas import limits
from sagas.definition.events import Event
from sagas.errors import InvalidArgument
from sagas.messaging import topology
from sagas.messaging.app import engine_app
from sagas.models import Inbox
from sagas.store import outbox
from sagas.validation import why_unstorable

logger = logging.getLogger(__name__)

#: Seconds without an event after which the consumer asks RabbitMQ whether it still answers.
QUIET = 10.0


def first_time(consumer: str, event_id: str) -> bool:
    """Record that a consumer takes an event; return whether it is the first time.

    Call it in the transaction of the event's effect, before anything else. A second copy that comes at the same moment
    waits for that transaction.

    >>> with transaction.atomic():
    ...     if first_time("mailer", event.id):
    ...         Letter.objects.create(...)

    Args:
        consumer: its name, at most 48 characters. Each consumer takes every event once.
        event_id: the event's id; at most 100 characters.

    Raises:
        InvalidArgument: one of them is too long, or is no text that PostgreSQL can store.
        django.db.transaction.TransactionManagementError: there is no transaction.
    """
    return bool(new_of(consumer, [event_id]))


def new_of(consumer: str, event_ids: Collection[str]) -> set[str]:
    """Do what ``first_time`` does for many events; return the ids of those that come for the first time."""
    name, event = limits.CONSUMER_NAME, limits.EVENT_ID
    if not _fits(consumer, name) or not all(_fits(event_id, event) for event_id in event_ids):
        msg = f"a consumer has at most {name} characters, the id of an event {event}, and no NUL"
        raise InvalidArgument(msg)
    if not connection.in_atomic_block:
        msg = "take events in the transaction that does what they ask for"
        raise transaction.TransactionManagementError(msg)
    return outbox.take_in(consumer, event_ids)


def _fits(text: object, limit: int) -> bool:
    return isinstance(text, str) and len(text) <= limit and not why_unstorable(text)


def forget(*, older_than: timedelta) -> int:
    """Delete older entries of the inbox; return how many. A copy of such an event would take effect again."""
    deleted, _ = Inbox.objects.filter(received_at__lt=Now() - older_than).delete()
    return deleted


def declare(name: str, patterns: Sequence[str], *, app: Celery | None = None) -> None:
    """Declare a consumer's queue, which gets every event from then on. Do it when the consumer is deployed.

    Args:
        name: of the queue.
        patterns: which events it gets, such as ``["orders.PlaceOrder.*"]``: ``*`` is one word, ``#`` any number.
        app: a Celery app for the broker; the engine's by default.
    """
    with (app or engine_app()).connection_for_write() as opened, opened.channel() as channel:
        topology.subscription(name, patterns)(channel).declare()


def listen(
    name: str,
    patterns: Sequence[str],
    handle: Callable[[Event], object],
    *,
    consumer: str = "",
    app: Celery | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    poll: float = 1.0,
) -> None:
    """Take the events of a queue, one after the other, until told to stop.

    Each event is handled once, in a transaction with its inbox row, and acknowledged after the commit. An event whose
    handling fails is put back, and comes again; after 20 deliveries it is set aside on the queue ``sagas.dead``. A
    message that is no event is set aside at once.

    Args:
        name: of the queue, which is declared.
        patterns: which events it gets; see ``declare``.
        handle: called with each event, in a transaction. It cannot open a durable transaction inside.
        consumer: the consumer's name in the inbox; the queue's name by default.
        app: a Celery app for the broker; the engine's by default.
        should_stop: called after every event, and every ``poll`` seconds.
        poll: seconds.

    Raises:
        Exception: what ``handle`` raised; the event is put back. End the process, and let its supervisor restart it.
        OSError, amqp.AMQPError: the broker is away, or has stalled. Do the same.
    """
    taker = consumer or name
    with (app or engine_app()).connection_for_write() as opened:
        topology.limit_waits(opened)
        channel: Any = opened.channel()
        failures: list[Exception] = []

        def receive(message: Any) -> None:
            try:
                event = Event.from_json(message.body)
            except ValueError as error:
                logger.error("sagas: what came to %s was set aside: %s", name, error)  # noqa: TRY400 - no trace to show
                message.reject()
                return
            try:
                close_old_connections()
                with transaction.atomic():
                    if first_time(taker, event.id):
                        handle(event)
            except Exception as error:
                message.requeue()
                failures.append(error)
                return
            message.ack()

        # One at a time. A second event that waits here would be redelivered after later ones.
        with Consumer(channel, [topology.subscription(name, patterns)], on_message=receive, prefetch_count=1):
            heard_at = time.monotonic()
            while not should_stop():
                try:
                    opened.drain_events(timeout=poll)
                except TimeoutError:
                    if time.monotonic() - heard_at < QUIET:
                        continue
                    # Not by heartbeats, which a slow handler would miss. Without an answer this raises.
                    channel.queue_declare(name, passive=True)
                heard_at = time.monotonic()
                if failures:
                    raise failures[0]
