"""Sums: what one process has counted and measured since they were last written into the database."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Key(NamedTuple):
    """A series: the instrument's name, and the values of its labels."""

    name: str
    labels: tuple[str, ...]


@dataclass(slots=True)
class Cell:
    """What was added up for one series.

    Attributes:
        value: of a counter the number, of a histogram the sum of its values.
        buckets: of a histogram, how many values fell into each bucket; the last one has no bound.
    """

    value: float = 0.0
    buckets: list[int] = field(default_factory=list)

    def merge(self, other: Cell) -> None:
        """Add another one of the same series."""
        self.value += other.value
        if self.buckets:
            self.buckets = [mine + more for mine, more in zip(self.buckets, other.buckets, strict=True)]
        else:
            self.buckets = list(other.buckets)


class Sums:
    """Added to by all threads of a process, and taken by the one that writes.

    Attributes:
        admitted: by the labels as they came, the series that they are counted as.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cells: dict[Key, Cell] = {}
        self._series: Counter[str] = Counter()
        self.admitted: dict[tuple[str, ...], Key] = {}

    def admit(self, raw: tuple[str, ...], key: Key, other: Key, most: int) -> Key:
        """Remember as what these labels are counted; as ``other`` if the instrument has ``most`` already."""
        with self._lock:
            if self._series[key.name] >= most:
                return self.admitted.get(raw, other)
            self._series[key.name] += 1
            self.admitted[raw] = key
            return key

    def add(self, key: Key, number: float) -> None:
        with self._lock:
            cell = self._cells.get(key)
            if cell is None:
                cell = self._cells[key] = Cell()
            cell.value += number

    def observe(self, key: Key, bounds: Sequence[float], values: Iterable[float]) -> None:
        """Add values to a histogram. A clock that was set back makes a time negative: it counts as none."""
        with self._lock:
            cell = self._cells.get(key)
            if cell is None:
                cell = self._cells[key] = Cell(buckets=[0] * (len(bounds) + 1))
            for value in values:
                if math.isfinite(value):
                    shown = max(value, 0.0)
                    cell.value += shown
                    cell.buckets[bisect_left(bounds, shown)] += 1

    def take(self) -> dict[Key, Cell]:
        """Take out what was added up, to write it."""
        with self._lock:
            cells, self._cells = self._cells, {}
            return cells

    def give_back(self, cells: dict[Key, Cell]) -> None:
        """Add what was taken and could not be written."""
        with self._lock:
            for key, cell in cells.items():
                mine = self._cells.get(key)
                if mine is None:
                    self._cells[key] = cell
                else:
                    mine.merge(cell)
