"""Metrics in tests: what this process has counted, and what the database has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sagas import runtime, store
from sagas.metrics.sums import Sums


@contextmanager
def counting() -> Iterator[Sums]:
    """The sums of this process alone: nothing writes them into the database meanwhile."""
    own, declared = runtime.own, runtime.declared
    before = own.sums, declared.begin_flushing
    declared.begin_flushing = None
    own.sums = Sums()
    try:
        yield own.sums
    finally:
        own.sums, declared.begin_flushing = before


def counted(sums: Sums) -> dict[str, dict[tuple[str, ...], float]]:
    """What was added up, by name and labels: of a histogram how many values."""
    cells = sums.take()
    sums.give_back(cells)
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for key, cell in cells.items():
        found.setdefault(key.name, {})[key.labels] = sum(cell.buckets) if cell.buckets else cell.value
    return found


def stored() -> dict[str, dict[tuple[str, ...], float]]:
    """The same of what the database has."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for total in store.measurements.totals():
        number = sum(total.cell.buckets) if total.cell.buckets else total.cell.value
        found.setdefault(total.name, {})[total.labels] = number
    return found
