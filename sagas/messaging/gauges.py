"""What RabbitMQ has: messages that wait on the step queues, and dead letters. Asked at a scrape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from amqp import NotFound

from sagas.conf import config
from sagas.messaging import topology
from sagas.messaging.app import engine_app
from sagas.metrics import on_scrape


@on_scrape("sagas_queued_messages", "Messages that wait on the queues of steps, all together.")
def queued() -> dict[tuple[str, ...], float]:
    return {(): sum(_count(config().queues))}


@on_scrape("sagas_dead_letters", "Messages that no worker could take: manage.py sagas dead shows them.")
def dead() -> dict[tuple[str, ...], float]:
    return {(): sum(_count([topology.DEAD]))}


def _count(names: Iterable[str]) -> list[int]:
    """The messages of each queue; none of one that is not declared."""
    counts: list[int] = []
    with engine_app().connection_for_write() as connection:
        for name in names:
            try:
                with connection.channel() as channel:
                    passive: Any = channel
                    counts.append(passive.queue_declare(name, passive=True).message_count)
            except NotFound:
                counts.append(0)
    return counts
