"""The parts of the engine in a Celery worker: its consumer, its queues, the ticker and the heartbeat."""

from __future__ import annotations

import logging
from collections.abc import Callable, Set
from typing import Any

from celery import Celery, bootsteps
from celery.exceptions import WorkerShutdown
from celery.signals import (
    celeryd_after_setup,
    worker_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from celery.worker.consumer.consumer import Consumer as _CeleryConsumer

from sagas import runtime
from sagas.definition import registry
from sagas.definition.participants import is_async, is_remote
from sagas.engine.outside import remote_threads
from sagas.messaging import consumption, endurance, handover, heartbeat, task_consumer, ticker, topology
from sagas.messaging.app import configure, does_engine_work, engine_app
from sagas.observability import flushing
from sagas.requirements import migrations, server_settings
from sagas.tasks import QUEUE_HEADER

__all__ = ["Consumer", "Topology", "app", "configure"]

logger = logging.getLogger(__name__)

#: Celery's classes are made in ways that types cannot follow.
CeleryConsumer: Any = _CeleryConsumer


def app() -> Celery:
    """The Celery app that does the engine's work: its own, or the project's, if that was given to ``configure``."""
    return engine_app()


class Consumer(task_consumer.OwnChannel, endurance.Endurance, handover.HandsOver, CeleryConsumer):  # type: ignore[misc]  # see above
    """Celery's consumer without 28 delay queues for the engine. It sets aside messages that it cannot decode."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc]  # see above
        """Celery's steps; native delayed delivery only for queues of a project."""

        default_steps = [
            task_consumer.DelayedDelivery if str(step).endswith(":DelayedDelivery") else step
            for step in CeleryConsumer.Blueprint.default_steps
        ]

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Handle deliveries as Celery does, and survive messages of a form that Celery does not expect."""
        handle = super().create_task_handler(*args, **kwargs)

        def handler(message: Any) -> None:
            try:
                if message.headers is not None:
                    message.headers[QUEUE_HEADER] = self._queue_of(message)
                handle(message)
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Exception as error:
                # A task without an id, or a body that is no list, would end Celery's main process, and then that of
                # every other worker to which RabbitMQ delivers the message again.
                self.on_decode_error(message, error)

        return handler

    def _queue_of(self, message: Any) -> str | None:
        """The queue of a message. RabbitMQ only says to which exchange and key it was published."""
        tag = message.delivery_info.get("consumer_tag")
        consumer: Any = self.task_consumer
        tags = consumer.tags() if isinstance(consumer, task_consumer.TaskConsumer) else consumer._active_tags
        return next((queue for queue, mine in tags.items() if mine == tag), None)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Reject the message, so that RabbitMQ dead-letters it. Celery would acknowledge it, and it would be gone."""
        logger.error("sagas: a message that cannot be decoded was set aside: %s: %s", type(exc).__name__, exc)
        message.reject_log_error(logger, self.connection_errors)


class Topology(bootsteps.StartStopStep):
    """Declares queues and exchanges on every (re)connection, before the worker consumes."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, parent: Any) -> None:
        """Declare them; do not start a worker if RabbitMQ is too old."""
        with parent.app.connection_for_write() as connection:
            if lack := topology.find_old_server(connection):
                logger.critical("sagas: %s", lack)
                raise WorkerShutdown(1)
            topology.declare(connection)


@worker_init.connect
def _refuse(sender: Any, **_: Any) -> None:
    """Do not start a worker if a server's settings break a promise of the engine, or if the database lacks tables."""
    if not does_engine_work(sender.app):
        return
    refusals = server_settings.refusals(migrations.missing())
    for refusal in refusals:
        logger.critical("sagas: %s %s (sagas.%s)", refusal.what, refusal.remedy, refusal.check)
    if refusals:
        raise SystemExit(1)


@celeryd_after_setup.connect
def _refuse_coroutines(instance: Any, **_: Any) -> None:
    """Do not start a worker whose threads are greenlets if it consumes a queue of steps that coroutines perform.

    All its greenlets share the one thread in which the event loop would run, and Django refuses every database call of
    a thread whose event loop runs: the worker would do nothing any more.
    """
    if not does_engine_work(instance.app) or not instance.pool_cls.is_green:
        return
    if steps := coroutines_of(set(instance.app.amqp.queues.consume_from)):
        logger.critical(
            "sagas: a worker whose pool is gevent or eventlet cannot await the coroutines of %s. Have their queues "
            "consumed by workers of another pool (-P threads), and start this one without them (-Q)",
            ", ".join(steps),
        )
        raise SystemExit(1)


def coroutines_of(queues: Set[str]) -> list[str]:
    """List the steps of these queues that have an operation of an ``AsyncParticipant``."""
    return [
        f"{definition.name}.{step.name} ({step.queue})"
        for definition in registry.all_definitions()
        for step in definition.all_steps
        if step.queue in queues
        and any(is_remote(action.participant) and is_async(action.participant) for action in step.actions.values())
    ]


@worker_ready.connect
def _start_ticker(sender: Any, **_: Any) -> None:
    if does_engine_work(sender.app):
        ticker.start(sender.app)
        heartbeat.start(sender.app, sender.hostname)
        consumption.start(sender.app)


@worker_shutting_down.connect
def _stop_ticker(**_: Any) -> None:
    ticker.stop()


worker_shutdown.connect(heartbeat.stop)
worker_shutdown.connect(consumption.stop)


#: Seconds for which a worker that shuts down waits for its remote calls. After that the leases of their runs lapse.
DRAIN = 5.0


# A child that has done its number of tasks ends so, too: what it has counted would be lost with it.
worker_process_shutdown.connect(flushing.finish)
worker_shutdown.connect(flushing.finish)


@worker_process_shutdown.connect
@worker_shutdown.connect
def _finish_calls(**_: Any) -> None:
    if not remote_threads.drain_remote_calls(DRAIN):
        logger.warning("sagas: remote calls were not answered before the worker ended; their leases will tell")
    # A child that is recycled runs no function of ``atexit``.
    if runtime.declared.trace_source is not None:
        runtime.declared.trace_source.shut_down()
