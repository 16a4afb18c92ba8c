"""Orders that cannot succeed are turned away at once, where many ask for what is sold out: a rush.

Without a rush every order is accepted, and the steps of its run say what there is. In a rush the run of such an order
would take the time of those that can succeed. Nothing is decided here that a step does not decide again: too many may
pass, and what is refused here may be asked for again. Three things are looked at, each only where the one before says
nothing:

- How often this process was asked for something, in this second and in the one before. A few times: it passes.
- What was left of it at most a second ago, without the units that this process has let pass since then.
- Where not much is left, a token in Redis: what all web processes together may let pass. It lives for ``TOKEN`` seconds
  from when somebody read the stock. So what is given back is sold again after five seconds at the latest.

Redis is not trusted: a token that stays for longer is none, and where for ``TOKEN`` seconds nothing but Redis has
refused something, this process lets pass what the database says is there.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import delivery.selectors
import inventory.selectors
from delivery.participants import SlotFull
from inventory.participants import OutOfStock
from orders import offers
from orders.errors import Fault, SoldOut
from orders.offers import REMEMBERED, Pace, Recent
from sagas import Rejected
from sagas.redis import client as redis_client

if TYPE_CHECKING:
    from redis import Redis

#: It is a rush where one process is asked for something more often in a second.
RUSH = 10
#: Seconds for which a token counts, by Redis' clock, and for which Redis alone may refuse something, by our own.
TOKEN = 3.0
#: Redis is asked where fewer units are left than so many times what this process is asked for in a second: other
#: processes are asked, too.
NEAR = 10
PREFIX = "drinkgroup:left:"
#: So many things are kept in mind at most.
_MOST = 2000

K = TypeVar("K", str, int)

#: Takes so many units of each token, or none. A token that is not there begins with what the process knows.
_TAKE = """
local lasts, count = tonumber(ARGV[1]), {}
for i, key in ipairs(KEYS) do
  local held, ends = redis.pcall('GET', key), redis.pcall('PTTL', key)
  local valid = type(held) == 'string' and #held < 16 and string.match(held, '^%d+$') and ends > 0 and ends <= lasts
  count[i] = valid and tonumber(held) or false
  if (count[i] or tonumber(ARGV[2 * i + 1])) < tonumber(ARGV[2 * i]) then return {i, count[i] or ARGV[2 * i + 1]} end
end
for i, key in ipairs(KEYS) do
  if count[i] then redis.call('DECRBY', key, ARGV[2 * i])
  else redis.call('SET', key, ARGV[2 * i + 1] - ARGV[2 * i], 'PX', lasts) end
end
return {0, 0}
"""
#: Gives units back to the tokens that are still there.
_GIVE_BACK = b"""
for i, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then redis.pcall('INCRBY', key, ARGV[i]) end
end
"""


class Level(NamedTuple):
    """What was left of something when it was read; ``None`` of what does not exist."""

    left: int | None


class TooLittle(Exception):
    """There is not enough of something.

    Attributes:
        key: of what.
        left: how much there is.
    """

    def __init__(self, key: Any, left: int) -> None:
        super().__init__(f"{left} of {key} left")
        self.key = key
        self.left = left


class _Asked:
    """What this process knows of one thing that is asked for."""

    __slots__ = ("level", "pace", "passed", "refused_since", "unasked_until")

    def __init__(self) -> None:
        self.pace = Pace()
        #: The last level that was looked at, and the units that have passed since.
        self.level: Level | None = None
        self.passed = 0
        #: Since when nobody but Redis has refused it, and until when Redis is not asked.
        self.refused_since: float | None = None
        self.unasked_until = -1e9

    def left(self, level: Level) -> int | None:
        """What is left by a level, without what has passed since it was read."""
        if level is not self.level:
            self.level, self.passed = level, 0
        return None if level.left is None else level.left - self.passed


class Rush(Generic[K]):
    """Turns away who asks for too much of what many ask for.

    Args:
        name: of the things, in Redis.
        read: what is left of the things with these keys; what does not exist is left out.
    """

    def __init__(self, name: str, read: Callable[[Collection[K]], Mapping[K, int]]) -> None:
        self._prefix = f"{PREFIX}{name}:"
        self._read: Callable[[Collection[K]], Mapping[K, int]] = read
        self._levels: Recent[K, Level] = Recent(self._read_levels)
        self._lock = threading.Lock()
        self._asked: dict[K, _Asked] = {}

    @contextmanager
    def passing(self, wanted: Mapping[K, int]) -> Iterator[None]:
        """Let what is done inside have so many units of each thing; if it raises, others may have them.

        Raises:
            TooLittle: there is a rush, and not enough of a thing.
        """
        counted, tokens = self._enter(wanted)
        try:
            yield
        except BaseException:
            self._give_back(counted, tokens)
            raise

    def forget(self) -> None:
        """Know nothing of what was asked for, and read everything again."""
        with self._lock:
            self._asked.clear()
        self._levels.forget()

    def _read_levels(self, keys: Collection[K]) -> dict[K, Level]:
        left = self._read(keys)
        return {key: Level(left.get(key)) for key in keys}

    def _enter(self, wanted: Mapping[K, int]) -> tuple[dict[K, int], dict[K, int]]:
        """Count what passes; return what was counted here, and what was taken of tokens."""
        now = offers.clock()
        paces = self._count(wanted, now)
        rushed = {key: wanted[key] for key, pace in paces.items() if pace > RUSH}
        if not rushed:
            return {}, {}
        levels = self._levels.get(rushed)
        near: dict[K, tuple[int, int]] = {}
        counted: dict[K, int] = {}
        with self._lock:
            for key, quantity in rushed.items():
                asked = self._of(key)
                left = asked.left(levels[key])
                if left is None:
                    continue
                if left < quantity:
                    raise TooLittle(key, max(left, 0))
                counted[key] = quantity
                if left < NEAR * quantity * paces[key] and now >= asked.unasked_until:
                    near[key] = quantity, left
            for key, quantity in counted.items():
                self._of(key).passed += quantity
        try:
            return counted, self._take(near, now)
        except TooLittle:
            self._give_back(counted, {})
            raise

    def _count(self, wanted: Mapping[K, int], now: float) -> dict[K, int]:
        """How often each is asked for in a second."""
        paces = {}
        with self._lock:
            for key in wanted:
                asked = self._of(key)
                paces[key] = asked.pace.count(now)
                if paces[key] <= RUSH:
                    asked.refused_since = None
        return paces

    def _of(self, key: K) -> _Asked:
        """What is known of a thing. The caller has the lock."""
        asked = self._asked.get(key)
        if asked is None:
            if len(self._asked) >= _MOST:
                # What was counted is lost, and more passes.
                self._asked.clear()
            asked = self._asked[key] = _Asked()
        return asked

    def _take(self, near: Mapping[K, tuple[int, int]], now: float) -> dict[K, int]:
        """Take units of the tokens; return what was taken: nothing without Redis, or where it is not believed."""
        if not near:
            return {}
        keys = list(near)
        arguments: list[int] = [round(TOKEN * 1000)]
        for pair in near.values():
            arguments += pair

        def take(client: Redis) -> Any:
            return client.eval(_TAKE, len(keys), *(f"{self._prefix}{key}" for key in keys), *arguments)

        answer = redis_client.ask(take)
        if answer is None:
            return {}
        place, left = answer
        with self._lock:
            if not place:
                for key in keys:
                    self._of(key).refused_since = None
                return {key: quantity for key, (quantity, _) in near.items()}
            key = keys[place - 1]
            asked = self._of(key)
            if asked.refused_since is None:
                asked.refused_since = now
            if now < asked.refused_since + TOKEN:
                raise TooLittle(key, int(left))
            asked.refused_since, asked.unasked_until = None, now + REMEMBERED
            return {}

    def _give_back(self, counted: Mapping[K, int], tokens: Mapping[K, int]) -> None:
        with self._lock:
            for key, quantity in counted.items():
                asked = self._of(key)
                asked.passed = max(0, asked.passed - quantity)
        if tokens:
            names: list[bytes] = [f"{self._prefix}{key}".encode() for key in tokens]
            quantities: list[bytes] = [b"%d" % quantity for quantity in tokens.values()]
            redis_client.tell(redis_client.pack((b"EVAL", _GIVE_BACK, b"%d" % len(names), *names, *quantities)))


_cups: Rush[str] = Rush("cups", lambda codes: inventory.selectors.left(codes=codes))
_places: Rush[int] = Rush("places", lambda slots: delivery.selectors.places_left(slots=slots))


class Wanted(Protocol):
    """Cups of one SKU."""

    @property
    def sku(self) -> str:
        """Its code."""
        ...

    @property
    def quantity(self) -> int:
        """How many."""
        ...


@contextmanager
def passing(*, items: Sequence[Wanted], slot: int) -> Iterator[None]:
    """Turn an order away that cannot succeed, where there is a rush; inside, the order is accepted.

    Raises:
        SoldOut: there is too little of a drink, or no place in the slot, with the reason that the step would give.
    """
    cups: Counter[str] = Counter()
    for item in items:
        cups[item.sku] += item.quantity
    with ExitStack() as stack:
        try:
            stack.enter_context(_cups.passing(cups))
        except TooLittle as short:
            place = next(index for index, item in enumerate(items) if item.sku == short.key)
            raise _sold_out("out-of-stock", OutOfStock, short, cups[short.key], f"/items/{place}/sku") from None
        try:
            stack.enter_context(_places.passing({slot: 1}))
        except TooLittle as short:
            raise _sold_out("slot-full", SlotFull, short, 1, "/slot") from None
        yield


def _sold_out(problem: str, rejection: type[Rejected], short: TooLittle, wanted: int, pointer: str) -> SoldOut:
    reason = rejection(f"{short.key}: {wanted} wanted, {short.left} left")
    return SoldOut(problem, Fault(reason.code, reason.detail, pointer))


def forget() -> None:
    """Know nothing of what was asked for."""
    _cups.forget()
    _places.forget()
