"""For whoever listens to domain events with Django: each event takes effect once, in the listener's own transaction.

RabbitMQ delivers at least once. The inbox, a table in the consumer's database, remembers what was taken; it is
written with whatever the event causes, so that both are there or neither is.
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

#: Seconds without an event after which a broker is asked whether it still stands.
QUIET = 10.0


def first_time(consumer: str, event_id: str) -> bool:
    """Note that a consumer takes an event; say whether it is the first time.

    Call it in the transaction that does what the event asks for, before anything else. A second copy that comes at
    the same moment waits for that transaction.

    >>> with transaction.atomic():
    ...     if first_time("mailer", event.id):
    ...         Letter.objects.create(...)

    Args:
        consumer: who takes it; at most 48 characters. Each consumer takes every event once.
        event_id: the event's id; at most 100 characters.

    Raises:
        InvalidArgument: one of them is too long, or no text that can be stored.
        django.db.transaction.TransactionManagementError: outside a transaction it would be noted but not done.
    """
    return bool(new_of(consumer, [event_id]))


def new_of(consumer: str, event_ids: Collection[str]) -> set[str]:
    """Do as ``first_time`` does for many events at once; return the ids of those that come for the first time."""
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
    """Delete what the inbox has remembered for longer; return how much. A copy that comes later takes effect again."""
    deleted, _ = Inbox.objects.filter(received_at__lt=Now() - older_than).delete()
    return deleted


def declare(name: str, patterns: Sequence[str], *, app: Celery | None = None) -> None:
    """Declare a consumer's queue, from which on no event is missed. Part of its deploy.

    Args:
        name: of the queue.
        patterns: what it gets, such as ``["orders.PlaceOrder.*"]``: ``*`` is one word, ``#`` any number of them.
        app: the Celery app whose broker it is; the engine's by default.
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

    Each is handled once, in a transaction with its inbox row, and acked after the commit. One that cannot be handled
    is put back, and comes again; after 20 deliveries it is set aside on the queue ``sagas.dead``. What is no event
    at all is set aside at once.

    Args:
        name: of the queue, which is declared.
        patterns: what it gets; see ``declare``.
        handle: what to do with an event. It runs in a transaction, of which no other may be made durable.
        consumer: who takes them, in the inbox; the queue's name by default.
        app: the Celery app whose broker it is; the engine's by default.
        should_stop: asked after every event, and every ``poll`` seconds.
        poll: seconds.

    Raises:
        Exception: what ``handle`` raised, with the event put back: end, and let whoever supervises start again.
        OSError, amqp.AMQPError: the broker is away, or stands still. The same.
    """
    taker = consumer or name
    with (app or engine_app()).connection_for_write() as opened:
        topology.be_impatient(opened)
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

        # One at a time: a second one that waits here would be redelivered behind those that have not come yet.
        with Consumer(channel, [topology.subscription(name, patterns)], on_message=receive, prefetch_count=1):
            heard_at = time.monotonic()
            while not should_stop():
                try:
                    opened.drain_events(timeout=poll)
                except TimeoutError:
                    if time.monotonic() - heard_at < QUIET:
                        continue
                    # No heartbeat: a handler that takes long would miss it. A question, and no answer is an error.
                    channel.queue_declare(name, passive=True)
                heard_at = time.monotonic()
                if failures:
                    raise failures[0]
