"""Redis in front of the undo: of two deliveries of one compensation, the second costs the database nothing.

One atomic script a cohort checks which issue of the undo a delivery is, and takes a lock with a time to live. It
spares work and decides nothing: what Redis refuses is brought back by the run's lease as a higher issue, which
nobody refuses; what it allows is still decided by the run's lock in the database. Without Redis all is allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sagas.conf import config
from sagas.redis import client as redis_client

PREFIX = "sagas:undo:"

#: A key holds "<issue>:<token>": a delivery of this issue is at it; or "<issue>:done": it is behind the run.
#: A lower issue than the one that is known is a mismatch, about which the database is asked. What is no string, or
#: would stay for longer than any delivery of ours lets it, was not left by one, and holds nobody back.
_TAKE = """
local answers = {}
local issue, life = tonumber(ARGV[2]), tonumber(ARGV[3])
for i, key in ipairs(KEYS) do
  local held = redis.pcall('GET', key)
  local known, by
  if type(held) == 'string' then known, by = string.match(held, '^(%d+):(.+)$') end
  if by then
    local left = redis.call('PTTL', key)
    if left < 0 or left > life then by = nil end
  end
  local answer = 'free'
  if by == 'done' then answer = 'done'
  elseif by and tonumber(known) == issue then answer = 'busy'
  elseif by and tonumber(known) > issue then answer = 'ask'
  else redis.call('SET', key, ARGV[2] .. ':' .. ARGV[1], 'PX', ARGV[3]) end
  answers[i] = answer
end
return answers
"""
#: Only what is still this delivery's: a lock that ran out may be another's by now.
_GIVE_BACK = """
local mine = ARGV[2] .. ':' .. ARGV[1]
for i, key in ipairs(KEYS) do
  if redis.pcall('GET', key) == mine then
    if ARGV[i + 3] == '1' then redis.call('SET', key, ARGV[2] .. ':done', 'PX', ARGV[3])
    else redis.call('DEL', key) end
  end
end
"""


@dataclass(frozen=True, slots=True)
class Guarded:
    """What Redis said of a cohort.

    Attributes:
        going: the runs to perform.
        done: those that have it behind them, as Redis remembers: the database must say so too.
        busy: those that another delivery of the same issue is performing now.
        held: those whose locks this delivery has, to be given back.
    """

    going: Sequence[UUID]
    done: Sequence[UUID] = ()
    busy: Sequence[UUID] = ()
    held: Sequence[UUID] = ()
    step: str = ""
    issue: int = 0
    token: str = ""

    def give_back(self, done: Collection[UUID]) -> None:
        """Give the locks back after the commit, and remember which runs have the step undone."""
        arguments = [self.token, self.issue, _milliseconds(), *(int(run_id in done) for run_id in self.held)]
        if self.held:
            _evaluate(_GIVE_BACK, self.step, self.held, arguments)


def take(step: str, issue: int, ids: Sequence[UUID]) -> Guarded:
    """Take the locks of one delivery of an undo.

    Args:
        step: whose undo it is.
        issue: which issue of it, the later the higher; see ``Chain.issue``.
        ids: the runs.

    Returns:
        What to do about each of them; without Redis, all are to be performed.
    """
    token = uuid4().hex
    answers = _evaluate(_TAKE, step, ids, [token, issue, _milliseconds()]) if ids and config().guard_ttl else None
    if answers is None:
        return Guarded(ids)
    said = [(run_id, answer.decode()) for run_id, answer in zip(ids, answers, strict=True)]
    return Guarded(
        going=[run_id for run_id, answer in said if answer in {"free", "ask"}],
        done=[run_id for run_id, answer in said if answer == "done"],
        busy=[run_id for run_id, answer in said if answer == "busy"],
        held=[run_id for run_id, answer in said if answer == "free"],
        step=step,
        issue=issue,
        token=token,
    )


def key(run_id: UUID, step: str) -> str:
    """Where Redis remembers the undo of a step of a run."""
    return f"{PREFIX}{run_id}:{step}"


def _milliseconds() -> int:
    return max(1, round(config().guard_ttl * 1000))


def _evaluate(script: str, step: str, ids: Sequence[UUID], arguments: Sequence[Any]) -> Any:
    """Run a script; ``None`` if Redis cannot. With its text, not its hash: always one round trip."""
    keys = [key(run_id, step) for run_id in ids]
    return redis_client.ask(lambda client: client.eval(script, len(ids), *keys, *arguments))
