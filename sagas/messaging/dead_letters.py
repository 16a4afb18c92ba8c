"""Dead letters: look at the messages that were set aside on ``sagas.dead``, publish them again, or drop them.

To replay a letter is to publish it to the queue it came from, confirmed and mandatory, and to acknowledge it after
that. If the process dies in between, the message is there twice, which the engine bears; it is never lost. A message
that still cannot be read comes back.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from amqp import AMQPError, Message
from amqp.exceptions import MessageNacked
from kombu import Connection

from sagas.messaging import topology

logger = logging.getLogger(__name__)

#: The header that counts replays: RabbitMQ 4 forgets its own count when a message is published again.
REPLAYS = "x-sagas-replays"
#: RabbitMQ's headers about dead-lettering. They are left out, so that the new message starts without a count.
_DEATH_HEADERS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")
#: The properties that are copied.
_PROPERTIES = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "message_id",
    "timestamp",
    "type",
    "app_id",
    "priority",
)
#: The time of letters that have none, which are notes.
_BEGINNING = datetime.min.replace(tzinfo=UTC)
#: Seconds to wait for RabbitMQ's confirm.
_CONFIRM = 5


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Attributes:
        letter: its name here: a hash of the message and of the time when it was set aside.
        task: name of the Celery task; ``None`` for other messages.
        task_id: its id, if it has one.
        queue: the queue it came from; ``None`` for a note of the engine, which was on no queue before.
        reason: why it was set aside, in RabbitMQ's words ("rejected", "delivery_limit") or the engine's.
        died_at: when it was set aside; ``None`` for a note.
        deaths: how often it was set aside.
        body: its text.
    """

    letter: str
    task: str | None
    task_id: str | None
    queue: str | None
    reason: str | None
    died_at: datetime | None
    deaths: int
    body: str

    def is_called(self, name: str) -> bool:
        """Whether this is its name or the id of its task."""
        return name in {self.letter, self.task_id}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters; all of them by default.

    Attributes:
        names: names of letters, or ids of tasks.
        queue: the queue they came from.
        task: name of the task.
        reason: why they were set aside.
    """

    names: Collection[str] = ()
    queue: str = ""
    task: str = ""
    reason: str = ""

    def takes(self, letter: Letter) -> bool:
        """Whether the letter is one of them."""
        return (
            (not self.names or any(letter.is_called(name) for name in self.names))
            and self.queue in {"", letter.queue}
            and self.task in {"", letter.task}
            and self.reason in {"", letter.reason}
        )


@dataclass(slots=True)
class Report:
    """The outcome for the chosen letters.

    Attributes:
        done: the letters that were replayed or dropped.
        kept: the letters that are still there, each with the reason.
    """

    done: list[Letter] = field(default_factory=list)
    kept: list[tuple[Letter, str]] = field(default_factory=list)


def look(connection: Connection, choice: Choice, *, limit: int) -> list[Letter]:
    """Read letters and leave them there: the first that RabbitMQ gives, which need not be the oldest."""
    found: list[Letter] = []
    with _letters(connection) as letters:
        for letter, _ in letters:
            if choice.takes(letter):
                found.append(letter)
                if len(found) == limit:
                    break
    return sorted(found, key=lambda letter: letter.died_at or _BEGINNING)


def replay(connection: Connection, choice: Choice, *, by: str) -> Report:
    """Publish letters to the queues they came from. Each is acknowledged after RabbitMQ has confirmed the copy.

    Args:
        connection: to RabbitMQ, with publisher confirms.
        choice: which of the letters that are there now. Letters that come back meanwhile stay.
        by: name of the person, for the log.
    """
    report = Report()
    with _letters(connection) as letters:
        for letter, message in letters:
            if not choice.takes(letter):
                continue
            if letter.queue is None:
                report.kept.append((letter, "a note, which came from no queue"))
                continue
            try:
                _publish_again(connection, letter.queue, letter.deaths, message)
            except (AMQPError, MessageNacked, OSError) as error:
                # The queue is gone or full, or RabbitMQ went away: the letter stays.
                report.kept.append((letter, f"{letter.queue} did not take it: {type(error).__name__}"))
                continue
            # If the process dies before this line, the message is there twice: here and on its queue.
            _ack(message)
            report.done.append(letter)
            _note("replayed", letter, by)
    return report


def drop(connection: Connection, choice: Choice, *, by: str) -> Report:
    """Delete letters for good."""
    report = Report()
    with _letters(connection) as letters:
        for letter, message in letters:
            if choice.takes(letter):
                # Logged first: after that the log is the only record of it.
                _note("dropped", letter, by)
                _ack(message)
                report.done.append(letter)
    return report


@contextmanager
def _letters(connection: Connection) -> Iterator[Iterator[tuple[Letter, Any]]]:
    """Take the letters that are there now, one by one. Those that are not acknowledged go back at the end."""
    with connection.channel() as opened:
        channel: Any = opened
        here = channel.queue_declare(topology.DEAD, passive=True).message_count

        def take() -> Iterator[tuple[Letter, Any]]:
            for _ in range(here):
                message = channel.basic_get(topology.DEAD, no_ack=False)
                if message is None:
                    return
                yield _read(message), message

        yield take()


def _read(message: Any) -> Letter:
    headers = dict(message.headers or {})
    deaths = headers.get("x-death")
    death: dict[str, Any] = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}
    raw = message.body if isinstance(message.body, bytes) else str(message.body).encode(errors="replace")
    died_at = death.get("time")
    called = hashlib.sha256(raw + repr((headers.get("id"), death.get("queue"), died_at)).encode()).hexdigest()[:12]
    return Letter(
        letter=called,
        task=_text(headers.get("task")),
        task_id=_text(headers.get("id")),
        queue=_text(death.get("queue")),
        reason=_text(death.get("reason")) or ("note" if not death else None),
        died_at=_moment(died_at),
        deaths=max(_count(death.get("count")), 1) + _count(headers.get(REPLAYS)) if death else 1,
        body=raw.decode(errors="replace"),
    )


def _publish_again(connection: Connection, queue: str, deaths: int, message: Any) -> None:
    headers = {name: value for name, value in (message.headers or {}).items() if not name.startswith(_DEATH_HEADERS)}
    properties = {name: message.properties[name] for name in _PROPERTIES if name in message.properties}
    copy = Message(message.body, application_headers={**headers, REPLAYS: deaths}, delivery_mode=2, **properties)
    publish_to_queue(connection, queue, copy)


def publish_to_queue(connection: Connection, queue: str, message: Message) -> None:
    """Publish a message to a queue, past all exchanges, and wait for RabbitMQ's confirm.

    Raises:
        AMQPError, MessageNacked, OSError: the queue is gone or full, or RabbitMQ is away.
    """
    # A new channel each time: after a missing queue or a refusal RabbitMQ refuses everything on it.
    with connection.channel() as opened:
        channel: Any = opened
        channel.basic_publish_confirm(message, exchange="", routing_key=queue, mandatory=True, confirm_timeout=_CONFIRM)


def _ack(message: Any) -> None:
    message.channel.basic_ack(message.delivery_tag)


def _note(what: str, letter: Letter, by: str) -> None:
    logger.warning(
        "sagas: dead letter %s (%s %s from %s, dead %d time(s): %s) %s by %s",
        letter.letter,
        letter.task or "no task",
        letter.task_id or "without id",
        letter.queue or "nowhere",
        letter.deaths,
        letter.reason,
        what,
        by,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _moment(value: object) -> datetime | None:
    """Read RabbitMQ's time, which is whole seconds in UTC."""
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
