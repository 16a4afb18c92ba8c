"""How long a dispatch waits for more work. A run that comes alone waits for nothing.

A cohort costs about as much whatever its size, so work that comes all the time is claimed in cohorts of what came in
some hundredths of a second; and where that goes on, of what came in a tenth of a second.
"""

from __future__ import annotations

import math
import time

#: Seconds without a dispatch after which the next one is made at once.
IDLE = 0.02
#: Seconds between two dispatches otherwise.
GATHER = 0.03
#: After so many dispatches in a row that have waited for more, work comes all the time; seconds between two then.
STEADY, GATHER_STEADILY = 8, 0.1


class Gathering:
    """When one process may dispatch again."""

    def __init__(self) -> None:
        self._last = -math.inf
        #: Until when more is gathered.
        self._until = -math.inf
        #: How many dispatches in a row have waited for more.
        self._row = 0

    @property
    def seconds_left(self) -> float:
        """Seconds for which more is gathered; 0 if a dispatch may be made now."""
        now = time.monotonic()
        if now - self._last < IDLE:
            self._until = self._last + (GATHER_STEADILY if self._row >= STEADY else GATHER)
        return max(0.0, self._until - now)

    def done(self) -> None:
        """A dispatch is made now."""
        now = time.monotonic()
        # One that comes later than that has come alone, after a pause.
        has_waited = self._until > self._last and now - self._until < IDLE
        self._row = self._row + 1 if has_waited else 0
        self._last = now
