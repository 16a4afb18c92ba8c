"""The ways in which orders can be carried and performed, and which of them this version of the engine has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.conf import settings

#: The reason in place of a figure.
NO_LIFECYCLE = "not measured: this version has no compressed lifecycle"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """One way.

    Attributes:
        title: as in tables.
        environment: of workers and web processes.
        slots: delivery slots that the orders share. All steps of a compressed cohort hold their locks to its one
            commit, so that few slots would make the cohorts wait for each other.
        broker: whether RabbitMQ carries them.
    """

    title: str
    environment: Mapping[str, str] = field(default_factory=dict)
    slots: int = 200
    broker: bool = True


ORDINARY = Lifecycle("orders", {"ORDER_LIFECYCLE": "ordinary"})
COMPRESSED = Lifecycle("orders, compressed", {"ORDER_LIFECYCLE": "compressed"}, slots=10_000)

WITHOUT_BROKER = Lifecycle("orders, no broker", ORDINARY.environment, broker=False)


def has_compressed() -> bool:
    """Whether orders can be compressed."""
    return hasattr(settings, "ORDER_LIFECYCLE")
