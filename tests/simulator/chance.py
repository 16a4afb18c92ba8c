"""Which faults strike what: those that a schedule says, or what is drawn from its seed on the way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from random import Random

from tests.simulator.trace import STRIKES, TRANSIT, Item, Schedule

#: Where in the code a fault may strike.
_APPLICABLE: dict[str, Callable[[str], bool]] = {
    "crash": lambda _: True,
    "stall": lambda _: True,
    "nack": lambda what: what == "publish",
    "conflict": lambda what: not what.startswith(("redis", "publish", "acked", "COMMIT", "committed")),
    "cut": lambda what: not what.startswith(("redis", "publish", "acked")),
}
#: How likely each is, where one is drawn.
_STRIKES = {"crash": 40, "stall": 30, "conflict": 8, "cut": 12, "nack": 10}
_TRANSIT = {"lose": 35, "double": 40, "delay": 25}
#: The last point of an activity at which a drawn fault strikes, at the latest where it is the first that can.
_LATEST = 16


class Chance:
    """The faults of one schedule. What is drawn depends on the seed and on the name of what it strikes, and no more."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._said: dict[str, list[Item]] = defaultdict(list)
        for item in schedule.items:
            if item.at is None:
                self._said[item.subject].append(item)
        #: How many more are drawn.
        self._budget = Random(f"{schedule.seed}|budget").choice((1, 2, 3, 5, 8, 12)) if schedule.drawn else 0

    def strikes(self, name: str) -> list[Item]:
        """What strikes an activity on its way."""
        if not self._schedule.drawn:
            return [item for item in self._said.get(name, ()) if item.verb in STRIKES]
        random = self._drawn(name, 1.0)
        if random is None:
            return []
        verb = random.choices(list(_STRIKES), list(_STRIKES.values()))[0]
        item = Item(verb, name, None, (("at", str(random.randint(1, _LATEST))),))
        if verb == "stall":
            item = item.having(**{"for": _duration(random)})
        return [item]

    def hits(self, item: Item, point: int, what: str) -> bool:
        """Whether a strike comes at this point, where this is about to happen.

        A drawn one that cannot strike at its point strikes at the next at which it can.
        """
        wanted = item.number("at")
        there = wanted == point or (self._schedule.drawn > 0 and wanted < point)
        return there and _APPLICABLE[item.verb](what)

    def transit(self, name: str) -> list[Item]:
        """What happens to a message on its way."""
        if not self._schedule.drawn:
            return [item for item in self._said.get(name, ()) if item.verb in TRANSIT]
        random = self._drawn(f"{name}|transit", 1.5)
        if random is None:
            return []
        verb = random.choices(list(_TRANSIT), list(_TRANSIT.values()))[0]
        match verb:
            case "double":
                return [Item(verb, name, None, (("after", _duration(random)),))]
            case "delay":
                return [Item(verb, name, None, (("by", _duration(random)),))]
        return [Item(verb, name)]

    def _drawn(self, name: str, more: float) -> Random | None:
        """Where to draw a fault from, if one is to be drawn; ``more`` often than as likely as the schedule says."""
        if self._budget <= 0:
            return None
        random = Random(f"{self._schedule.seed}|{name}")
        if random.random() >= self._schedule.drawn * more:
            return None
        self._budget -= 1
        return random


def _duration(random: Random) -> str:
    """Seconds: very short, short, about a lease, longer than a deadline, very long."""
    low, high = random.choice(((0.001, 0.02), (0.05, 2), (8, 12), (25, 40), (60, 300)))
    return f"{random.uniform(low, high):.3g}"
