"""Kicks: best-effort, coalesced hints through Redis that something is due now.

Redis may postpone, never deny: without it the tick of every worker finds the work within a second.
Nothing here raises for a Redis that is away, and a web request never waits for one: after a failure
Redis is left alone for a moment.
"""

from __future__ import annotations

import logging
import time
from functools import cache

import redis

from sagas.conf import config

logger = logging.getLogger(__name__)

#: A list of at most one element, for which workers wait: many kicks are one.
_KICK = "sagas:kick"
#: There while a dispatch is on its way, so that ticks and kicks of many workers ask for one.
_ASKED = "sagas:dispatch"
#: Seconds that Redis may take to answer, and that it is left alone after it did not.
_TIMEOUT = 0.1
_PAUSE = 2.0


@cache
def _client(timeout: float) -> redis.Redis | None:
    url = config().redis_url
    if not url:
        return None
    # One connection pool a process: redis-py notices a fork by itself.
    return redis.Redis.from_url(
        url, socket_timeout=timeout, socket_connect_timeout=_TIMEOUT, health_check_interval=30, retry=None
    )


class _Pause:
    """A tiny circuit breaker: closed, or open until a moment of the local monotonic clock."""

    until = 0.0

    def open(self, error: redis.RedisError) -> None:
        self.until = time.monotonic() + _PAUSE
        logger.warning("sagas: Redis does not answer (%s); the tick does its work", type(error).__name__)

    def is_open(self) -> bool:
        return time.monotonic() < self.until


_pause = _Pause()


def kick() -> None:
    """Wake one worker's main process, if one waits; it will ask for a dispatch."""
    client = _client(_TIMEOUT)
    if client is None or _pause.is_open():
        return
    try:
        with client.pipeline(transaction=False) as pipe:
            pipe.lpush(_KICK, 1)
            pipe.ltrim(_KICK, 0, 0)
            pipe.execute()
    except redis.RedisError as error:
        _pause.open(error)


def answers() -> bool | None:
    """Whether Redis answers; ``None`` where none is set."""
    client = _client(1.0)
    if client is None:
        return None
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def wait(seconds: float) -> bool:
    """Wait for a kick, at most ``seconds``. Return whether one came."""
    client = _client(seconds + _TIMEOUT + 1.0)
    if client is None:
        time.sleep(seconds)
        return False
    try:
        return client.blpop([_KICK], timeout=seconds) is not None
    except redis.RedisError:
        time.sleep(seconds)
        return False


def ask() -> bool:
    """Whether a dispatch should be asked for now: not if one is already on its way."""
    client = _client(_TIMEOUT)
    if client is None:
        return True
    try:
        return bool(client.set(_ASKED, 1, nx=True, px=int(config().tick * 1000)))
    except redis.RedisError:
        return True


def answered() -> None:
    """A dispatch begins: whatever becomes due from now on needs another."""
    client = _client(_TIMEOUT)
    if client is None or _pause.is_open():
        return
    try:
        client.delete(_ASKED)
    except redis.RedisError as error:
        _pause.open(error)
