"""The lock of a claim, in Redis: one run at a time issues a coupon to a customer.

It only postpones, and saves work. The database decides, with Redis and without: each lock has a fencing token of the
database's sequence, the grant that is being created has it, too, and who comes with an older token is refused there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from sagas.redis import client as redis_client

PREFIX = "coupons:claim:"

#: What holds no number, or would stay for longer than any claim lets it, was not left by a claim.
_HOLDERS = """
local answers = {}
for i, key in ipairs(KEYS) do
  local held, left = redis.pcall('GET', key), redis.pcall('PTTL', key)
  local valid = type(held) == 'string' and string.match(held, '^%d+$') and left > 0 and left <= tonumber(ARGV[1])
  answers[i] = valid and held or ''
end
return answers
"""
_TAKE = "for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1]) end return 1"
_RENEW = """
local answers = {}
for i, key in ipairs(KEYS) do
  local mine = redis.pcall('GET', key) == ARGV[i + 1]
  if mine then redis.call('PEXPIRE', key, ARGV[1]) end
  answers[i] = mine and 1 or 0
end
return answers
"""
_RELEASE = "for i, key in ipairs(KEYS) do if redis.pcall('GET', key) == ARGV[i] then redis.call('DEL', key) end end"

#: A coupon and a customer.
Whose = tuple[str, int]


def seconds() -> float:
    """For how long a lock is taken."""
    return float(settings.COUPON_LOCK_SECONDS)


def holders(whose: Sequence[Whose]) -> list[int | None] | None:
    """The token of each lock; ``None`` for one that is free. ``None`` for all if Redis does not answer."""
    answers = _evaluate(_HOLDERS, whose, [_milliseconds()])
    return None if answers is None else [int(answer) if answer else None for answer in answers]


def take(whose: Sequence[Whose], tokens: Sequence[int]) -> None:
    """Take the locks with these tokens, from whoever has them: the database has said that we may."""
    _evaluate(_TAKE, whose, [_milliseconds(), *tokens])


def renew(whose: Sequence[Whose], tokens: Sequence[int]) -> list[bool] | None:
    """Whether each lock was still ours, and is so for another while; ``None`` if Redis does not answer."""
    answers = _evaluate(_RENEW, whose, [_milliseconds(), *tokens])
    return None if answers is None else [bool(answer) for answer in answers]


def release(whose: Sequence[Whose], tokens: Sequence[int]) -> None:
    """Give back the locks that are still ours."""
    _evaluate(_RELEASE, whose, list(tokens))


def key(whose: Whose) -> str:
    """Where Redis has the lock."""
    return f"{PREFIX}{whose[1]}:{whose[0]}"


def _milliseconds() -> int:
    return max(1, round(seconds() * 1000))


def _evaluate(script: str, whose: Sequence[Whose], arguments: Sequence[Any]) -> Any:
    if not whose:
        return []
    keys = [key(each) for each in whose]
    return redis_client.ask(lambda client: client.eval(script, len(keys), *keys, *arguments))
