"""What a Celery worker needs for the engine: its settings, its queues, and the ticker.

``configure(app)`` is the one call a project makes, in its ``celery.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery import Celery, bootsteps, current_app
from celery.signals import worker_process_shutdown, worker_ready, worker_shutdown, worker_shutting_down
from celery.worker.consumer.consumer import Consumer as _CeleryConsumer
from django.core.checks import CheckMessage, Warning, register  # noqa: A004 - Django's name

from sagas import calling, ticker, topology
from sagas.tasks import QUEUE_HEADER

logger = logging.getLogger(__name__)

#: Settings the promises rest on (docs/transactions.md says why, one by one).
SETTINGS: dict[str, Any] = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_default_queue": topology.DISPATCH,
    "task_default_exchange": "",
    "task_default_exchange_type": "direct",
    "task_default_routing_key": topology.DISPATCH,
    "task_default_queue_type": "quorum",
    "task_create_missing_queues": False,
    "worker_prefetch_multiplier": 1,
    "worker_detect_quorum_queues": True,
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    "worker_consumer": "sagas.worker:Consumer",
    "worker_send_task_events": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_heartbeat": 10,
    "broker_transport_options": {"confirm_publish": True},
    # Celery's Django fixup asks by this very name. Without it a worker connects anew for every task.
    "CELERY_DB_REUSE_MAX": 1_000_000,
    "worker_hijack_root_logger": False,
}


#: Those that a project must not change; ``check_celery`` warns of it.
PROMISED = (
    "task_acks_late",
    "task_reject_on_worker_lost",
    "task_create_missing_queues",
    "broker_connection_max_retries",
    "broker_transport_options",
)


def configure(app: Celery) -> None:
    """Give a Celery app the settings and the queues of the engine.

    Lazily, for Django's settings are not there yet when a project's ``celery.py`` is imported. Delay queues
    are no part of ``task_queues``: a worker would consume them.
    """
    app.add_defaults(lambda: {**SETTINGS, "task_queues": topology.consuming()})
    app.steps["consumer"].add(Topology)


#: Celery's classes are made in ways that types cannot follow.
CeleryConsumer: Any = _CeleryConsumer


@register("sagas")
def check_celery(**_: Any) -> list[CheckMessage]:
    """Warn of settings of the project's Celery app that differ from those the promises rest on."""
    if current_app.conf.worker_consumer != SETTINGS["worker_consumer"]:
        return []  # not configured by us: another app of the project, or none
    return [
        Warning(
            f"Celery's {name} is {current_app.conf.get(name)!r}; the engine rests on {SETTINGS[name]!r}.",
            hint="Remove it from the project's Celery settings.",
            id="sagas.W001",
        )
        for name in PROMISED
        if current_app.conf.get(name) != SETTINGS[name]
    ]


class Consumer(CeleryConsumer):  # type: ignore[misc]  # see above
    """Celery's consumer, without its 28 delay queues, and one that sets aside what it cannot decode."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc]  # see above
        """Celery's steps without native delayed delivery, and with ours."""

        default_steps = [
            step for step in CeleryConsumer.Blueprint.default_steps if not str(step).endswith(":DelayedDelivery")
        ]

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Handle deliveries as Celery does, and live on where Celery meets a form that it does not expect."""
        handle = super().create_task_handler(*args, **kwargs)

        def handler(message: Any) -> None:
            try:
                if message.headers is not None:
                    message.headers[QUEUE_HEADER] = self._queue_of(message)
                handle(message)
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Exception as error:
                # A task without an id, a body that is no list: Celery's main process would die of it, and
                # after it every other worker to which the message is delivered again.
                self.on_decode_error(message, error)

        return handler

    def _queue_of(self, message: Any) -> str | None:
        """From which queue it came: RabbitMQ says only by which exchange and key it was published."""
        tag = message.delivery_info.get("consumer_tag")
        return next((queue for queue, mine in self.task_consumer._active_tags.items() if mine == tag), None)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Refuse it, so that RabbitMQ dead-letters it: Celery would ack it, and it would be gone."""
        logger.error("sagas: a message that cannot be decoded was set aside: %s: %s", type(exc).__name__, exc)
        message.reject_log_error(logger, self.connection_errors)


class Topology(bootsteps.StartStopStep):
    """Declares queues and exchanges on every (re)connection, before the worker consumes."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, parent: Any) -> None:
        """Declare all."""
        with parent.app.connection_for_write() as connection:
            topology.declare(connection)


@worker_ready.connect
def _start_ticker(sender: Any, **_: Any) -> None:
    ticker.start(sender.app)


@worker_shutting_down.connect
def _stop_ticker(**_: Any) -> None:
    ticker.stop()


#: Seconds that a worker which shuts down waits for the remote calls it is making. What is not answered by then is
#: found by its lease.
DRAIN = 5.0


@worker_process_shutdown.connect
@worker_shutdown.connect
def _finish_calls(**_: Any) -> None:
    if not calling.drain(DRAIN):
        logger.warning("sagas: remote calls were not answered before the worker ended; their leases will tell")
