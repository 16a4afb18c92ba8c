"""An axis of time on which idle time is folded: a run works for milliseconds and waits for days. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

#: Pixels of a fold, with room for its length in words.
FOLD_WIDTH = 60.0
#: Time in which nothing changes is folded if it would take more of the axis than this.
_LARGEST_PART = 0.3


@dataclass(frozen=True, slots=True)
class Fold:
    """Idle time that is left out.

    Attributes:
        x: where it begins, in pixels.
        width: in pixels.
        length: how long it was.
    """

    x: float
    width: float
    length: timedelta


@dataclass(frozen=True, slots=True)
class Axis:
    """Places of moments: between two neighbouring moments the axis is linear.

    Attributes:
        moments: in order, without repetition; at least one.
        places: of each, in pixels.
        folds: what is folded.
    """

    moments: tuple[datetime, ...]
    places: tuple[float, ...]
    folds: tuple[Fold, ...]

    def x(self, at: datetime) -> float:
        """The place of a moment; of one outside the axis, its end."""
        index = bisect_right(self.moments, at)
        if index == 0:
            return self.places[0]
        if index == len(self.moments):
            return self.places[-1]
        before, after = self.moments[index - 1], self.moments[index]
        part = (at - before) / (after - before)
        return self.places[index - 1] + part * (self.places[index] - self.places[index - 1])


def make_axis(
    moments: Iterable[datetime], busy: Iterable[tuple[datetime, datetime]], *, left: float, width: float
) -> Axis:
    """Spread moments over ``width`` pixels from ``left`` on.

    Args:
        moments: all at which something begins, ends or happens; at least one.
        busy: intervals that are never folded: attempts.
        left: where the axis begins.
        width: of the axis.
    """
    kept = sorted(set(moments))
    lengths = [after - before for before, after in pairwise(kept)]
    folded = _folded(lengths, _is_busy(kept, busy), width)
    scale = _scale(lengths, folded, width)
    places, folds = [left], []
    for index, length in enumerate(lengths):
        pixels = min(FOLD_WIDTH, width / len(lengths)) if index in folded else length / timedelta(seconds=1) * scale
        if index in folded:
            folds.append(Fold(places[-1], pixels, length))
        places.append(places[-1] + pixels)
    return Axis(tuple(kept), tuple(places), tuple(folds))


def _is_busy(moments: Sequence[datetime], busy: Iterable[tuple[datetime, datetime]]) -> list[bool]:
    """For each gap between two moments, whether something was performed in it: one walk over all ends."""
    changes: dict[datetime, int] = {}
    for start, end in busy:
        if end > start:
            changes[start] = changes.get(start, 0) + 1
            changes[end] = changes.get(end, 0) - 1
    under_way, found = 0, []
    for moment in moments[:-1]:
        under_way += changes.get(moment, 0)
        found.append(under_way > 0)
    return found


def _folded(lengths: Sequence[timedelta], is_busy: Sequence[bool], width: float) -> frozenset[int]:
    """The gaps that are folded: the longest first, until none takes too much of what is left."""
    most = int(width / FOLD_WIDTH / 2)
    left = sum(lengths, timedelta())
    folded: set[int] = set()
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True):
        if len(folded) >= most or lengths[index] <= left * _LARGEST_PART:
            break
        # Where nothing else is left, there is nothing to make room for.
        if not is_busy[index] and left > lengths[index]:
            folded.add(index)
            left -= lengths[index]
    return frozenset(folded)


def _scale(lengths: Sequence[timedelta], folded: frozenset[int], width: float) -> float:
    """Pixels a second of what is not folded."""
    left = sum((length for index, length in enumerate(lengths) if index not in folded), timedelta())
    room = width - len(folded) * FOLD_WIDTH
    return max(room, 0.0) / left.total_seconds() if left else 0.0
