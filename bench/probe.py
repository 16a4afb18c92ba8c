"""Notes that workers write to Redis during a measurement.

A note costs a round trip of 0.1 to 0.2 ms. So only the first task of a process notes when it began, publishes are
counted in the process and reported at its end, and only the last task of a bare chain notes that it has run. Queue
lengths would cost the workers nothing, but they show neither the exact time nor deliveries that are not done.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from functools import cache
from typing import Any

import redis
from celery.signals import after_task_publish, task_prerun, worker_process_shutdown, worker_shutdown

_BEGAN = "bench:began"
_ENDED = "bench:ended"
_PUBLISHED = "bench:published"


@cache
def _client() -> Any:
    # Any, because redis-py types its commands for the asynchronous client, too.
    return redis.Redis.from_url(os.environ["REDIS_URL"])


# -- in workers ---------------------------------------------------------------------------------------


def note_first_task() -> None:
    """Make each process note when its first task begins."""

    def note(**_: Any) -> None:
        task_prerun.disconnect(note)
        _client().rpush(_BEGAN, repr(time.time()))

    task_prerun.connect(note, weak=False)


def count_publishes() -> None:
    """Make each process, the main one and its children, report at its end how many task messages it published."""
    counts: Counter[int] = Counter()

    def count(**_: Any) -> None:
        # By process, because children inherit the count of the main process.
        counts[os.getpid()] += 1

    def report(**_: Any) -> None:
        _client().incrby(_PUBLISHED, counts[os.getpid()])

    after_task_publish.connect(count, weak=False)
    worker_process_shutdown.connect(report, weak=False)
    worker_shutdown.connect(report, weak=False)


def note_end() -> None:
    """Note that a chain's last task has run."""
    _client().rpush(_ENDED, repr(time.time()))


# -- in the benchmark ---------------------------------------------------------------------------------


def reset() -> None:
    """Delete all notes."""
    _client().delete(_BEGAN, _ENDED, _PUBLISHED)


def began() -> float:
    """When the first task of any process began, in seconds since the epoch."""
    return min(float(text) for text in _client().lrange(_BEGAN, 0, -1))


def published() -> int:
    """How many task messages were published."""
    return int(_client().get(_PUBLISHED) or 0)


def ends() -> int:
    """How many chains have ended."""
    return int(_client().llen(_ENDED))


def last_end() -> float:
    """When the last chain ended, in seconds since the epoch."""
    return max(float(text) for text in _client().lrange(_ENDED, 0, -1))


def await_end(within: float) -> float:
    """Wait for the next chain's end, without polling; return its time."""
    noted = _client().blpop([_ENDED], timeout=within)
    if noted is None:
        msg = f"a chain did not end within {within:g} s"
        raise TimeoutError(msg)
    return float(noted[1])
