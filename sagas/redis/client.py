"""The way to Redis: it answers at once, or is left alone for a moment.

Redis may postpone, never deny. Nobody waits for one that is away, stands still, or refuses: after a failure all of
this process go on without it for a while. What Redis knows is never needed, only cheap; and what it says is believed
within the bounds of this process's own clock only.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import redis

from sagas.conf import config

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds that Redis may take to answer, and that it is left alone after it did not.
TIMEOUT = 0.1
PAUSE = 2.0
#: Seconds between two lines of the log which say that it is away.
SAY_EVERY = 60.0

#: What a client raises for whatever is wrong with Redis or on the way there; ``ValueError``: a URL it cannot read.
ERRORS = (redis.RedisError, OSError, ValueError)


@cache
def client(timeout: float = TIMEOUT) -> redis.Redis | None:
    """Give the client of this process for answers within ``timeout`` seconds; none where no Redis is set."""
    url = config().redis_url
    if not url:
        return None
    # One connection pool a process: redis-py notices a fork by itself.
    return redis.Redis.from_url(
        url, socket_timeout=timeout, socket_connect_timeout=TIMEOUT, health_check_interval=30, retry=None
    )


def ask(work: Callable[[redis.Redis], T], timeout: float = TIMEOUT) -> T | None:
    """Ask Redis something.

    Args:
        work: asks it, and gives its answer.
        timeout: seconds that one command of it may take.

    Returns:
        The answer; ``None`` where there is no Redis, where it does not answer or refuses, and for a moment after that.
    """
    if pause.is_open():
        return None
    try:
        redis_client = client(timeout)
        if redis_client is None:
            return None
        answer = work(redis_client)
    except ERRORS as error:
        pause.open(error)
        return None
    pause.close()
    return answer


def said(error: Exception) -> str:
    """What went wrong, in one line without secrets: what cannot be read of a URL may be a part of its password."""
    if isinstance(error, ValueError):
        return "its URL cannot be read"
    return f"{type(error).__name__}: {error}".strip().splitlines()[0].rstrip(".")


class Pause:
    """A tiny circuit breaker: closed, or open until a moment of the local monotonic clock."""

    until = -math.inf
    said_at = -math.inf

    def open(self, error: Exception) -> None:
        """Leave Redis alone from now on, for a moment."""
        now = time.monotonic()
        self.until = now + PAUSE
        if now - self.said_at >= SAY_EVERY:
            self.said_at = now
            logger.warning("sagas: Redis does not do its part (%s); the database does its work", said(error))

    def close(self) -> None:
        """It has answered: its next failure is news."""
        if self.said_at > -math.inf:
            self.said_at = -math.inf
            logger.info("sagas: Redis answers again")

    def is_open(self) -> bool:
        """Whether Redis is to be left alone."""
        return time.monotonic() < self.until


pause = Pause()
