"""When a process's next tick is due, by its own clock: it waits for no other process, and trusts no key of Redis.

Apart from those who tick: the ticker of a worker asks for a dispatch, and a process without a broker claims itself.
"""

from __future__ import annotations

import time

from sagas.conf import config


class Ticks:
    """The ticks of one process, every ``SAGAS["TICK"]`` seconds from now on."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    @property
    def seconds_left(self) -> float:
        """Seconds until the next tick; 0 if it is due."""
        return max(0.0, self._last + config().tick - time.monotonic())

    @property
    def is_due(self) -> bool:
        """Whether it is time for a tick."""
        return time.monotonic() - self._last >= config().tick

    def done(self) -> None:
        """The tick is done, or begins: the next one follows after a while."""
        self._last = time.monotonic()

    def hasten(self) -> None:
        """The next tick is due now."""
        self._last = time.monotonic() - config().tick
