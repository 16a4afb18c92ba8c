"""The bare Celery chain that ours is measured beside: four tasks that do nothing, and nothing else.

The same guarantees of the broker as ours has: a durable quorum queue, publisher confirms, late acks. The
ends are seen through Redis: the first task a process ever runs notes the time, the last task of a chain
counts it and notes the time; that is one small round trip a chain, in the bare chain's disfavour by less
than a tenth of a millisecond.
"""

from __future__ import annotations

import os
import time

import redis
from celery import Celery, chain
from kombu import Exchange, Queue

QUEUE = "bench.bare"
BEGAN = "bench:bare:began"
ENDED = "bench:bare:ended"

app = Celery("bare", broker=os.environ["RABBITMQ_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    task_default_queue=QUEUE,
    task_queues=[Queue(QUEUE, Exchange(""), routing_key=QUEUE, queue_arguments={"x-queue-type": "quorum"})],
    task_create_missing_queues=False,
    # Without Celery's 28 delay queues, which it would declare before the first task.
    worker_consumer="sagas.worker:Consumer",
)

client = redis.Redis.from_url(os.environ["REDIS_URL"])
_began = False


@app.task
def first() -> None:
    """Begin."""
    global _began  # noqa: PLW0603 - once a process
    if not _began:
        _began = True
        client.rpush(BEGAN, repr(time.time()))


@app.task
def middle(_: None) -> None:
    """Go on."""


@app.task
def last(_: None) -> None:
    """End."""
    client.rpush(ENDED, repr(time.time()))


def publish() -> None:
    """Send one chain."""
    chain(first.s(), middle.s(), middle.s(), last.s()).apply_async()
