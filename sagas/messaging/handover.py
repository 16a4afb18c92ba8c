"""A kick becomes a dispatch in a child of the same worker, without RabbitMQ, where a child is free.

The message of a dispatch guarantees nothing: what it asks for is due in the database, and every tick asks again by
RabbitMQ. So the main process puts a kick's dispatch on its own pool, as if the message had come. That saves the broker
a message that it would copy to its quorum, and an idle run the time of that. Where all children are busy, or the pool
has no event loop, the dispatch is published, and whichever worker is free performs it. So it is after a child has died
with a dispatch: RabbitMQ counts how often it delivers a message.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import Any
from uuid import uuid4

from kombu.asynchronous.semaphore import LaxBoundedSemaphore
from kombu.message import Message
from kombu.serialization import dumps

from sagas import runtime
from sagas.messaging import topology
from sagas.messaging.publisher import DISPATCH_TASK

logger = logging.getLogger(__name__)


class Handover:
    """The way from the ticker's thread into the event loop of the worker's main process."""

    def __init__(self) -> None:
        self._reads, self._writes = os.pipe()
        os.set_blocking(self._reads, False)
        os.set_blocking(self._writes, False)
        #: Celery's consumer; ``None`` while it is not connected.
        self._consumer: Any = None
        #: Whether a child has died with a dispatch, and nobody was asked for another one.
        self._is_lost = False

    def open(self, consumer: Any, hub: Any) -> None:
        """Perform kicks by this consumer from now on. Its event loop forgets all readers when a connection is lost."""
        self._consumer = consumer
        hub.add_reader(self._reads, self._take)

    def close(self) -> None:
        """Perform no kicks until the consumer is connected again."""
        self._consumer = None

    def try_(self) -> bool:
        """Have a child dispatch, if one is free; return whether it was asked. Any thread may call it."""
        consumer = self._consumer
        if self._is_lost or consumer is None or consumer.controller.semaphore.value < 1:
            self._is_lost = False
            return False
        # A pipe that is full wakes the loop all the same.
        with suppress(BlockingIOError):
            os.write(self._writes, b"k")
        return True

    def _take(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._reads, 1024)
        consumer = self._consumer
        if consumer is None:
            return
        logger.debug("sagas: a kick goes to a child")
        try:
            consumer.strategies[DISPATCH_TASK](_message(consumer.app), None, _acknowledge, self._reject, ())
        except Exception:
            # The loop would end with it, and the worker. The tick asks again.
            logger.exception("sagas: a kick could not be handed to a child")

    def _reject(self, _logger: Any, _errors: Any, requeue: bool) -> None:
        """Have a dispatch published in place of one with which a child has died."""
        if not requeue:
            return
        logger.warning("sagas: a child has died with a kick; another dispatch is asked for")
        self._is_lost = True
        for ticker in runtime.own.tickers:
            ticker.kicked.set()


def _message(app: Any) -> Message:
    """A dispatch task as RabbitMQ would deliver it."""
    task_id = f"kick-{uuid4()}"
    made = app.amqp.as_task_v2(task_id, DISPATCH_TASK, [], {"tick": False}, ignore_result=True)
    content_type, content_encoding, body = dumps(made.body, "json")
    return Message(
        body=body,
        content_type=content_type,
        content_encoding=content_encoding,
        headers=made.headers,
        properties=made.properties,
        delivery_info={"exchange": "", "routing_key": topology.DISPATCH, "redelivered": False},
        accept={content_type},
    )


def _acknowledge(*_: Any) -> None:
    """Acknowledge a message that did not come from RabbitMQ."""


def hand_over() -> bool:
    """Have a child of this worker dispatch, if one is free; return whether it was asked."""
    return runtime.own.handover is not None and runtime.own.handover.try_()


class HandsOver:
    """Mixed into Celery's ``Consumer``."""

    app: Any
    controller: Any

    def register_with_event_loop(self, hub: Any) -> None:
        """Take kicks, where this worker consumes dispatches, and its pool says when a child is free."""
        super().register_with_event_loop(hub)  # type: ignore[misc]  # mixed into a consumer
        if topology.DISPATCH not in self.app.amqp.queues.consume_from:
            return
        # Other pools than prefork leave the semaphore alone.
        if isinstance(self.controller.semaphore, LaxBoundedSemaphore) and self.controller.pool.uses_semaphore:
            if runtime.own.handover is None:
                runtime.own.handover = Handover()
            runtime.own.handover.open(self, hub)

    def on_close(self) -> None:
        """The connection is lost: what has begun goes on, and nothing new begins."""
        if runtime.own.handover is not None:
            runtime.own.handover.close()
        super().on_close()  # type: ignore[misc]  # see above
