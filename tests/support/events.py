"""What tests ask of domain events: those that lie in the outbox, and those that a queue was given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from sagas import Event
from sagas.messaging import topology
from sagas.store import outbox
from tests.support import broker

CONFIRMED = [
    "TellingStarted",
    "OneDone",
    "SecondMade",
    "ThreeDone",
    "TellingAwaiting",
    "TellingConfirmed",
    "OneConfirmed",
    "ThreeConfirmed",
    "TellingSucceeded",
]
REJECTED = [
    "TellingStarted",
    "OneDone",
    "SecondMade",
    "JarEmpty",
    "TellingTurnedBack",
    "SecondTaken",
    "OneUndone",
    "TellingFailed",
]
GIVEN_UP = ["ThreeFailed" if name == "JarEmpty" else name for name in REJECTED]
CANCELLED = [*CONFIRMED[:5], "TellingTurnedBack", "ThreeUndone", "SecondTaken", "OneUndone", "TellingFailed"]


@contextmanager
def subscribed(pattern: str = "#", arguments: dict[str, Any] | None = None) -> Iterator[str]:
    """Have a queue of the events that fit, from which one may take without being its one consumer."""
    name = f"listener-{uuid4().hex[:8]}"
    queue = topology.subscription(name, [pattern])
    queue.queue_arguments = {"x-queue-type": "quorum"} if arguments is None else arguments
    with broker.channel() as channel:
        queue(channel).declare()
    try:
        yield name
    finally:
        with broker.channel() as channel:
            channel.queue_delete(name)


def heard(queue: str) -> list[Event]:
    """Take all that lies on a queue."""
    found = []
    while (message := broker.take(queue)) is not None:
        found.append(Event.from_json(message.body))
    return found


def told(run_id: UUID) -> list[Event]:
    """A run's events that still lie in the outbox."""
    return [waiting.event for waiting in outbox.read([run_id])[run_id]]


def told_names(run_id: UUID) -> list[str]:
    """Their names."""
    return [event.name for event in told(run_id)]


def unique(events: Sequence[Event]) -> list[Event]:
    """What a consumer makes of it that deduplicates: each where it first came."""
    return list({event.id: event for event in events}.values())


def assert_in_order(events: Sequence[Event], ids: Sequence[UUID], names: Sequence[str] = CONFIRMED) -> None:
    """Of each run every event, once, in order, without a gap."""
    for run_id in ids:
        mine = [event for event in events if event.run_id == run_id]
        assert [(event.position, event.name) for event in mine] == list(enumerate(names, start=1))
