"""The exposition: all metrics as Prometheus reads them, put together by ``prometheus_client``."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from django.db import Error, connection
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from sagas import runtime, store
from sagas.db import ConnectionLost
from sagas.metrics.instruments import Counter, Gauge, Histogram, Instrument, Values
from sagas.observability import gauges
from sagas.postgresql.watchdog import within

logger = logging.getLogger(__name__)

#: Seconds for which one look at the database serves all scrapes, and which it may take.
KEPT, PATIENCE = 5.0, 5.0


class Unavailable(Exception):
    """The database cannot be asked now."""


class Exposition(Collector):
    """Computes all metrics when it is asked, at most once in ``KEPT`` seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._families: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        """The metrics, each with a text, in the order of their names.

        Raises:
            Unavailable: the database could not be asked.
        """
        # One after the other: those who wait get what the first one has found.
        with self._lock:
            if time.monotonic() - self._looked_at >= KEPT:
                self._families = list(_look())
                self._looked_at = time.monotonic()
            yield from self._families

    def registry(self) -> CollectorRegistry:
        """A registry that has these metrics alone."""
        # It must not ask for the metrics here, to learn their names.
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return registry

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is, is known at a scrape."""
        return ()


def _look() -> Iterator[Metric]:
    instruments = runtime.declared.instruments
    try:
        with within(PATIENCE):
            totals = store.measurements.totals()
            looks = gauges.look()
    except (Error, ConnectionLost) as error:
        connection.close()
        raise Unavailable(str(error)) from error
    found: dict[str, list[store.measurements.Total]] = {}
    for total in totals:
        found.setdefault(total.name, []).append(total)
    for name in sorted(instruments):
        instrument = instruments[name]
        if isinstance(instrument, Counter):
            yield _counter(instrument, found.get(name, ()))
        elif isinstance(instrument, Histogram):
            yield _histogram(instrument, found.get(name, ()))
        elif isinstance(instrument, Gauge):
            values = _ask(instrument) if instrument.look is not None else looks.get(name, {})
            if values is not None:
                yield _gauge(instrument, values)


def _counter(instrument: Counter, totals: Iterable[store.measurements.Total]) -> Metric:
    family = CounterMetricFamily(instrument.name, instrument.text, labels=instrument.labels)
    merged: dict[tuple[str, ...], float] = {}
    for total in totals:
        if (labels := _labels(instrument, total)) is not None:
            merged[labels] = merged.get(labels, 0.0) + total.cell.value
    # A counter that nobody has added to yet is 0, so that its first increase is seen.
    if not instrument.labels:
        merged.setdefault((), 0.0)
    for labels in sorted(merged):
        family.add_metric(labels, merged[labels])
    return family


def _histogram(instrument: Histogram, totals: Iterable[store.measurements.Total]) -> Metric:
    family = HistogramMetricFamily(instrument.name, instrument.text, labels=instrument.labels)
    bounds = [*map(floatToGoString, instrument.bounds), "+Inf"]
    for total in totals:
        labels = _labels(instrument, total)
        # Sums of other buckets are of an earlier version of the code.
        if labels is not None and total.layout == instrument.layout:
            family.add_metric(
                labels, list(zip(bounds, accumulate(total.cell.buckets), strict=True)), sum_value=total.cell.value
            )
    return family


def _gauge(instrument: Instrument, values: Values) -> Metric:
    family = GaugeMetricFamily(instrument.name, instrument.text, labels=instrument.labels)
    for labels in sorted(values):
        family.add_metric(labels, values[labels])
    return family


def _labels(instrument: Instrument, total: store.measurements.Total) -> tuple[str, ...] | None:
    """The labels of a series; ``None`` if the instrument had others when that was counted."""
    return total.labels if len(total.labels) == len(instrument.labels) else None


def _ask(gauge: Gauge) -> Mapping[tuple[str, ...], float] | None:
    """What a function of the application finds; ``None`` if it breaks."""
    assert gauge.look is not None
    found: dict[tuple[str, ...], float] = {}
    try:
        for values, number in gauge.look().items():
            labels = gauge.admit(dict(zip(gauge.labels, values, strict=True)))
            found[labels] = found.get(labels, 0.0) + number
    except Exception:
        logger.exception("sagas: the gauge %s could not be computed", gauge.name)
        connection.close()
        return None
    return found
