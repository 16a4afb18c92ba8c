"""Instruments: counters, histograms and gauges, with few labels and few values of each.

A label has values that are declared, or that the code bounds (a saga's or a step's name). Whatever else comes is
counted as ``other``. So the number of series does not grow with what customers send.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum
from typing import Final, TypeVar

from sagas import limits, runtime
from sagas.conf import config
from sagas.db import after_commit
from sagas.errors import DefinitionError
from sagas.metrics.sums import Key, Sums

#: The labels that there are, in this order.
LABELS = ("saga", "step", "operation", "outcome", "state", "objective", "window")
#: The value of a label that is not one of those declared.
OTHER = "other"
#: Values that the code bounds, such as the names of sagas.
ANY: Final = None
#: Combinations of labels of one instrument in one process; all further ones are ``other``.
MOST_SERIES = 1000

#: Seconds, from a quick statement to an hour.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)

#: By label: the values that it may have; ``ANY``: those that the code bounds.
Labels = Mapping[str, Collection[str] | None]


class Kind(StrEnum):
    """What an instrument is, as Prometheus calls it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Instrument:
    """What all instruments have: a name, a text, and labels.

    Args:
        name: as Prometheus has it: small letters, digits and ``_``; of a counter with ``_total`` at its end.
        text: what it says, and its unit.
        labels: which labels it has, of ``LABELS``, and which values each may have.

    Raises:
        DefinitionError: the name or a label is none, or another instrument has the name.
    """

    kind: Kind

    def __init__(self, name: str, text: str, labels: Labels | None = None) -> None:
        given = dict(labels or {})
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > limits.METRIC_NAME:
            msg = f"{name!r} is no name of a metric: give at most {limits.METRIC_NAME} small letters, digits and _"
            raise DefinitionError(msg)
        if (self.kind is Kind.COUNTER) != name.endswith("_total"):
            msg = f"{name}: the names of counters, and of nothing else, end with _total"
            raise DefinitionError(msg)
        if unknown := given.keys() - set(LABELS):
            msg = f"{name}: there is no label {min(unknown)!r}; there are {', '.join(LABELS)}"
            raise DefinitionError(msg)
        self.name = name
        self.text = text
        self.labels = tuple(label for label in LABELS if label in given)
        self.values = {label: values and frozenset(map(str, values)) for label, values in given.items()}
        known = runtime.declared.instruments.get(name)
        if known is not None and (type(known), known.labels) != (type(self), self.labels):
            msg = f"{name}: another metric has this name"
            raise DefinitionError(msg)
        runtime.declared.instruments[name] = self

    def admit(self, given: Mapping[str, str]) -> tuple[str, ...]:
        """The values of its labels, in their order; ``other`` for one that was not declared."""
        return tuple(_admitted(given.get(label, ""), self.values[label]) for label in self.labels)

    def series(self, sums: Sums, given: Mapping[str, str]) -> Key:
        """What is added to for these labels."""
        raw = (self.name, *[given.get(label, "") for label in self.labels])
        known = sums.admitted.get(raw)
        if known is not None:
            return known
        key = Key(self.name, self.admit(given))
        return sums.admit(raw, key, Key(self.name, (OTHER,) * len(self.labels)), MOST_SERIES)


def _admitted(value: str, allowed: Collection[str] | None) -> str:
    if allowed is None:
        return value if len(value) <= limits.SAGA_NAME and value.isprintable() else OTHER
    return value if value in allowed else OTHER


class Counter(Instrument):
    """Counts what happens. It never falls.

    >>> ORDERS = Counter("shop_orders_total", "Orders that have ended.", labels={"outcome": ("kept", "undone")})
    >>> ORDERS.add(outcome="kept")
    """

    kind = Kind.COUNTER

    def add(self, number: float = 1, /, **labels: str) -> None:
        """Count after the commit of the current transaction, or at once outside one. The call may be lost."""
        if number > 0 and config().metrics:
            count_after_commit([(self, number, labels)])

    def add_now(self, number: float = 1, /, **labels: str) -> None:
        """Count what is no change of the database, such as a refusal, whatever becomes of the current transaction."""
        if number > 0:
            count_now([(self, number, labels)])


class Histogram(Instrument):
    """Measures how large things are: how many were at most so large, and their sum.

    Args:
        name: see ``Instrument``.
        text: the same.
        labels: the same.
        buckets: upper bounds, ascending. The last bucket, without a bound, is not among them.
    """

    kind = Kind.HISTOGRAM

    def __init__(
        self, name: str, text: str, labels: Labels | None = None, *, buckets: Iterable[float] = SECONDS
    ) -> None:
        super().__init__(name, text, labels)
        self.bounds = tuple(float(bound) for bound in buckets)
        if not self.bounds or list(self.bounds) != sorted(set(self.bounds)):
            msg = f"{name}: the buckets are no ascending numbers"
            raise DefinitionError(msg)
        #: Which buckets these are. Sums of others, of an earlier version of the code, are not added to them.
        self.layout = zlib.crc32(repr(self.bounds).encode()) & limits.INTEGER

    def observe(self, *values: float, **labels: str) -> None:
        """Measure after the commit of the current transaction, or at once outside one. The call may be lost."""
        if values and config().metrics:
            count_after_commit([(self, values, labels)])


#: An instrument, how many or which values, and the labels.
Change = tuple[Counter | Histogram, float | Iterable[float], Mapping[str, str]]


def count_after_commit(changes: list[Change]) -> None:
    """Add these up in the memory of this process once the current transaction is committed."""
    after_commit(_add, changes)


def count_now(changes: Iterable[Change]) -> None:
    """Add these up now, if metrics are on: nothing that they say is in a transaction."""
    if config().metrics:
        _add(changes)


def _add(changes: Iterable[Change]) -> None:
    sums = sums_of_process()
    for instrument, what, labels in changes:
        key = instrument.series(sums, labels)
        if isinstance(instrument, Histogram):
            assert not isinstance(what, int | float)
            sums.observe(key, instrument.bounds, what)
        else:
            assert isinstance(what, int | float)
            sums.add(key, what)


def sums_of_process() -> Sums:
    """The sums of this process. With the first one it begins to write them into the database."""
    own = runtime.own
    if own.sums is None:
        with own.lock:
            if own.sums is None:
                own.sums = Sums()
                begin = runtime.declared.begin_flushing
                if begin is not None:
                    begin()
    return own.sums


# Gauges ----------------------------------------------------------------------------------------------------------

#: The values of a gauge, by the values of its labels in the order of ``LABELS``.
Values = Mapping[tuple[str, ...], float]
Look = Callable[[], Values]
LookT = TypeVar("LookT", bound=Look)


class Gauge(Instrument):
    """Says how something is now."""

    kind = Kind.GAUGE

    def __init__(self, name: str, text: str, labels: Labels | None = None, *, look: Look | None = None) -> None:
        super().__init__(name, text, labels)
        self.look = look


def on_scrape(name: str, text: str, labels: Labels | None = None) -> Callable[[LookT], LookT]:
    """Register a function that computes a gauge when metrics are asked for, at most once in some seconds.

    It is called in the process of ``manage.py sagas metrics``, outside any transaction. It asks the database a question
    whose cost does not grow with the tables. Its errors are logged, and the gauge is left out of that answer.

    >>> @on_scrape("shop_stores", "Stores that take orders.", labels={"state": ("open", "closed")})
    ... def stores() -> dict[tuple[str, ...], float]:
    ...     return {("open",): 3}

    Raises:
        DefinitionError: see ``Instrument``.
    """

    def register(function: LookT) -> LookT:
        Gauge(name, text, labels, look=function)
        return function

    return register
