"""When a dead process is restarted: soon, later with each immediate death, and in the end not at all."""

from __future__ import annotations

from typing import Final

#: Seconds of life after which a death does not count as a repeated one.
LONG: Final = 60.0
#: Seconds before the first restart; doubled each time.
FIRST_PAUSE: Final = 0.5
#: Consecutive deaths after which it is still restarted.
LIMIT: Final = 6


class Revival:
    """The consecutive deaths of one process."""

    def __init__(self) -> None:
        self._deaths = 0

    def pause(self, lived: float) -> float | None:
        """Return the seconds until its restart, after it lived so many; ``None`` for no restart."""
        self._deaths = 1 if lived > LONG else self._deaths + 1
        return None if self._deaths > LIMIT else FIRST_PAUSE * 2 ** (self._deaths - 1)
