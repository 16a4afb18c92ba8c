"""Listen to the orders of the drink shop, and count their events: each event once, however often it is delivered.

The program needs only kombu. RabbitMQ delivers at least once, so the ids of counted events are kept beside the
counts, in one SQLite file, and both are written in one transaction.

    python consumer.py --rabbitmq amqp://… --database tally.sqlite
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from kombu import Connection, Consumer, Exchange, Message, Queue, binding
from kombu.mixins import ConsumerMixin

logger = logging.getLogger("event-consumer")

TABLES = """
CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS tally (type TEXT PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS story (run TEXT, position INTEGER, type TEXT, PRIMARY KEY (run, position));
"""


class Tally:
    """The counts, and the ids of the counted events."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)
        self._database.executescript(TABLES)

    def count(self, event: dict[str, Any]) -> bool:
        """Count an event; return whether it had not been counted before."""
        with self._database:  # one transaction: rolled back if anything in it fails
            noted = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", [event["id"]])
            if not noted.rowcount:
                return False
            self._database.execute(
                "INSERT INTO tally VALUES (?, 1) ON CONFLICT (type) DO UPDATE SET count = count + 1", [event["type"]]
            )
            self._database.execute(
                "INSERT INTO story VALUES (?, ?, ?)", [event["runid"], event["position"], event["type"]]
            )
        return True

    def close(self) -> None:
        """Close the database."""
        self._database.close()


class Listener(ConsumerMixin):
    """Handles one event after the other, and reconnects after RabbitMQ was away."""

    def __init__(self, connection: Connection, queue: Queue, tally: Tally) -> None:
        self.connection = connection
        self.queue = queue
        self.tally = tally

    def get_consumers(self, consumer: Callable[..., Consumer], channel: Any) -> list[Consumer]:  # noqa: ARG002
        """Consume the queue, one message at a time."""
        return [consumer(queues=[self.queue], on_message=self.receive, prefetch_count=1)]

    def receive(self, message: Message) -> None:
        """Count the event, then acknowledge the message."""
        try:
            event = json.loads(message.body)
            known = not self.tally.count(event)
        except (ValueError, KeyError, TypeError):
            logger.exception("not an event: %r", message.body)
            message.reject()
            return
        message.ack()
        logger.info("%s %s%s", event["id"], event["type"], " (again)" if known else "")


def queue(name: str, patterns: list[str]) -> Queue:
    """The consumer's own queue. It collects events while the consumer is stopped."""
    exchange = Exchange("sagas.events", "topic", durable=True)
    return Queue(
        name,
        bindings=[binding(exchange, routing_key=pattern) for pattern in patterns],
        durable=True,
        # One active consumer at a time, so that a run's events stay in order.
        queue_arguments={"x-queue-type": "quorum", "x-single-active-consumer": True},
    )


def main() -> None:
    """Listen until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rabbitmq", default=os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//"))
    parser.add_argument("--database", type=Path, default=Path("tally.sqlite"), help="The SQLite file.")
    parser.add_argument("--queue", default="example.tally", help="The name of its queue.")
    parser.add_argument("--pattern", action="append", help="Routing keys to bind; by default all of orders.PlaceOrder.")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with closing(Tally(arguments.database)) as tally, Connection(arguments.rabbitmq) as connection:
        listener = Listener(connection, queue(arguments.queue, arguments.pattern or ["orders.PlaceOrder.*"]), tally)

        def stop(*_: object) -> None:
            listener.should_stop = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        listener.run()


if __name__ == "__main__":
    main()
