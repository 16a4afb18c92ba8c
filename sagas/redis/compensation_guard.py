"""Redis in front of compensations: of two deliveries of one undo, the second costs the database nothing.

Each delivery has a fencing token, which is higher whenever the undo is published again. One atomic script compares a
cohort's token with what Redis knows of each run, and takes a lock with a time to live. Redis saves work and decides
nothing. A run that Redis holds back comes again with a higher token when its lease is over. For a run that Redis lets
through, the run's row decides, under its lock in the database. Without Redis every run is let through.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sagas.conf import config
from sagas.redis import client as redis_client

PREFIX = "sagas:undo:"

#: A key holds "<token>:<owner>" while a delivery with this token performs the undo, and "<token>:done" after that.
#: If the known token is higher than the delivery's, only the database can tell. A key that holds no string, or would
#: stay for longer than any delivery lets it, was not left by a delivery, and counts as free.
_TAKE = """
local answers = {}
local token, life = tonumber(ARGV[2]), tonumber(ARGV[3])
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
  elseif by and tonumber(known) == token then answer = 'busy'
  elseif by and tonumber(known) > token then answer = 'ask'
  else redis.call('SET', key, ARGV[2] .. ':' .. ARGV[1], 'PX', ARGV[3]) end
  answers[i] = answer
end
return answers
"""
#: Changes only what is still this delivery's: its lock may have run out, and another delivery may have one by now.
_GIVE_BACK = """
local mine = ARGV[2] .. ':' .. ARGV[1]
for i, key in ipairs(KEYS) do
  if redis.pcall('GET', key) == mine then
    if ARGV[i + 3] == '1' then redis.call('SET', key, ARGV[2] .. ':done', 'PX', ARGV[3])
    else redis.call('DEL', key) end
  end
end
"""


def token_of(attempt: int, claims: int) -> int:
    """The fencing token of an undo that a claim publishes: higher than any before it at the same place of its run.

    Attempts count first, then claims; the lowest 16 bits count deliveries. A later link of a chain has 0.
    """
    return attempt << 32 | claims + 1 << 16


def comes_again(token: int) -> bool:
    """Whether a delivery with this token is a repeat. The tokens of all operations count deliveries in this way."""
    return token & 0xFFFF > 0


def token_after(token: int, deliveries: int = 1) -> int:
    """The fencing token of the same undo, so many deliveries later."""
    return token + deliveries


@dataclass(frozen=True, slots=True)
class Guarded:
    """What Redis said of a cohort.

    Attributes:
        going: the runs to perform.
        done: those whose undo is done, as Redis remembers: the database must say so too.
        busy: those that another delivery with the same token is performing now.
        held: those whose locks this delivery has, to be given back.
    """

    going: Sequence[UUID]
    done: Sequence[UUID] = ()
    busy: Sequence[UUID] = ()
    held: Sequence[UUID] = ()
    step: str = ""
    token: int = 0
    owner: str = ""

    def give_back(self, done: Collection[UUID]) -> None:
        """Give the locks back after the commit, and remember which runs have the step undone."""
        arguments = [self.owner, self.token, _milliseconds(), *(int(run_id in done) for run_id in self.held)]
        if self.held:
            _evaluate(_GIVE_BACK, self.step, self.held, arguments)


def take(step: str, token: int, ids: Sequence[UUID]) -> Guarded:
    """Take the locks of one delivery of an undo.

    Args:
        step: whose undo it is.
        token: the delivery's fencing token.
        ids: the runs.

    Returns:
        What to do about each of them; without Redis, all are to be performed.
    """
    owner = uuid4().hex
    answers = _evaluate(_TAKE, step, ids, [owner, token, _milliseconds()]) if ids and config().guard_ttl else None
    if answers is None:
        return Guarded(ids)
    said = [(run_id, answer.decode()) for run_id, answer in zip(ids, answers, strict=True)]
    return Guarded(
        going=[run_id for run_id, answer in said if answer in {"free", "ask"}],
        done=[run_id for run_id, answer in said if answer == "done"],
        busy=[run_id for run_id, answer in said if answer == "busy"],
        held=[run_id for run_id, answer in said if answer == "free"],
        step=step,
        token=token,
        owner=owner,
    )


def key(run_id: UUID, step: str) -> str:
    """Where Redis remembers the undo of a step of a run."""
    return f"{PREFIX}{run_id}:{step}"


def _milliseconds() -> int:
    return max(1, round(config().guard_ttl * 1000))


def _evaluate(script: str, step: str, ids: Sequence[UUID], arguments: Sequence[Any]) -> Any:
    """Run a script; ``None`` if Redis does not answer. By its text, not its hash: that is always one round trip."""
    keys = [key(run_id, step) for run_id in ids]
    return redis_client.ask(lambda client: client.eval(script, len(ids), *keys, *arguments))
