"""After the database was restored from an older copy: holds deadlines back, and finds runs that only messages name.

Deadlines passed while the database was away, and confirmations that came after the copy was made are lost. No run is
undone for that until people have had time to repeat the confirmations. See ``docs/how-to/restore.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, transaction

from sagas import store
from sagas.conf import config
from sagas.db import uuid_array
from sagas.serialization import dump_json
from sagas.states import UNDECIDED

if TYPE_CHECKING:
    from kombu import Connection

#: Number of runs that are held in one transaction.
BATCH = 500
#: The most messages that are read from one queue. They stay in memory until all of them are given back.
LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class Held:
    """What was held back.

    Attributes:
        until: the time until which runs are held.
        runs: number of runs that were held now.
        before: number of runs that had been held before.
    """

    until: datetime
    runs: int
    before: int


def hold(*, grace: float, by: str) -> Held:
    """Keep deadlines and time-outs from undoing runs for ``grace`` seconds, and record that in each run's log.

    Runs are held in batches, each a transaction under the runs' locks. A repeat holds only runs that are not held, so
    the command can be repeated if it is interrupted.
    """
    until = store.runs.clock() + timedelta(seconds=grace)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sagas_run WHERE due_at IS NOT NULL AND held_until > clock_timestamp()")
        (before,) = cursor.fetchone()
    count, last = 0, UUID(int=0)
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM sagas_run WHERE due_at IS NOT NULL AND state = ANY(%s) AND id > %s "
                "AND COALESCE(held_until, '-infinity') <= clock_timestamp() ORDER BY id LIMIT %s",
                [sorted(UNDECIDED), last, BATCH],
            )
            ids = [run_id for (run_id,) in cursor.fetchall()]
            if not ids:
                return Held(until, count, int(before))
            last = ids[-1]
            rows = [row for row in store.runs.lock(ids) if row.state in UNDECIDED]
            _hold(rows, until)
            data = dump_json({"held_until": until.isoformat()})
            store.moves.log(store.moves.event_entry("restored", by=by), rows, {row.id: data for row in rows})
            count += len(rows)


def _hold(rows: Sequence[store.runs.Row], until: datetime) -> None:
    store.runs.execute(
        "UPDATE sagas_run SET held_until = %s, "
        # A run that has not begun, or waits for its parent, has no deadline.
        "deadline = CASE WHEN deadline IS NULL THEN NULL ELSE GREATEST(deadline, %s) END, "
        "due_at = CASE WHEN state = 'AWAITING_CONFIRM' AND deadline IS NOT NULL THEN GREATEST(due_at, %s) "
        "ELSE due_at END "
        "WHERE id = ANY(%s::uuid[])",
        [until, until, until + timedelta(seconds=config().grace), uuid_array(row.id for row in rows)],
    )


# -- Messages --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stray:
    """A message that names runs which this database does not know.

    Attributes:
        queue: name of its queue.
        task: name of the Celery task; '' if the message is no task.
        runs: the unknown runs.
        saga: name of the saga; '' if the message has none.
    """

    queue: str
    task: str
    runs: tuple[UUID, ...]
    saga: str = ""


def consumers(broker: Connection) -> int:
    """Count the consumers of the engine's queues. There must be none while the queues are read."""
    from sagas.messaging import topology  # noqa: PLC0415 - without a broker Celery need not be installed

    return sum(_look(broker, queue.name)[1] for queue in topology.work_queues())


def strays(broker: Connection) -> Iterator[Stray]:
    """Read every message of the engine's queues, put it back, and yield those that name unknown runs."""
    from sagas.messaging import topology  # noqa: PLC0415 - without a broker Celery need not be installed

    for queue in [*topology.work_queues(), *topology.delay_queues(), topology.dead_letter_queue()]:
        if not _look(broker, queue.name)[0]:
            continue
        found = list(_read(broker, queue.name))
        known = _known({run for _, runs, _ in found for run in runs})
        for task, runs, saga in found:
            unknown = tuple(run for run in runs if run not in known)
            # A run that was pruned is not lost.
            pruned = store.retention.pruning.pruned(saga, unknown)
            unknown = tuple(run for run in unknown if run not in pruned)
            if unknown:
                yield Stray(queue.name, task, unknown, saga)


def _look(broker: Connection, name: str) -> tuple[int, int]:
    """Count the ready messages and the consumers of a queue; both are 0 if the queue does not exist."""
    from amqp import NotFound  # noqa: PLC0415 - as above

    try:
        with broker.channel() as opened:
            channel: Any = opened
            found = channel.queue_declare(name, passive=True)
            return found.message_count, found.consumer_count
    except NotFound:
        return 0, 0


def _read(broker: Connection, name: str) -> Iterator[tuple[str, list[UUID], str]]:
    # When the channel is closed, RabbitMQ puts messages that were not acked back in their place.
    with broker.channel() as opened:
        channel: Any = opened
        for _ in range(LIMIT):
            message = channel.basic_get(name)
            if message is None:
                return
            headers = message.headers or {}
            try:
                body = json.loads(message.body)
            except ValueError:
                continue  # a body that is no JSON names no run
            # A Celery message is [args, kwargs, embedded callbacks]. The last part contains ids of tasks.
            said = body[:2] if isinstance(body, list) and "task" in headers else body
            yield str(headers.get("task", "")), list(dict.fromkeys(_ids(said))), _saga(said)


def _ids(part: Any) -> Iterator[UUID]:
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _ids(inner)
    elif isinstance(part, str) and len(part) == len(str(UUID(int=0))):
        try:
            yield UUID(part)
        except ValueError:
            return


def _saga(part: Any) -> str:
    kwargs = part[1] if isinstance(part, list) and len(part) > 1 and isinstance(part[1], dict) else {}
    return str(kwargs.get("saga", ""))


def _known(ids: Iterable[UUID]) -> set[UUID]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM sagas_run WHERE id = ANY(%s::uuid[])", [uuid_array(ids)])
        return {run_id for (run_id,) in cursor.fetchall()}
