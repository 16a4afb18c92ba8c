"""A circuit breaker for each remote participant, shared by all workers through Redis.

It opens after so many faults running, and where too large a part of the last calls has failed: then nobody calls. When
its pause is over, one call goes as a probe, and its answer closes it. It fails open: without Redis everybody calls. It
only postpones, and never denies.

What is too large a part is decided as for the breaker of confirms and undos, by the rule of
``sagas.decisions.breaker_policy``. It is written here a second time, in Lua: to count and to open must be one step,
whoever else does it at the same moment.
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
#: What is added to the name of a circuit for the key of its last calls.
CALLS = ":calls"

#: The time, and a moment that was noted. What lies further ahead than any pause of ours was not noted by us, or by a
#: clock that has been set back since: it counts as if it were noted now, so nobody is held back for longer than that.
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

#: Arguments: wanted, milliseconds that a probe may take, and that it stays open. Gives how many may call, and when
#: the others may ask again.
_ADMIT = f"""{_NOW}
local open = noted('open_until', tonumber(ARGV[3]))
if not open then return {{tonumber(ARGV[1]), 0}} end
if now < open then return {{0, open - now}} end
local probe = noted('probe_until', tonumber(ARGV[2]))
if probe and now < probe then return {{0, probe - now}} end
redis.call('HSET', KEYS[1], 'probe_until', now + ARGV[2])
return {{1, tonumber(ARGV[2])}}
"""

#: Arguments: 1 for an answer, 0 for a fault; faults running that open it; calls that are looked at, at most; how few
#: say nothing; the part of them that opens it; milliseconds in which they count, and that it stays open.
#: Gives 1 if it opened now, 2 if it closed now.
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
    -- Of another hand, or of a clock that has been set back since.
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
        faults: so many running, with no answer between them, open it; 0 for a circuit that never opens.
        within: seconds in which calls count.
        pause: seconds that it stays open until a probe goes.
        rate: part of the calls that failed, above 0 and to 1, from which on it opens too.
        minimum: fewer calls than so many say nothing about that part.
        operations: how many calls are looked at, at most: the last ones.

    Raises:
        DefinitionError: what cannot be meant.
    """

    faults: int = 5
    within: float = 30.0
    pause: float = 5.0
    rate: float = 0.5
    minimum: int = 20
    operations: int = 100

    def __post_init__(self) -> None:
        """Refuse a circuit that cannot be meant."""
        if not (0 < self.within < math.inf and 0 < self.pause < math.inf and 0 < self.rate <= 1):
            msg = f"{self}: need within > 0, pause > 0, 0 < rate <= 1"
            raise DefinitionError(msg)
        if self.minimum < 1 or not 0 <= self.faults <= self.operations or self.minimum > self.operations:
            msg = f"{self}: need faults >= 0, minimum >= 1, and operations at least as many as either"
            raise DefinitionError(msg)

    @property
    def rule(self) -> Rule:
        """The part of it that is a rule of breakers, too."""
        return Rule(operations=self.operations, minimum=self.minimum, rate=self.rate, window=self.within, windows=1)

    @property
    def _pause(self) -> int:
        """Milliseconds that it stays open."""
        return max(1, int(self.pause * 1000))

    def admit(self, name: str, wanted: int, probe: float) -> tuple[int, float]:
        """How many of ``wanted`` calls may be made now, and after how many seconds the others may ask again.

        Args:
            name: the participant.
            wanted: calls.
            probe: seconds that a probe may take at most.
        """
        if not self.faults:
            return wanted, 0.0
        told = _run(_ADMIT, name, wanted, int(probe * 1000), self._pause)
        if told is None:
            return wanted, 0.0
        # A probe is mostly back long before it must be.
        return int(told[0]), min(int(told[1]) / 1000, self.pause)

    def answered(self, name: str) -> None:
        """The participant has answered. If that was the probe, or came after the pause, it is closed."""
        self._tell(name, answered=True)

    def broke(self, name: str) -> None:
        """The participant did not answer, or said that it broke."""
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
    """Run a script on the participant's keys; ``None`` if Redis does not answer, or there is none."""
    keys = (PREFIX + name, PREFIX + name + CALLS)
    return redis_client.ask(lambda client: client.eval(script, 2, *keys, *arguments))
