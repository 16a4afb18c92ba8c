"""How a worker consumes the engine's queues beside those of a project that shares its Celery app.

Celery limits what it prefetches for a whole channel, and raises the limit for each task with a countdown that waits in
the worker. RabbitMQ refuses that for quorum queues. Where an app has one, Celery limits each consumer, for good, and
sends tasks with a countdown through delay queues of its own. A project whose queues are classic must not be changed so,
because the engine's queues, which are quorum queues, are consumed by the same worker: a few tasks that wait would hold
up all others. So a shared app does not know of which type the engine's queues are, and these have a channel of their
own.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import kombu
from celery import bootsteps

from sagas import runtime
from sagas.messaging import topology

#: Celery's class is made in a way that types cannot follow.
_DelayedDelivery: Any
try:
    from celery.worker.consumer.delayed_delivery import DelayedDelivery as _DelayedDelivery
except ImportError:
    # Celery before 5.5 has none. It is refused in one line, behind this import (``sagas.requirements.software``).
    _DelayedDelivery = bootsteps.ConsumerStep


def _engines() -> set[str]:
    return {queue.name for queue in topology.work_queues()}


class TaskConsumer(kombu.Consumer):
    """Consumes the queues of a project; with it goes another consumer, of the engine's queues on their own channel."""

    channel: Any
    _on_message: Any = None

    def __init__(self, *args: Any, beside: Any, **options: Any) -> None:
        self.beside = beside
        super().__init__(*args, **options)

    @property
    def on_message(self) -> Any:
        """What is called with each message of either."""
        return self._on_message

    @on_message.setter
    def on_message(self, handler: Any) -> None:
        self._on_message = self.beside.on_message = handler

    def consume(self, no_ack: bool | None = None) -> None:
        """Begin."""
        super().consume(no_ack)
        self.beside.consume(no_ack)

    def cancel(self) -> None:
        """Consume no more."""
        super().cancel()
        self.beside.cancel()

    close = cancel

    def cancel_by_queue(self, queue: Any) -> None:
        """Consume one queue no more."""
        super().cancel_by_queue(queue)
        self.beside.cancel_by_queue(queue)

    def consuming_from(self, queue: Any) -> bool:
        """Whether it is consumed."""
        return bool(super().consuming_from(queue) or self.beside.consuming_from(queue))

    def tags(self) -> dict[str, str]:
        """The consumer tags, by queue."""
        mine: Any = self
        return {**mine._active_tags, **self.beside._active_tags}


class OwnChannel:
    """Mixed into Celery's ``Consumer``: in a shared app the engine's queues are consumed on a channel of their own."""

    app: Any
    connection: Any
    initial_prefetch_count: int
    on_decode_error: Any
    task_consumer: Any

    def loop_args(self) -> Any:
        """Have the loop consume so."""
        if self.app in runtime.declared.shared_apps:
            self.task_consumer = self._task_consumer()
        return super().loop_args()  # type: ignore[misc]  # mixed into a consumer

    def _task_consumer(self) -> TaskConsumer:
        consumed, ours = self.app.amqp.queues.consume_from, _engines()
        options = {"accept": self.app.conf.accept_content, "on_decode_error": self.on_decode_error}
        channel = self.connection.channel()
        channel.basic_qos(0, self.initial_prefetch_count, False)
        beside = kombu.Consumer(channel, [queue for name, queue in consumed.items() if name in ours], **options)
        theirs = [queue for name, queue in consumed.items() if name not in ours]
        return TaskConsumer(self.connection.default_channel, theirs, beside=beside, **options)


class DelayedDelivery(_DelayedDelivery):  # type: ignore[misc]  # see above
    """Celery's delay queues, for the tasks of a project that has quorum queues. The engine has delay queues itself."""

    def include_if(self, c: Any) -> bool:
        """Only for a project's own quorum queues."""
        return c.app in runtime.declared.shared_apps and super().include_if(c)

    def _bind_queues(self, app: Any, connection: Any) -> None:
        queues = {name: queue for name, queue in app.amqp.queues.items() if name not in _engines()}
        super()._bind_queues(SimpleNamespace(amqp=SimpleNamespace(queues=queues)), connection)
