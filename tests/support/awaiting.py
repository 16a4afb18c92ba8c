"""Wait for a condition instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], *, within: float = 20.0, what: str = "") -> T:
    """Poll until ``condition`` gives something true, and return it; fail after ``within`` seconds."""
    end = time.monotonic() + within
    pause = 0.005
    while True:
        last = condition()
        if last:
            return last
        if time.monotonic() > end:
            msg = f"not within {within:g} s: {what or condition.__name__} (last: {last!r})"
            raise AssertionError(msg)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
