"""The bare Celery chain with which orders are compared: four tasks that do nothing.

It does not use the engine. It has the same guarantees of the broker: durable quorum queue, publisher confirms, late
acks. With ``BENCH_BARE=classic`` it has Celery's defaults instead: a classic queue, and no confirms.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from celery import Celery, chain
from celery.worker.consumer.consumer import Consumer as _CeleryConsumer
from kombu import Exchange, Queue

from bench import probe

#: Whether it has the broker's guarantees that the engine has.
SAFE = os.environ.get("BENCH_BARE", "quorum") == "quorum"
QUEUE = "bench.bare" if SAFE else "bench.classic"

_ARGUMENTS = {"x-queue-type": "quorum"} if SAFE else {}

app = Celery("bare", broker=os.environ["RABBITMQ_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    broker_transport_options={"confirm_publish": SAFE},
    broker_connection_retry_on_startup=True,
    # An idle worker notices a request to stop only when something wakes its loop; this timer does, each second.
    broker_heartbeat=2,
    task_default_queue=QUEUE,
    task_default_exchange="",
    task_default_exchange_type="direct",
    task_default_routing_key=QUEUE,
    task_queues=[Queue(QUEUE, Exchange(""), routing_key=QUEUE, queue_arguments=_ARGUMENTS)],
    task_create_missing_queues=False,
    worker_consumer="bench.bare:Consumer",
)

# "received" and "succeeded" for every task would slow it down; orders are measured without them, too.
for _name in ("celery.worker.strategy", "celery.app.trace"):
    logging.getLogger(_name).setLevel(logging.WARNING)

CeleryConsumer: Any = _CeleryConsumer


class Consumer(CeleryConsumer):  # type: ignore[misc]  # Celery's classes are made in ways types cannot follow
    """Celery's consumer, without the 28 delay queues that it would declare before the first task."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc]  # see above
        """Celery's steps without native delayed delivery."""

        default_steps = [
            step for step in CeleryConsumer.Blueprint.default_steps if not str(step).endswith(":DelayedDelivery")
        ]


probe.note_first_task()


@app.task
def nothing(_: None = None) -> None:
    """Do nothing."""


@app.task
def last(_: None) -> None:
    """Do nothing, and report the end of the chain."""
    probe.note_end()


def declare() -> None:
    """Declare the queue."""
    with app.connection_for_write() as broker, broker.channel() as channel:
        bound: Any = app.amqp.queues[QUEUE](channel)
        bound.declare()


def publish() -> None:
    """Publish one chain, and wait for the broker's confirm."""
    chain(nothing.s(), nothing.s(), nothing.s(), last.s()).apply_async()
