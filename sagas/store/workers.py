"""Workers: SQL of their heartbeats, and kicks, by which they are woken.

Heartbeats are for people: nothing that the engine does depends on them. A kick is a hint that something is due now,
through Redis or, without a broker, by PostgreSQL's NOTIFY. It may be lost. Then a tick finds the work.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import Error, connection

from sagas import limits, runtime
from sagas.conf import config
from sagas.redis import kicks
from sagas.store.runs import execute

#: Seconds without a heartbeat after which a worker counts as silent. There is a heartbeat every four seconds.
SILENT = 15.0
#: A worker without a heartbeat for so long is deleted: it was stopped, or another one replaced it.
FORGOTTEN = timedelta(hours=1)
#: On which PostgreSQL notifies where there is no broker.
CHANNEL = "sagas"
#: Seconds for which one notification stands for all others of this process. A worker that was woken keeps looking for
#: longer than that.
COALESCE = 0.01


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker's main process reports about itself.

    Attributes:
        name: the worker's unique name.
        ticked: seconds since its last tick; ``None`` if it has had none.
        delivered: seconds since it last gave a delivery to a child process; ``None`` if it never has.
        busy: number of deliveries under way.
        longest: seconds that the longest of them has taken so far.
        queues: the queues that it consumes.
        stalled: seconds for which messages have waited in them of which it has got none; ``None`` if none do.
    """

    name: str
    ticked: float | None = None
    delivered: float | None = None
    busy: int = 0
    longest: float = 0.0
    queues: Sequence[str] = ()
    stalled: float | None = None


@dataclass(frozen=True, slots=True)
class KnownWorker:
    """The last heartbeat of a worker, and the seconds since then."""

    silent: float
    beat: Heartbeat

    @property
    def is_silent(self) -> bool:
        """Whether so many heartbeats are missing that the worker was killed, hangs, or has no network."""
        return self.silent > SILENT


def record_heartbeat(said: Heartbeat) -> None:
    """Record a worker's heartbeat, and delete workers that have had none for long."""
    execute(
        "INSERT INTO sagas_worker (name, beat_at, ticked_at, delivered_at, busy, busy_since, queues, "
        "stalled_at) "
        "SELECT v.name, at, at - v.ticked, at - v.delivered, v.busy, at - v.longest, v.queues, at - v.stalled "
        "FROM clock_timestamp() AS at, "
        "(VALUES (%s, %s::interval, %s::interval, %s, %s::interval, %s, %s::interval)) "
        "AS v(name, ticked, delivered, busy, longest, queues, stalled) "
        "ON CONFLICT (name) DO UPDATE SET beat_at = EXCLUDED.beat_at, ticked_at = EXCLUDED.ticked_at, "
        "delivered_at = EXCLUDED.delivered_at, busy = EXCLUDED.busy, busy_since = EXCLUDED.busy_since, "
        "queues = EXCLUDED.queues, stalled_at = EXCLUDED.stalled_at",
        [
            said.name[: limits.WORKER_NAME],
            _ago(said.ticked),
            _ago(said.delivered),
            said.busy,
            _ago(said.longest if said.busy else None),
            ",".join(said.queues),
            _ago(said.stalled),
        ],
    )
    execute("DELETE FROM sagas_worker WHERE beat_at < clock_timestamp() - %s", [FORGOTTEN])


def forget(name: str) -> None:
    """Delete a worker that shuts down regularly."""
    execute("DELETE FROM sagas_worker WHERE name = %s", [name[: limits.WORKER_NAME]])


def known_workers() -> list[KnownWorker]:
    """All workers that are not deleted, in the order of their names."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXTRACT(EPOCH FROM clock_timestamp() - beat_at)::float8, name, "
            "EXTRACT(EPOCH FROM beat_at - ticked_at)::float8, EXTRACT(EPOCH FROM beat_at - delivered_at)::float8, "
            "busy, COALESCE(EXTRACT(EPOCH FROM beat_at - busy_since), 0)::float8, queues, "
            "EXTRACT(EPOCH FROM beat_at - stalled_at)::float8 "
            "FROM sagas_worker ORDER BY name"
        )
        return [
            KnownWorker(
                silent,
                Heartbeat(name, ticked, delivered, busy, longest, tuple(filter(None, queues.split(","))), stalled),
            )
            for silent, name, ticked, delivered, busy, longest, queues, stalled in cursor.fetchall()
        ]


def _ago(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def kick() -> None:
    """Wake a worker, if one waits. Call it after the commit."""
    if config().broker is None:
        _notify()
    else:
        kicks.kick()


def _notify() -> None:
    """Notify in a transaction of its own, which does not wait for the disk.

    In the transaction of the work, NOTIFY would hold a lock of the whole database until that commit is on disk, and
    halve the commits in a second.
    """
    if connection.in_atomic_block or not connection.get_autocommit():
        return
    now = time.monotonic()
    if now - runtime.memory.notified_at < COALESCE:
        return
    runtime.memory.notified_at = now
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, '')", [CHANNEL])
    except Error:
        # Whoever has committed must not be told that it has failed.
        connection.close()
