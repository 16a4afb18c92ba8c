"""Publish the outbox: domain events go to the topic exchange ``sagas.events``, at least once, in order per run.

The relay has a connection of its own, on which it publishes many events and then waits for their confirms; Celery waits
for each. Any number of processes may relay at the same time, for each claims its runs (``sagas.store.outbox``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import kombu.exceptions
from amqp import Message
from celery import Celery
from django.db import transaction

from sagas import runtime
from sagas.conf import config
from sagas.db import describe_error
from sagas.definition import registry
from sagas.definition.events import CONTENT_TYPE, Event
from sagas.messaging import topology
from sagas.store import outbox

logger = logging.getLogger(__name__)

#: Seconds to wait for the confirms of one wave. Without a limit the relay waits without end while a quorum is missing.
CONFIRM_TIMEOUT = 5.0
#: Seconds after which no further wave is published: PostgreSQL ends transactions that are idle for too long.
PATIENCE = 10.0


class NotConfirmed(kombu.exceptions.OperationalError):
    """RabbitMQ did not confirm the events in time. They are published again; some may come twice."""


def any_saga_publishes() -> bool:
    """Whether this process knows a saga that publishes events."""
    return any(definition.publishes for definition in registry.all_definitions())


def relay(app: Celery) -> bool:
    """Publish the due events of at most ``SAGAS["RELAY"]`` runs.

    One transaction lasts from the claim to the deletion. If the process dies in between, its locks are released, and
    another process publishes the same events again.

    Returns:
        Whether more may wait.

    Raises:
        OSError, amqp.AMQPError, kombu.exceptions.OperationalError: the broker is away, or does not confirm. The events
            that it has confirmed are deleted all the same; the others wait.
    """
    limit = config().relay
    failure: Exception | None = None
    with transaction.atomic(durable=True):
        claimed = outbox.claim(limit)
        if not claimed:
            return False
        waves = _Waves(outbox.read(claimed))
        try:
            waves.run(_open(app))
        except Exception as error:
            # Raised after the commit, for what is published must be deleted.
            failure = error
        outbox.delete(waves.published)
        outbox.put_off(waves.refused)
    if failure is not None or waves.refused:
        # RabbitMQ may refuse everything on this channel from now on.
        close()
    if failure is not None:
        raise failure
    if waves.refused:
        logger.warning(
            "sagas: RabbitMQ refused an event of %d run(s), for which a queue is full: tried again later",
            len(waves.refused),
        )
    return len(claimed) == limit


def close() -> None:
    """Close this thread's connection, if it has one. The next event opens a new one."""
    own = runtime.own.per_thread
    line, own.line = getattr(own, "line", None), None
    if line is not None:
        line.close()


class _Waves:
    """Publishes the events of many runs in waves. A wave has the next event of each run whose last one was confirmed.

    Attributes:
        published: for each run, the position of the last event that RabbitMQ has confirmed.
        refused: for each run whose next event RabbitMQ refused, how often it was refused before.
    """

    def __init__(self, waiting: Mapping[UUID, Sequence[outbox.Waiting]]) -> None:
        self.published: dict[UUID, int] = {}
        self.refused: dict[UUID, int] = {}
        self._left = {run_id: list(reversed(events)) for run_id, events in waiting.items() if events}

    def run(self, line: _Line) -> None:
        """Publish until nothing is left, or ``PATIENCE`` is over."""
        until = time.monotonic() + PATIENCE
        while self._left and time.monotonic() < until:
            wave = [events.pop() for events in self._left.values()]
            answers = line.publish([waiting.event for waiting in wave])
            for waiting, confirmed in zip(wave, answers, strict=True):
                run_id = waiting.event.run_id
                if confirmed is None:
                    continue
                if confirmed:
                    self.published[run_id] = waiting.event.position
                else:
                    self.refused[run_id] = waiting.attempt
            if None in answers:
                msg = f"{answers.count(None)} of {len(wave)} events were not confirmed within {CONFIRM_TIMEOUT:g} s"
                raise NotConfirmed(msg)
            self._left = {r: events for r, events in self._left.items() if events and r not in self.refused}


class _Line:
    """A connection to RabbitMQ with a channel in confirm mode."""

    def __init__(self, app: Celery) -> None:
        # Not Celery's confirm_publish, which waits for each message.
        self._connection: Any = app.connection_for_write(transport_options={"confirm_publish": False}, heartbeat=0)
        try:
            topology.limit_waits(self._connection)
            channel: Any = self._connection.channel()
            self._channel = channel
            topology.events_exchange()(self._channel).declare()
            self._channel.confirm_select()
        except BaseException:
            self.close()
            raise
        self._tag = 0
        self._unanswered: dict[int, int] = {}
        self._answers: list[bool | None] = []
        self._channel.events["basic_ack"].add(self._acked)
        self._channel.events["basic_nack"].add(self._nacked)

    def publish(self, events: Sequence[Event]) -> list[bool | None]:
        """Publish events. Return for each whether RabbitMQ confirmed it; ``None`` if it did not answer in time."""
        self._answers = [None] * len(events)
        try:
            for index, event in enumerate(events):
                try:
                    message = message_of(event)
                except Exception:
                    # Treated as refused: tried again after ever longer waits, while the others go on.
                    logger.exception("sagas: event %s cannot be written", event.id)
                    self._answers[index] = False
                    continue
                self._tag += 1
                self._unanswered[self._tag] = index
                self._channel.basic_publish(message, exchange=topology.EVENTS_EXCHANGE, routing_key=event.routing_key)
            until = time.monotonic() + CONFIRM_TIMEOUT
            while self._unanswered:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._connection.drain_events(timeout=left)
        except (OSError, *self._connection.connection_errors, *self._connection.channel_errors) as error:
            # The answers that came before count. The others are not known, as after a time-out.
            logger.warning("sagas: the connection for events broke: %s", describe_error(error))
        return self._answers

    def close(self) -> None:
        """Close it without AMQP's closing handshake, which a server that has stalled does not answer."""
        try:
            self._connection.collect()
        except Exception as error:
            logger.debug("sagas: closing the connection for events: %s", error)

    def _acked(self, tag: int, multiple: bool) -> None:
        self._answer(tag, multiple=multiple, confirmed=True)

    def _nacked(self, tag: int, multiple: bool) -> None:
        self._answer(tag, multiple=multiple, confirmed=False)

    def _answer(self, tag: int, *, multiple: bool, confirmed: bool) -> None:
        for answered in [known for known in self._unanswered if known <= tag] if multiple else [tag]:
            index = self._unanswered.pop(answered, None)
            if index is not None:
                self._answers[index] = confirmed


def _open(app: Celery) -> _Line:
    """This thread's connection: two threads on one connection would take each other's confirms for their own."""
    line: _Line | None = getattr(runtime.own.per_thread, "line", None)
    if line is None:
        line = runtime.own.per_thread.line = _Line(app)
    return line


def message_of(event: Event) -> Message:
    """An event as RabbitMQ takes it."""
    return Message(
        event.to_json().encode(),
        content_type=CONTENT_TYPE,
        content_encoding="utf-8",
        delivery_mode=2,
        message_id=event.id,
        type=event.name,
        timestamp=int(event.occurred_at.timestamp()),
    )
