"""Lanes: the limited number of calls that one process makes to a remote participant at a time.

Each participant has its own lane, so that a slow one delays no other. A ``Lane`` has threads, which start when they are
needed, and end when they are idle. The calls of an ``AsyncLane`` are coroutines; all of them share one thread with an
event loop. Threads are daemons: a run whose call they have not made is found by its lease.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from queue import Empty, SimpleQueue
from typing import Any

from sagas import runtime
from sagas.definition.participants import Remote, is_async

logger = logging.getLogger(__name__)

#: Seconds after which an idle thread ends.
IDLE = 10.0
#: Seconds after which a call that found no free thread asks again, at least and at most.
SHORTEST, LONGEST = 0.1, 60.0
#: The weight of the latest call in the mean duration.
_NEWEST = 0.2

#: A function, or in an ``AsyncLane`` a coroutine function.
Job = Callable[[], Any]


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
        """How many calls may start now."""
        return max(0, self.width - self._busy)

    @property
    def busy(self) -> int:
        """How many calls were submitted and are not over."""
        return self._busy

    def submit(self, job: Job) -> None:
        """Have a thread do the job; at once, if one was free."""
        with self._lock:
            self._busy += 1
            self._jobs.put(job)
            if self._threads < min(self.width, self._busy):
                self._threads += 1
                threading.Thread(target=self._work, name=f"sagas-call-{self.name}", daemon=True).start()

    def book(self, count: int) -> list[float]:
        """After how many seconds each of ``count`` calls that found no free thread should ask again.

        They are spread at the lane's recent rate. If all came at once, most of them would come in vain, and would keep
        the dispatcher busy.
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
                    # Under the lock: a job that is submitted after this starts another thread.
                    if self._jobs.empty():
                        self._threads -= 1
                        return
                continue
            began = time.monotonic()
            try:
                job()
            except Exception:
                logger.exception("sagas: a call of %s broke; its lease will tell", self.name)
            self._count(time.monotonic() - began)

    def _count(self, duration: float) -> None:
        """Count a call as over; ``duration`` is in seconds."""
        with self._lock:
            self._busy -= 1
            self._pace += _NEWEST * (duration - self._pace)


class AsyncLane(Lane):
    """The calls of a participant that coroutines make, in the event loop of this process."""

    def submit(self, job: Job) -> None:
        """Have the event loop do the job, a coroutine function."""
        with self._lock:
            self._busy += 1
        asyncio.run_coroutine_threadsafe(self._perform(job), _event_loop())

    async def _perform(self, job: Callable[[], Awaitable[None]]) -> None:
        began = time.monotonic()
        try:
            await job()
        except Exception:
            logger.exception("sagas: a call of %s broke; its lease will tell", self.name)
        self._count(time.monotonic() - began)


def _event_loop() -> asyncio.AbstractEventLoop:
    """The event loop of the calls of this process, in a thread of its own."""
    with runtime.own.lock:
        if (loop := runtime.own.event_loop) is None:
            loop = runtime.own.event_loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="sagas-calls", daemon=True).start()
        return loop


def lane_of(participant: Remote) -> Lane:
    """The lane of a participant in this process."""
    kind = AsyncLane if is_async(participant) else Lane
    key = (kind, participant.lane)
    with runtime.own.lock:
        return runtime.own.lanes.setdefault(key, kind(participant.lane, participant.concurrency))


def count_calls() -> int:
    """How many calls this process is making in all lanes."""
    with runtime.own.lock:
        return sum(lane.busy for lane in runtime.own.lanes.values())
