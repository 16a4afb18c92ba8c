"""A circuit breaker for each remote participant, shared by all workers through Redis.

A circuit opens after a number of faults in a row, or when too large a part of the last calls has failed. Then no worker
calls the participant. After a pause one call goes out as a probe, and its answer closes the circuit. Without Redis
every worker calls: a circuit postpones calls, and never denies them.

The rule for that part is the one of ``sagas.decisions.breaker_policy``, as for the breaker of confirms and undos. It is
written here a second time, in Lua, because counting and opening must be one atomic step.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

from sagas.decisions.breaker_policy import Rule
from sagas.errors import DefinitionError
from sagas.redis import client as redis_client

logger = logging.getLogger(__name__)

PREFIX = "sagas:circuit:"
#: The suffix of the key that has the last calls.
CALLS = ":calls"

#: Reads the time, and a moment that was noted. A moment further ahead than any pause comes from another writer, or from
#: a clock that was set back since. It counts as noted now, so no call waits for longer than one pause.
_NOW = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for key, kind in pairs({[KEYS[1]] = 'hash', [KEYS[2]] = 'list'}) do
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', key) end
end
local function noted(field, ahead)
  local moment = tonumber(redis.call('HGET', KEYS[1], field))
  -- Neither what is no number (such as "nan") nor one too large.
  if moment and not (moment <= now + ahead) then
    moment = now + ahead
    redis.call('HSET', KEYS[1], field, string.format('%.0f', moment))
    redis.call('PEXPIRE', KEYS[1], ahead * 2 + 600000)
  end
  return moment
end
"""

#: Arguments: calls that are wanted, milliseconds that a probe may take, milliseconds of the pause. Returns how many
#: calls may be made, and after how many milliseconds to ask for the others.
_ADMIT = f"""{_NOW}
local open = noted('open_until', tonumber(ARGV[3]))
if not open then return {{tonumber(ARGV[1]), 0}} end
if now < open then return {{0, open - now}} end
local probe = noted('probe_until', tonumber(ARGV[2]))
if probe and now < probe then return {{0, probe - now}} end
redis.call('HSET', KEYS[1], 'probe_until', now + ARGV[2])
return {{1, tonumber(ARGV[2])}}
"""

#: Arguments: 1 for an answer, 0 for a fault; faults in a row that open it; the number of last calls that count, at most
#: and at least; the failed part of them that opens it; milliseconds for which calls count; milliseconds of the pause.
#: Returns 1 if it opened now, 2 if it closed now.
_TELL = f"""{_NOW}
local answered, within, pause = ARGV[1] == '1', tonumber(ARGV[6]), tonumber(ARGV[7])
local open = noted('open_until', pause)
if open then
  if now < open then return 0 end
  if answered then
    redis.call('DEL', KEYS[1], KEYS[2])
    return 2
  end
else
  redis.call('LPUSH', KEYS[2], string.format('%.0f', now) .. ':' .. ARGV[1])
  redis.call('LTRIM', KEYS[2], 0, ARGV[3] - 1)
  redis.call('PEXPIRE', KEYS[2], within)
  if answered then return 0 end
  local running, calls, failed = 0, 0, 0
  for _, call in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
    local at, outcome = string.match(call, '(%d+):(%d)')
    -- From another writer, or from a clock that was set back since.
    if not at or tonumber(at) > now then break end
    if now - at >= within then break end
    if running == calls and outcome == '0' then running = running + 1 end
    calls = calls + 1
    if outcome == '0' then failed = failed + 1 end
  end
  if running < tonumber(ARGV[2]) and (calls < tonumber(ARGV[4]) or failed < ARGV[5] * calls) then return 0 end
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'open_until', string.format('%.0f', now + pause))
redis.call('PEXPIRE', KEYS[1], pause * 2 + 600000)
return open and 0 or 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """When calls of a participant are stopped.

    Attributes:
        faults: so many faults in a row, with no answer between them, open it; 0 for a circuit that never opens.
        within: seconds for which calls count.
        pause: seconds for which it stays open before a probe.
        rate: it also opens when this part of the calls has failed, above 0 and up to 1.
        minimum: with fewer calls than this, ``rate`` does not count.
        operations: how many of the last calls count, at most.

    Raises:
        DefinitionError: a value is out of its range.
    """

    faults: int = 5
    within: float = 30.0
    pause: float = 5.0
    rate: float = 0.5
    minimum: int = 20
    operations: int = 100

    def __post_init__(self) -> None:
        """Check the values."""
        if not (0 < self.within < math.inf and 0 < self.pause < math.inf and 0 < self.rate <= 1):
            msg = f"{self}: need within > 0, pause > 0, 0 < rate <= 1"
            raise DefinitionError(msg)
        if self.minimum < 1 or not 0 <= self.faults <= self.operations or self.minimum > self.operations:
            msg = f"{self}: need faults >= 0, minimum >= 1, and operations at least as many as either"
            raise DefinitionError(msg)

    @property
    def rule(self) -> Rule:
        """The part of it that is a rule of ``breaker_policy``."""
        return Rule(operations=self.operations, minimum=self.minimum, rate=self.rate, window=self.within, windows=1)

    @property
    def _pause(self) -> int:
        """The pause in milliseconds."""
        return max(1, int(self.pause * 1000))

    def admit(self, name: str, wanted: int, probe: float) -> tuple[int, float]:
        """How many calls may be made now, and after how many seconds to ask for the others.

        Args:
            name: the participant.
            wanted: how many calls are wanted.
            probe: seconds that a probe may take at most.
        """
        if not self.faults:
            return wanted, 0.0
        told = _run(_ADMIT, name, wanted, int(probe * 1000), self._pause)
        if told is None:
            return wanted, 0.0
        # A probe mostly returns long before its limit.
        return int(told[0]), min(int(told[1]) / 1000, self.pause)

    def answered(self, name: str) -> None:
        """Note that the participant answered. The answer of a probe, or one after the pause, closes the circuit."""
        self._tell(name, answered=True)

    def broke(self, name: str) -> None:
        """Note that the participant did not answer, or answered that it failed."""
        self._tell(name, answered=False)

    def _tell(self, name: str, *, answered: bool) -> None:
        if not self.faults:
            return
        rule = self.rule
        counted = (self.faults, rule.operations, rule.minimum, repr(rule.rate), max(1, int(rule.window * 1000)))
        match _run(_TELL, name, int(answered), *counted, self._pause):
            case 1:
                logger.warning("sagas: the circuit of %s is open: nobody calls it for %g s", name, self.pause)
            case 2:
                logger.info("sagas: the circuit of %s is closed", name)


def _run(script: str, name: str, *arguments: int | str) -> Any:
    """Run a script on the participant's keys; ``None`` without an answer of Redis."""
    keys = (PREFIX + name, PREFIX + name + CALLS)
    return redis_client.ask(lambda client: client.eval(script, 2, *keys, *arguments))
