"""Probes of RabbitMQ. Each takes the open connection, which the doctor makes once for all of them."""

from __future__ import annotations

from collections.abc import Iterator

from kombu import Connection

from sagas import topology
from sagas.doctor.finding import Finding, Severity


def queues(broker: Connection) -> Iterator[Finding]:
    """Tell of queues that are missing, or were declared with other arguments."""
    missing, differing = topology.compare(broker)
    if missing:
        what = f"Queues are missing in RabbitMQ: {', '.join(missing)}."
        yield Finding(Severity.ERROR, what, remedy="Run manage.py sagas topology.")
    if differing:
        what = f"Queues were declared with other arguments, and are used as they are: {', '.join(differing)}."
        remedy = "Let them run empty, stop their workers, and run manage.py sagas topology --replace."
        yield Finding(Severity.ERROR, what, remedy=remedy)
    if not missing and not differing:
        yield Finding(Severity.FINE, "Every queue is in RabbitMQ as it should be.")
