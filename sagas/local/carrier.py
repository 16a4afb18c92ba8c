"""The carrier without a broker: publications wait in the memory of the process that has claimed their runs.

If the process dies, they are lost, and the leases of their runs lapse.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

from sagas.decisions.messages import Chain, Publication
from sagas.escalations.notices import Notification


class Waiting:
    """The chains that wait in this process. The recorder of remote calls publishes in a thread of its own.

    Args:
        wake: called when another thread has put a chain here, or asks for a claim.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._now: deque[Chain] = deque()
        self._later: list[tuple[float, int, Chain]] = []
        self._numbers = itertools.count()

    def put(self, chain: Chain) -> None:
        """Take up a chain, which waits until its delay is over."""
        with self._lock:
            if chain.delay:
                heapq.heappush(self._later, (time.monotonic() + chain.delay, next(self._numbers), chain))
            else:
                self._now.append(chain)
        self._wake()

    def kick(self) -> None:
        """Have what is due claimed soon."""
        self._wake()

    def take(self) -> Chain | None:
        """Remove and return the next chain whose delay is over."""
        with self._lock:
            if self._now:
                return self._now.popleft()
            if self._later and self._later[0][0] <= time.monotonic():
                return heapq.heappop(self._later)[2]
        return None

    def seconds_left(self) -> float | None:
        """Seconds until the next chain can be taken; ``None`` if none waits."""
        with self._lock:
            if self._now:
                return 0.0
            return max(0.0, self._later[0][0] - time.monotonic()) if self._later else None

    def clear(self) -> list[UUID]:
        """Forget all chains; return their runs."""
        with self._lock:
            chains = [*self._now, *(chain for _, _, chain in self._later)]
            self._now.clear()
            self._later.clear()
        return [run_id for chain in chains for run_id in chain.ids]


class LocalCarrier:
    """Keeps chains in this process.

    A deadline and a late kick are not kept: the database knows when each run is due, and every worker asks it.
    """

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting

    def publish(self, publication: Publication) -> None:
        """Keep a chain."""
        if isinstance(publication, Chain):
            self._waiting.put(publication)

    def kick(self) -> None:
        """Have what is due now claimed soon."""
        self._waiting.kick()

    def notify(self, notice: Notification) -> None:
        """Notify people now."""
        notice.deliver()

    def is_congested(self) -> bool:
        """Never: what waits here was claimed by this process, one cohort at a time."""
        return False

    def set_aside(self, what: str, ids: Sequence[UUID], why: str) -> None:
        """The log has said it. No message leads to runs that do not exist: this process has claimed them."""
