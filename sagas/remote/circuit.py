"""A circuit breaker for each remote participant, shared by all workers through Redis.

After so many faults with no answer between them it opens, and nobody calls; when its pause is over, one call goes as
a probe, and its answer closes it. It fails open: without Redis everybody calls. It only postpones, and never denies.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import redis

from sagas.conf import config

logger = logging.getLogger(__name__)

_PREFIX = "sagas:circuit:"
#: Seconds that Redis may take to answer, and that it is left alone after it did not.
_TIMEOUT = 0.1
_PAUSE = 2.0

_NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

#: Arguments: wanted, milliseconds that a probe may take. Gives how many may call, and when the others may ask again.
_ADMIT = f"""{_NOW}
local open = tonumber(redis.call('HGET', KEYS[1], 'open_until'))
if not open then return {{tonumber(ARGV[1]), 0}} end
if now < open then return {{0, open - now}} end
local probe = tonumber(redis.call('HGET', KEYS[1], 'probe_until'))
if probe and now < probe then return {{0, probe - now}} end
redis.call('HSET', KEYS[1], 'probe_until', now + ARGV[2])
return {{1, tonumber(ARGV[2])}}
"""

#: Arguments: faults that open it, milliseconds in which they count, milliseconds that it stays open.
#: Gives 1 if it opened now.
_BROKE = f"""{_NOW}
local open = tonumber(redis.call('HGET', KEYS[1], 'open_until'))
if open then
  if now < open then return 0 end
elseif redis.call('HINCRBY', KEYS[1], 'faults', 1) < tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'open_until', now + ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[3] * 2 + 600000)
return open and 0 or 1
"""


@cache
def _client() -> redis.Redis | None:
    url = config().redis_url
    if not url:
        return None
    return redis.Redis.from_url(url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=None)


class _Away:
    """Whether Redis did not answer lately: then it is left alone for a moment."""

    until = 0.0

    def note(self, error: redis.RedisError) -> None:
        self.until = time.monotonic() + _PAUSE
        logger.warning("sagas: Redis does not answer (%s); circuits are closed", type(error).__name__)

    def __bool__(self) -> bool:
        return time.monotonic() < self.until


_away = _Away()


@dataclass(frozen=True, slots=True)
class Circuit:
    """When calls of a participant are stopped.

    Attributes:
        faults: so many with no answer between them open it; 0 for a circuit that never opens.
        within: seconds in which they come one after the other.
        pause: seconds that it stays open until a probe goes.
    """

    faults: int = 5
    within: float = 30.0
    pause: float = 5.0

    def admit(self, name: str, wanted: int, probe: float) -> tuple[int, float]:
        """How many of ``wanted`` calls may be made now, and after how many seconds the others may ask again.

        Args:
            name: the participant.
            wanted: calls.
            probe: seconds that a probe may take at most.
        """
        if not self.faults:
            return wanted, 0.0
        told = _run(_ADMIT, name, wanted, int(probe * 1000))
        if told is None:
            return wanted, 0.0
        # A probe is mostly back long before it must be.
        return int(told[0]), min(int(told[1]) / 1000, self.pause)

    def answered(self, name: str) -> None:
        """The participant has answered: it is closed."""
        client = _client()
        if not self.faults or client is None or _away:
            return
        try:
            if client.delete(_PREFIX + name):
                logger.info("sagas: the circuit of %s is closed", name)
        except redis.RedisError as error:
            _away.note(error)

    def broke(self, name: str) -> None:
        """The participant did not answer, or said that it broke."""
        if self.faults and _run(_BROKE, name, self.faults, int(self.within * 1000), int(self.pause * 1000)):
            logger.warning("sagas: the circuit of %s is open: nobody calls it for %g s", name, self.pause)


def _run(script: str, name: str, *arguments: int) -> Any:
    """Run a script on the participant's key; ``None`` if Redis does not answer, or there is none."""
    client = _client()
    if client is None or _away:
        return None
    try:
        return client.eval(script, 1, _PREFIX + name, *arguments)
    except redis.RedisError as error:
        _away.note(error)
        return None
