"""When a process that died is started again: soon, later each time it dies at once, and in the end not at all."""

from __future__ import annotations

from typing import Final

#: Seconds after which a death has nothing to do with the one before.
LONG: Final = 60.0
#: Seconds before the first start; doubled each time.
FIRST_PAUSE: Final = 0.5
#: Deaths in a row that are mended.
LIMIT: Final = 6


class Revival:
    """The deaths of one process, counted."""

    def __init__(self) -> None:
        self._deaths = 0

    def pause(self, lived: float) -> float | None:
        """Give the seconds until it is to be started again, having lived so many; ``None`` if it is not to be."""
        self._deaths = 1 if lived > LONG else self._deaths + 1
        return None if self._deaths > LIMIT else FIRST_PAUSE * 2 ** (self._deaths - 1)
