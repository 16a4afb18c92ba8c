"""SQL of the workers' heartbeats. They are for people: nothing that the engine does depends on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection

from sagas import limits
from sagas.store.runs import execute

#: Seconds without a heartbeat after which a worker counts as silent. There is a heartbeat every four seconds.
SILENT = 15.0
#: A worker without a heartbeat for so long is deleted: it was stopped, or another one replaced it.
FORGOTTEN = timedelta(hours=1)


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
    """

    name: str
    ticked: float | None = None
    delivered: float | None = None
    busy: int = 0
    longest: float = 0.0
    queues: Sequence[str] = ()


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
        "INSERT INTO sagas_worker (name, beat_at, ticked_at, delivered_at, busy, busy_since, queues) "
        "SELECT v.name, at, at - v.ticked, at - v.delivered, v.busy, at - v.longest, v.queues "
        "FROM clock_timestamp() AS at, "
        "(VALUES (%s, %s::interval, %s::interval, %s, %s::interval, %s)) "
        "AS v(name, ticked, delivered, busy, longest, queues) "
        "ON CONFLICT (name) DO UPDATE SET beat_at = EXCLUDED.beat_at, ticked_at = EXCLUDED.ticked_at, "
        "delivered_at = EXCLUDED.delivered_at, busy = EXCLUDED.busy, busy_since = EXCLUDED.busy_since, "
        "queues = EXCLUDED.queues",
        [
            said.name[: limits.WORKER_NAME],
            _ago(said.ticked),
            _ago(said.delivered),
            said.busy,
            _ago(said.longest if said.busy else None),
            ",".join(said.queues),
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
            "busy, COALESCE(EXTRACT(EPOCH FROM beat_at - busy_since), 0)::float8, queues "
            "FROM sagas_worker ORDER BY name"
        )
        return [
            KnownWorker(
                silent, Heartbeat(name, ticked, delivered, busy, longest, tuple(filter(None, queues.split(","))))
            )
            for silent, name, ticked, delivered, busy, longest, queues in cursor.fetchall()
        ]


def _ago(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
