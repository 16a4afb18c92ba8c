"""A Celery application with the broker's guarantees that the engine has.

Quorum queue, publisher confirms, late acks, prefetch 16.
"""

import os
import sys

from celery import Celery
from celery.worker.consumer.consumer import Consumer as CeleryConsumer
from kombu import Exchange, Queue


class Consumer(CeleryConsumer):
    """Celery's, without the delay queues that it would declare first."""

    class Blueprint(CeleryConsumer.Blueprint):
        """Celery's steps without native delayed delivery."""

        default_steps = [s for s in CeleryConsumer.Blueprint.default_steps if not str(s).endswith(":DelayedDelivery")]


def application(name):
    """The application whose module and queue have this name."""
    app = Celery(name, broker=os.environ["RABBITMQ_URL"])
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=16,
        broker_transport_options={"confirm_publish": True},
        broker_connection_retry_on_startup=True,
        task_default_queue=name,
        task_default_exchange="",
        task_default_exchange_type="direct",
        task_default_routing_key=name,
        task_queues=[Queue(name, Exchange(""), routing_key=name, queue_arguments={"x-queue-type": "quorum"})],
        task_create_missing_queues=False,
        worker_consumer="quorum:Consumer",
    )
    return app


def declare(app):
    """Declare its queue."""
    with app.connection_for_write() as broker, broker.channel() as channel:
        app.amqp.queues[app.main](channel).declare()


def work(app):
    """Become its worker: two prefork children."""
    command = [sys.executable, "-m", "celery", "-A", app.main, "worker", "-c", "2", "-n", f"{app.main}-{os.getpid()}"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    os.execv(sys.executable, command)  # noqa: S606 - ours
