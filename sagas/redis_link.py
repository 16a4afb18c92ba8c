"""The way to Redis: a connection that answers at once, or is left alone for a moment.

Redis may postpone, never deny: nobody waits for one that is away, and after a failure all of this process go on
without it for a while. What Redis knows is never needed, only cheap.
"""

from __future__ import annotations

import logging
import time
from functools import cache

import redis

from sagas.conf import config

logger = logging.getLogger(__name__)

#: Seconds that Redis may take to answer, and that it is left alone after it did not.
TIMEOUT = 0.1
PAUSE = 2.0


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


class Pause:
    """A tiny circuit breaker: closed, or open until a moment of the local monotonic clock."""

    until = 0.0

    def open(self, error: redis.RedisError) -> None:
        """Leave Redis alone from now on, for a moment."""
        self.until = time.monotonic() + PAUSE
        logger.warning("sagas: Redis does not answer (%s); the database does its work", type(error).__name__)

    def is_open(self) -> bool:
        """Whether Redis is to be left alone."""
        return time.monotonic() < self.until


pause = Pause()
