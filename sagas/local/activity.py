"""What the processes of ``manage.py sagas work`` say of themselves by their heartbeats."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from sagas.store.workers import SILENT, Heartbeat

_PROCESS = re.compile(r"work-(\d+)@")
_PARENT = re.compile(r"work-parent-(\d+)@")


def process_name(pid: int, machine: str) -> str:
    """The name of a process that performs."""
    return f"work-{pid}@{machine}"


def parent_name(pid: int, machine: str) -> str:
    """The name of the parent of such processes."""
    return f"work-parent-{pid}@{machine}"


def is_parent(name: str) -> bool:
    """Whether a worker of this name only keeps other processes running."""
    return _PARENT.match(name) is not None


def pid_of(name: str) -> int | None:
    """The number of the process of this name; ``None`` if it is no process of ``manage.py sagas work``."""
    found = _PROCESS.match(name) or _PARENT.match(name)
    return None if found is None else int(found[1])


class Activity:
    """What a process that performs is doing. Its heartbeat looks at it from another thread.

    Args:
        name: of the process.
        queues: those whose steps it performs.
    """

    def __init__(self, name: str, queues: Sequence[str]) -> None:
        self._name = name
        self._queues = queues
        self._ticked_at = time.monotonic()
        self._delivered_at: float | None = None
        self._busy_since: float | None = None

    def tick(self) -> None:
        """It ticks now."""
        self._ticked_at = time.monotonic()

    def begin(self, *, delivery: bool = False) -> None:
        """It begins something else now: a look into the database, an event, or a delivery."""
        self._busy_since = time.monotonic()
        if delivery:
            self._delivered_at = self._busy_since

    def rest(self) -> None:
        """It waits."""
        self._busy_since = None

    def look(self) -> Heartbeat:
        """Look what it is doing now. That it does not tick meanwhile does not count."""
        now, since, delivered = time.monotonic(), self._busy_since, self._delivered_at
        return Heartbeat(
            self._name,
            ticked=max(0.0, (since or now) - self._ticked_at),
            delivered=None if delivered is None else now - delivered,
            busy=int(since is not None),
            longest=0.0 if since is None else now - since,
            queues=self._queues,
        )


class Watch:
    """Whether a parent goes on to look after its processes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._looked_at = time.monotonic()

    def go_round(self) -> None:
        """It looks after them now."""
        self._looked_at = time.monotonic()

    def look(self) -> Heartbeat | None:
        """Its heartbeat, unless it hangs."""
        since = time.monotonic() - self._looked_at
        return None if since > SILENT else Heartbeat(self._name, ticked=since)
