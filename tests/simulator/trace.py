"""A schedule as text: what is started, what people do, and which faults strike where. One line is one item.

A line is ``[seconds] verb subject [name=value …]``. Lines with a time happen then; the others are faults, which strike
at a message or at the n-th point of an activity, whenever that comes. So a line can be taken out, and the rest still
means the same: that is what shrinking needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

#: What happens to a message on its way.
TRANSIT = ("lose", "double", "delay")
#: What happens to whoever performs something, at a point of it.
STRIKES = ("crash", "stall", "conflict", "cut", "nack")
FAULTS = (*TRANSIT, *STRIKES)


@dataclass(frozen=True, slots=True)
class Item:
    """One line.

    Attributes:
        verb: what happens.
        subject: to which run, message or activity.
        at: when, in seconds since the beginning; ``None`` for a fault.
        args: what else there is to say, as text.
    """

    verb: str
    subject: str
    at: float | None = None
    args: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        time = "" if self.at is None else f"{self.at:g} "
        return f"{time}{self.verb} {self.subject}{''.join(f' {name}={value}' for name, value in self.args)}"

    def get(self, name: str, default: str = "") -> str:
        """One of its arguments."""
        return dict(self.args).get(name, default)

    def number(self, name: str, default: float = 0.0) -> float:
        """One of its arguments, a number."""
        return float(self.get(name) or default)

    def having(self, **args: object) -> Item:
        """The same with other arguments; ``None`` takes one away."""
        merged = {**dict(self.args), **{name: None if v is None else str(v) for name, v in args.items()}}
        return replace(self, args=tuple((name, value) for name, value in merged.items() if value is not None))


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that decides how a simulation goes.

    Attributes:
        seed: of ids, and of what is drawn on the way.
        settings: how the engine is set up: ``carrier``, ``here``.
        items: see ``Item``.
        drawn: faults are drawn on the way, this being the likeliness; 0 where all that strike are among the items.
    """

    seed: int
    settings: Mapping[str, str]
    items: tuple[Item, ...]
    drawn: float = 0.0

    def __str__(self) -> str:
        settings = "".join(f" {name}={value}" for name, value in self.settings.items())
        return "\n".join([f"seed {self.seed}{settings}", *map(str, self.items)])

    def of(self, items: Iterable[Item]) -> Schedule:
        """The same with other items, and nothing drawn on the way."""
        return replace(self, items=tuple(items), drawn=0.0)


def parse(text: str) -> Schedule:
    """Read a schedule as it was printed; ``ValueError`` says which line makes no sense."""
    lines = [line.split("--")[0].strip() for line in text.strip().splitlines()]
    lines = [line for line in lines if line]
    first = lines[0].split() if lines else []
    if len(first) < 2 or first[0] != "seed" or not first[1].isdecimal():
        msg = f"a trace begins with its seed, not with {' '.join(first)!r}"
        raise ValueError(msg)
    settings = dict(word.split("=", 1) for word in first[2:])
    return Schedule(int(first[1]), settings, tuple(_item(line) for line in lines[1:]))


def _item(line: str) -> Item:
    words = line.split()
    at = float(words.pop(0)) if words[0][0].isdecimal() else None
    if len(words) < 2 or (at is None) is not (words[0] in FAULTS) or any("=" not in word for word in words[2:]):
        msg = f"this line of a trace makes no sense: {line!r}"
        raise ValueError(msg)
    return Item(words[0], words[1], at, tuple((w.split("=", 1)[0], w.split("=", 1)[1]) for w in words[2:]))
