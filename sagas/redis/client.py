"""The client of Redis: it answers at once, or this process does without it for a moment.

Redis may postpone work, and never denies it. After a failure nobody in this process asks Redis for a while: what Redis
knows saves work, and is never needed.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TypeVar

import redis

from sagas import runtime
from sagas.conf import config

logger = logging.getLogger(__name__)

#: The client's type, for modules that must not import redis themselves.
Client = redis.Redis

T = TypeVar("T")

#: Seconds that Redis may take to answer, and for which it is not asked after it did not.
TIMEOUT = 0.1
PAUSE = 2.0
#: Seconds between two lines of the log which say that Redis does not answer.
SAY_EVERY = 60.0

#: What a client raises for whatever is wrong with Redis or the network; ``ValueError``: it cannot read the URL.
ERRORS = (redis.RedisError, OSError, ValueError)


def client(timeout: float = TIMEOUT) -> redis.Redis | None:
    """Return the client of this process for answers within ``timeout`` seconds; ``None`` where no Redis is set."""
    url = config().redis_url
    if not url:
        return None
    clients = runtime.own.redis
    if (url, timeout) not in clients:
        clients[url, timeout] = redis.Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=TIMEOUT, health_check_interval=30, retry=None
        )
    return clients[url, timeout]


def ask(work: Callable[[redis.Redis], T], timeout: float = TIMEOUT) -> T | None:
    """Ask Redis something.

    Args:
        work: asks Redis, and returns its answer.
        timeout: seconds that one command of it may take.

    Returns:
        The answer; ``None`` where no Redis is set, where it does not answer or refuses, and for a moment after that.
    """
    if is_paused():
        return None
    try:
        redis_client = client(timeout)
        if redis_client is None:
            return None
        answer = work(redis_client)
    except ERRORS as error:
        _pause(error)
        return None
    if runtime.memory.redis_told_at > -math.inf:
        runtime.memory.redis_told_at = -math.inf
        logger.info("sagas: Redis answers again")
    return answer


def is_paused() -> bool:
    """Whether Redis is not asked now, because it did not answer a moment ago."""
    return time.monotonic() < runtime.memory.redis_paused_until


def said(error: Exception) -> str:
    """What went wrong, in one line without secrets: a part of a URL that cannot be read may be its password."""
    if isinstance(error, ValueError):
        return "its URL cannot be read"
    return f"{type(error).__name__}: {error}".strip().splitlines()[0].rstrip(".")


def _pause(error: Exception) -> None:
    memory, now = runtime.memory, time.monotonic()
    memory.redis_paused_until = now + PAUSE
    if now - memory.redis_told_at >= SAY_EVERY:
        memory.redis_told_at = now
        logger.warning("sagas: Redis does not do its part (%s); the database does its work", said(error))
