"""What RabbitMQ has: messages that wait on the step queues, and dead letters. Asked at a scrape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Depth:
    """A queue: how many messages wait in it, and how many consumers it has. Nothing of one that is not declared."""

    name: str
    messages: int | None
    consumers: int | None


def depths(names: Iterable[str]) -> list[Depth]:
    """Ask RabbitMQ for queues, in this order. No answer takes longer than the connection's patience.

    Raises:
        OperationalError: of kombu, if RabbitMQ cannot be reached.
        OSError: it does not answer.
    """
    found: list[Depth] = []
    with engine_app().connection_for_write() as connection:
        for name in names:
            try:
                with connection.channel() as channel:
                    passive: Any = channel
                    told = passive.queue_declare(name, passive=True)
                    found.append(Depth(name, told.message_count, told.consumer_count))
            except NotFound:
                found.append(Depth(name, None, None))
    return found


def _count(names: Iterable[str]) -> list[int]:
    """The messages of each queue; none of one that is not declared."""
    return [depth.messages or 0 for depth in depths(names)]
