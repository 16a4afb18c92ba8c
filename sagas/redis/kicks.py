"""Kicks: best-effort, coalesced hints through Redis that something is due now.

Redis may postpone, never deny: without it, and whatever stands in its keys, the tick of every worker finds the work
within a second. Nothing here raises for a Redis that is away, and a web request never waits for one: after a failure
Redis is left alone for a moment.
"""

from __future__ import annotations

import os
import time
from uuid import uuid4

import redis

from sagas.conf import config
from sagas.redis import client as redis_client

#: A list of at most one element, for which workers wait: many kicks are one.
KICK = "sagas:kick"
#: There while a dispatch is on its way, so that kicks of many workers ask for one. It holds who has asked for it.
ASKED = "sagas:dispatch"

#: Only what is still ours: a reservation that ran out may be another's by now.
_GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


def kick() -> None:
    """Wake one worker's main process, if one waits; it will ask for a dispatch."""
    redis_client.ask(_leave)


def _leave(client: redis.Redis) -> None:
    with client.pipeline(transaction=False) as pipe:
        pipe.lpush(KICK, 1)
        pipe.ltrim(KICK, 0, 0)
        pipe.execute()


def wait(seconds: float) -> bool:
    """Wait for a kick, about ``seconds`` at most; a second longer where Redis stands still. Return whether one came."""
    until = time.monotonic() + seconds
    # More than Redis' own time-out, which is late where it has much to do: that must not look as if it were away.
    came = redis_client.ask(lambda client: _wait(client, seconds), seconds + 1.0)
    if came is None:
        time.sleep(max(0.0, until - time.monotonic()))
    return bool(came)


def _wait(client: redis.Redis, seconds: float) -> bool:
    try:
        if client.blpop([KICK], timeout=seconds) is None:
            return False
    except redis.ResponseError as error:
        if not str(error).startswith("WRONGTYPE"):
            raise
    # Of many kicks one is enough: what they are for is committed, and the dispatch asked for now will see it. And
    # whatever else stands there would keep kicks from coming, or let them come without end.
    client.delete(KICK)
    return True


def ask() -> str | None:
    """Reserve the dispatch that a kick wants. Not for a tick, which trusts no key.

    Returns:
        The reservation, to be given back if no dispatch can be asked for; ``None`` if one is on its way already.
    """
    me = f"{os.getpid()}-{uuid4().hex}"
    milliseconds = max(1, int(config().tick * 1000))
    reserved = redis_client.ask(lambda client: bool(client.set(ASKED, me, nx=True, px=milliseconds)))
    return None if reserved is False else me


def give_back(reservation: str | None) -> None:
    """No dispatch could be asked for: others shall not believe that one is on its way, and one of them shall ask.

    Args:
        reservation: this process's own; ``None`` if it has none, only a kick.
    """
    if reservation is not None:
        redis_client.ask(lambda client: client.eval(_GIVE_BACK, 1, ASKED, reservation))
    kick()


def answered() -> None:
    """A dispatch begins: whatever becomes due from now on needs another."""
    redis_client.ask(lambda client: client.delete(ASKED))
