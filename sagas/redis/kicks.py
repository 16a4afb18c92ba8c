"""Kicks: hints through Redis that something is due now. They may be lost, and many are one.

Without Redis, and whatever stands in its keys, the tick of every worker finds the work within a second. Nothing here
raises where Redis does not answer, and a web request never waits for it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from sagas.conf import config
from sagas.metrics import catalogue
from sagas.metrics.instruments import count_now
from sagas.redis import client as redis_client

if TYPE_CHECKING:
    from redis import Redis

#: A list of at most one element, for which workers wait.
KICK = "sagas:kick"
_KICK = redis_client.pack((b"LPUSH", KICK.encode(), b"1"), (b"LTRIM", KICK.encode(), b"0", b"0"))
_FORGET_KICKS = redis_client.pack((b"DEL", KICK.encode()))
#: There while a dispatch is on its way, so that the kicks of many workers ask for one. It holds who has asked for it.
ASKED = "sagas:dispatch"
_END = redis_client.pack((b"DEL", ASKED.encode()))

#: Deletes only this process's own reservation: it may have run out, and the key may be another process's.
_GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


def kick() -> None:
    """Wake one worker's main process, if one waits; it will ask for a dispatch. Nobody waits for Redis here."""
    if not redis_client.tell(_KICK) and config().redis_url:
        count_now([(catalogue.KICKS_LOST, 1, {})])


def wait(seconds: float) -> bool:
    """Wait for a kick, about ``seconds`` at most; a second longer where Redis stalls. Return whether one came."""
    until = time.monotonic() + seconds
    # Longer than Redis' own time-out, which is late on a busy Redis: that must not look as if it did not answer.
    came = redis_client.ask(lambda client: _wait(client, seconds), seconds + 1.0)
    if came is None:
        time.sleep(max(0.0, until - time.monotonic()))
    return bool(came)


def _wait(client: Redis, seconds: float) -> bool:
    from redis import ResponseError  # noqa: PLC0415 - whoever has a client has it imported

    try:
        if client.blpop([KICK], timeout=seconds) is None:
            return False
    except ResponseError as error:
        if not str(error).startswith("WRONGTYPE"):
            raise
        # A value of another type would stop kicks, or be taken for one again and again.
        client.delete(KICK)
    # One kick stands for all that are there: their work is committed, and the next dispatch finds it.
    redis_client.tell(_FORGET_KICKS)
    return True


def try_reserve_dispatch() -> str | None:
    """Reserve the dispatch that a kick asks for. A tick asks without: it trusts no key.

    Returns:
        The reservation, to be given back if no dispatch can be asked for; ``None`` if another process has one.
    """
    me = f"{os.getpid()}-{uuid4().hex}"
    milliseconds = max(1, int(config().tick * 1000))
    reserved = redis_client.ask(lambda client: bool(client.set(ASKED, me, nx=True, px=milliseconds)))
    return None if reserved is False else me


def give_back(reservation: str | None) -> None:
    """Kick another process, because this one could not ask for a dispatch.

    Args:
        reservation: this process's own, which is deleted; ``None`` if it has only taken a kick.
    """
    if reservation is not None:
        redis_client.ask(lambda client: client.eval(_GIVE_BACK, 1, ASKED, reservation))
    kick()


def end_reservation() -> None:
    """A dispatch begins: what becomes due from now on needs another one.

    Nobody waits for Redis. Where it is so late that a kick is lost by it, the tick finds the work.
    """
    redis_client.tell(_END)
