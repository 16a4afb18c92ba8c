"""Probes of RabbitMQ. Each takes the open connection, which the doctor makes once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from amqp import NotFound
from kombu import Connection

from sagas import topology
from sagas.conf import config
from sagas.doctor.finding import Finding, Severity


def version(broker: Connection) -> Iterator[Finding]:
    """Tell of a RabbitMQ that is too old."""
    if lack := topology.too_old(broker):
        yield Finding(Severity.ERROR, lack.what, remedy=lack.remedy)


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


def consumers(broker: Connection) -> Iterator[Finding]:
    """Tell of queues that nobody consumes, and of those on which many messages wait."""
    found: dict[str, tuple[int, int]] = {}
    for queue in topology.consumed():
        try:
            with broker.channel() as opened:
                channel: Any = opened
                declared = channel.queue_declare(queue.name, passive=True)
                found[queue.name] = declared.message_count, declared.consumer_count
        except NotFound:
            continue  # of which the probe of the queues tells
    alone = sorted(name for name, (_, consuming) in found.items() if not consuming)
    waiting = {name: found[name][0] for name in alone if found[name][0]}
    if waiting:
        said = ", ".join(f"{name} ({count})" for name, count in waiting.items())
        yield Finding(
            Severity.ERROR,
            f"Nobody consumes queues on which messages wait: {said}.",
            remedy="Start workers that do: without -Q a worker consumes all queues.",
        )
    if rest := [name for name in alone if name not in waiting]:
        remedy = "Start workers that do; of each queue that steps name, of dispatches, cancels and escalations."
        yield Finding(Severity.WARNING, f"Nobody consumes {', '.join(rest)}.", remedy=remedy)
    for name, (count, consuming) in sorted(found.items()):
        if consuming and count > config().backlog:
            what = f"{count} message(s) wait on {name} for {consuming} consumer(s)."
            remedy = (
                "Look at the workers above: they do not keep up, or stand still. RabbitMQ learns that after a while."
            )
            yield Finding(Severity.WARNING, what, remedy=remedy)
    if not alone:
        said = ", ".join(f"{name} ({consuming})" for name, (_, consuming) in sorted(found.items()))
        yield Finding(Severity.FINE, f"Every queue is consumed: {said}.")


def dead_letters(broker: Connection) -> Iterator[Finding]:
    """Tell of messages that were set aside."""
    try:
        with broker.channel() as opened:
            channel: Any = opened
            count: int = channel.queue_declare(topology.dead().name, passive=True).message_count
    except NotFound:
        return  # of which the probe of the queues tells
    if count:
        yield Finding(
            Severity.WARNING,
            f"{count} message(s) were set aside as dead letters.",
            remedy="See manage.py sagas dead. No run hangs on them; replay what makes sense now, and drop the rest.",
        )
    else:
        yield Finding(Severity.FINE, "No message was set aside.")
