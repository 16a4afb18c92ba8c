"""Publish the outbox: domain events to the topic exchange ``sagas.events``, at least once, in order per run.

Beside ``sagas.messaging.publisher`` the only module that publishes. It has a connection of its own, on
which it publishes many events and then waits for their confirms; Celery's waits for each. Any number of processes may
relay at once: what one has claimed (``sagas.store.outbox``) the others leave alone.
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

#: Without a time-out one would wait for ever when a quorum is gone. Seconds, for the events of one wave.
CONFIRM_TIMEOUT = 5.0
#: After so many seconds no further wave is published: PostgreSQL ends transactions that idle too long.
PATIENCE = 10.0


class NotConfirmed(kombu.exceptions.OperationalError):
    """RabbitMQ has not said in time whether it has the events. They are published again; some may come twice."""


def wanted() -> bool:
    """Whether a saga that this process knows publishes events."""
    return any(definition.publishes for definition in registry.all_definitions())


def relay(app: Celery) -> bool:
    """Publish what is due of the outbox, of at most ``SAGAS["RELAY"]`` runs.

    One transaction from the claim to the deletion: whoever dies in between loses its locks, and another publishes
    the same events again.

    Returns:
        Whether more may wait.

    Raises:
        OSError, amqp.AMQPError, kombu.exceptions.OperationalError: the broker is away, or does not confirm. What it
            has confirmed is deleted all the same; the rest waits.
    """
    limit = config().relay
    failure: Exception | None = None
    with transaction.atomic(durable=True):
        claimed = outbox.claim(limit)
        if not claimed:
            return False
        courier = _Courier(outbox.read(claimed))
        try:
            courier.run(_open(app))
        except Exception as error:
            # Raised once it is committed what is published.
            failure = error
        outbox.delete(courier.published)
        outbox.put_off(courier.refused)
    if failure is not None or courier.refused:
        # A channel that was refused once may be refused for good: the next one is new.
        close()
    if failure is not None:
        raise failure
    if courier.refused:
        logger.warning(
            "sagas: RabbitMQ refused an event of %d run(s), for which a queue is full: tried again later",
            len(courier.refused),
        )
    return len(claimed) == limit


def close() -> None:
    """Close this thread's connection, if it has one; the next event opens another."""
    own = runtime.own.per_thread
    line, own.line = getattr(own, "line", None), None
    if line is not None:
        line.close()


class _Courier:
    """Publishes events of many runs in waves: in each the next event of every run whose last one was confirmed.

    Attributes:
        published: by run, the position up to which RabbitMQ has confirmed.
        refused: by run whose next event RabbitMQ has refused, how often it was refused before.
    """

    def __init__(self, waiting: Mapping[UUID, Sequence[outbox.Waiting]]) -> None:
        self.published: dict[UUID, int] = {}
        self.refused: dict[UUID, int] = {}
        self._left = {run_id: list(reversed(events)) for run_id, events in waiting.items() if events}

    def run(self, line: _Line) -> None:
        """Publish until nothing is left, or the time is over."""
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
    """A connection to RabbitMQ and a channel that confirms, as long as nothing goes wrong on it."""

    def __init__(self, app: Celery) -> None:
        # Not Celery's confirm_publish, which waits for each message.
        self._connection: Any = app.connection_for_write(transport_options={"confirm_publish": False}, heartbeat=0)
        try:
            topology.be_impatient(self._connection)
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
        """Publish events and wait for what RabbitMQ says of each: confirmed, refused, or ``None``: nothing in time."""
        self._answers = [None] * len(events)
        try:
            for index, event in enumerate(events):
                try:
                    message = _message(event)
                except Exception:
                    # As if RabbitMQ had refused it: later, and ever later, while the others go on.
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
            # What was answered before counts. The rest is not known, as after a time-out.
            logger.warning("sagas: the connection for events broke: %s", describe_error(error))
        return self._answers

    def close(self) -> None:
        """Drop it. Not by AMQP's goodbye: whoever stands still does not answer it, and we would wait for that."""
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


def _message(event: Event) -> Message:
    return Message(
        event.to_json().encode(),
        content_type=CONTENT_TYPE,
        content_encoding="utf-8",
        delivery_mode=2,
        message_id=event.id,
        type=event.name,
        timestamp=int(event.occurred_at.timestamp()),
    )
