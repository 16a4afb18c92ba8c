"""Dead letters: look at what was set aside on ``sagas.dead``, publish it again, or throw it away.

A letter is replayed by publishing it to the queue it came from, confirmed and mandatory, and only then acked:
whoever dies in between has doubled it, which the engine bears, and never lost it. One that still makes no sense
comes back.
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

#: How often a letter was replayed, in a header of ours: RabbitMQ 4 forgets its own count when we publish.
REPLAYS = "x-sagas-replays"
#: What RabbitMQ tells of a letter's deaths; it must not count what is published anew as dead before.
_OBITUARY = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")
#: Properties of a message that go with it.
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
#: For letters without a time of death: notes.
_BEGINNING = datetime.min.replace(tzinfo=UTC)
#: Seconds that RabbitMQ may take to confirm.
_CONFIRM = 5


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Attributes:
        letter: what it is called by here: the same for the same message that died at the same time.
        task: name of the Celery task; ``None`` for what is none.
        task_id: its id; ``None`` without one.
        queue: where it came from; ``None`` for a note of the engine, which never lay on a queue.
        reason: why it is here, in RabbitMQ's words ("rejected", "delivery_limit"), or the engine's.
        died_at: when it was set aside; ``None`` for a note.
        deaths: how often it was.
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
        """Whether it is called so: by its letter or its task's id."""
        return name in {self.letter, self.task_id}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters; all, unless something is given.

    Attributes:
        names: letters or ids of tasks.
        queue: where they came from.
        task: name of the task.
        reason: why they are here.
    """

    names: Collection[str] = ()
    queue: str = ""
    task: str = ""
    reason: str = ""

    def takes(self, letter: Letter) -> bool:
        """Whether this one is meant."""
        return (
            (not self.names or any(letter.is_called(name) for name in self.names))
            and self.queue in {"", letter.queue}
            and self.task in {"", letter.task}
            and self.reason in {"", letter.reason}
        )


@dataclass(slots=True)
class Report:
    """What became of the letters that were chosen.

    Attributes:
        done: replayed, or dropped.
        kept: still there, with why.
    """

    done: list[Letter] = field(default_factory=list)
    kept: list[tuple[Letter, str]] = field(default_factory=list)


def look(connection: Connection, choice: Choice, *, limit: int) -> list[Letter]:
    """Read letters and leave them where they are: the first that RabbitMQ gives, which need not be the oldest."""
    found: list[Letter] = []
    with _letters(connection) as letters:
        for letter, _ in letters:
            if choice.takes(letter):
                found.append(letter)
                if len(found) == limit:
                    break
    return sorted(found, key=lambda letter: letter.died_at or _BEGINNING)


def replay(connection: Connection, choice: Choice, *, by: str) -> Report:
    """Publish letters to the queues they came from, each of which is acked here once RabbitMQ has the copy.

    Args:
        connection: to RabbitMQ, with publisher confirms.
        choice: which; of those that are here now, and not of those that come back meanwhile.
        by: who, for the log.
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
                # Not there any more, full, or RabbitMQ went away: the letter stays.
                report.kept.append((letter, f"{letter.queue} did not take it: {type(error).__name__}"))
                continue
            # Dead between these two lines: the letter is there twice, here and on its queue.
            _ack(message)
            report.done.append(letter)
            _note("replayed", letter, by)
    return report


def drop(connection: Connection, choice: Choice, *, by: str) -> Report:
    """Throw letters away, for good."""
    report = Report()
    with _letters(connection) as letters:
        for letter, message in letters:
            if choice.takes(letter):
                # Noted first: what is gone can only be looked up in the log.
                _note("dropped", letter, by)
                _ack(message)
                report.done.append(letter)
    return report


@contextmanager
def _letters(connection: Connection) -> Iterator[Iterator[tuple[Letter, Any]]]:
    """Take the letters that are here now, one by one. What is not acked goes back when the channel is closed."""
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
    headers = {name: value for name, value in (message.headers or {}).items() if not name.startswith(_OBITUARY)}
    properties = {name: message.properties[name] for name in _PROPERTIES if name in message.properties}
    copy = Message(message.body, application_headers={**headers, REPLAYS: deaths}, delivery_mode=2, **properties)
    # A channel for each: one that met a missing queue or a refusal is not trusted again.
    with connection.channel() as opened:
        channel: Any = opened
        channel.basic_publish_confirm(copy, exchange="", routing_key=queue, mandatory=True, confirm_timeout=_CONFIRM)


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
    """RabbitMQ's time of a death: whole seconds, UTC."""
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
