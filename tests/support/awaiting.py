"""Wait for a condition instead of sleeping."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: How many times as long everything may take: for runs beside other work (``python -m tests.versions`` sets it).
SLOWER = float(os.environ.get("DRINKGROUP_TEST_SLOWER", "1"))


def eventually(condition: Callable[[], T], *, within: float = 20.0, what: str | Callable[[], str] = "") -> T:
    """Poll until ``condition`` gives something true, and return it; fail after ``within`` seconds.

    Where the tests run beside other work, after `SLOWER` times as many.

    Args:
        condition: what is awaited.
        within: seconds.
        what: its name, or a function that tells it and what else explains the failure, such as a log.
    """
    within *= SLOWER
    end = time.monotonic() + within
    pause = 0.005
    while True:
        last = condition()
        if last:
            return last
        if time.monotonic() > end:
            name = what if isinstance(what, str) else what()
            msg = f"not within {within:g} s: {name or condition.__name__} (last: {last!r})"
            raise AssertionError(msg)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
