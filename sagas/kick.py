"""Kicks: best-effort, coalesced hints through Redis that something is due now.

Redis may postpone, never deny: without it the tick of every worker finds the work within a second.
Nothing here raises for a Redis that is away, and a web request never waits for one: after a failure
Redis is left alone for a moment.
"""

from __future__ import annotations

import time

import redis

from sagas.conf import config
from sagas.redis_link import TIMEOUT, client, pause

#: A list of at most one element, for which workers wait: many kicks are one.
_KICK = "sagas:kick"
#: There while a dispatch is on its way, so that ticks and kicks of many workers ask for one.
_ASKED = "sagas:dispatch"


def kick() -> None:
    """Wake one worker's main process, if one waits; it will ask for a dispatch."""
    redis_client = client()
    if redis_client is None or pause.is_open():
        return
    try:
        with redis_client.pipeline(transaction=False) as pipe:
            pipe.lpush(_KICK, 1)
            pipe.ltrim(_KICK, 0, 0)
            pipe.execute()
    except redis.RedisError as error:
        pause.open(error)


def answers() -> bool | None:
    """Whether Redis answers; ``None`` where none is set."""
    redis_client = client(1.0)
    if redis_client is None:
        return None
    try:
        return bool(redis_client.ping())
    except redis.RedisError:
        return False


def wait(seconds: float) -> bool:
    """Wait for a kick, at most ``seconds``. Return whether one came."""
    redis_client = client(seconds + TIMEOUT + 1.0)
    if redis_client is None:
        time.sleep(seconds)
        return False
    try:
        return redis_client.blpop([_KICK], timeout=seconds) is not None
    except redis.RedisError:
        time.sleep(seconds)
        return False


def ask() -> bool:
    """Whether a dispatch should be asked for now: not if one is already on its way."""
    redis_client = client()
    if redis_client is None:
        return True
    try:
        return bool(redis_client.set(_ASKED, 1, nx=True, px=int(config().tick * 1000)))
    except redis.RedisError:
        return True


def answered() -> None:
    """A dispatch begins: whatever becomes due from now on needs another."""
    redis_client = client()
    if redis_client is None or pause.is_open():
        return
    try:
        redis_client.delete(_ASKED)
    except redis.RedisError as error:
        pause.open(error)
