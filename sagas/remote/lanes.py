"""Lanes: the bounded threads in which one process calls a remote participant.

Each participant has a lane of its own, so that a slow one holds up nobody else. Threads are started when they are
needed, and end when they are idle; they are daemons, because what they have not done is found by its lease.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from sagas import runtime

logger = logging.getLogger(__name__)

#: Seconds after which an idle thread ends.
IDLE = 10.0
#: Seconds that a call which found no room waits, at least and at most.
SHORTEST, LONGEST = 0.1, 60.0
#: How much the latest call counts in the mean duration.
_NEWEST = 0.2

Job = Callable[[], None]


class Lane:
    """The threads for one participant.

    Args:
        name: the participant's.
        width: calls at a time.
    """

    def __init__(self, name: str, width: int) -> None:
        self.name = name
        self.width = width
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._busy = 0
        self._threads = 0
        self._pace = SHORTEST
        self._booked = 0.0

    @property
    def free(self) -> int:
        """How many calls may be begun now."""
        return max(0, self.width - self._busy)

    @property
    def busy(self) -> int:
        """How many calls are being made, or about to be."""
        return self._busy

    def submit(self, job: Job) -> None:
        """Have a thread do it; soon, if there was room."""
        with self._lock:
            self._busy += 1
            self._jobs.put(job)
            if self._threads < min(self.width, self._busy):
                self._threads += 1
                threading.Thread(target=self._work, name=f"sagas-call-{self.name}", daemon=True).start()

    def book(self, count: int) -> list[float]:
        """After how many seconds each of so many calls that found no room had better ask again.

        They are spread at the rate at which the lane has worked of late: if all came at once, most would come in
        vain, and the dispatcher would be busy with nothing but them.
        """
        with self._lock:
            now = time.monotonic()
            delays: list[float] = []
            self._booked = min(max(self._booked, now), now + LONGEST)
            for _ in range(count):
                self._booked += self._pace / self.width
                delays.append(min(max(self._booked - now, SHORTEST), LONGEST))
            return delays

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE)
            except Empty:
                with self._lock:
                    # Whoever submits now sees this thread gone, or has put a job before we had the lock.
                    if self._jobs.empty():
                        self._threads -= 1
                        return
                continue
            began = time.monotonic()
            try:
                job()
            except Exception:
                logger.exception("sagas: a call of %s broke; its lease will tell", self.name)
            with self._lock:
                self._busy -= 1
                self._pace += _NEWEST * (time.monotonic() - began - self._pace)


def lane_of(name: str, width: int) -> Lane:
    """The lane of this name in this process."""
    with runtime.own.lock:
        return runtime.own.lanes.setdefault(name, Lane(name, width))


def busy() -> int:
    """How many calls this process is making, over all lanes."""
    with runtime.own.lock:
        return sum(lane.busy for lane in runtime.own.lanes.values())
