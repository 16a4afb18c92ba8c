"""Counts the runs that have ended against their sagas' objectives, on ticks, some seconds behind their commits."""

from __future__ import annotations

import logging
import time

from django.db import transaction

from sagas import runtime, store
from sagas.conf import config
from sagas.definition import registry
from sagas.errors import UnknownSaga
from sagas.store.service_levels import Level, Shape

logger = logging.getLogger(__name__)

#: Seconds between an id of the log and the moment at which its transaction must have a number.
LAG = 5.0
#: Ids of the log that one transaction counts.
CHUNK = 20_000
#: Seconds until the next try after one that broke.
PAUSE = 60.0


def count_batch(*, lag: float = LAG, chunk: int = CHUNK) -> int | None:
    """Count the next runs that have ended, in one transaction; return how many, ``None`` if it is not the time.

    Args:
        lag: seconds behind the log.
        chunk: ids of the log at most.
    """
    with transaction.atomic(durable=True):
        taken = store.service_levels.take(lag=lag, chunk=chunk)
        if taken is None:
            return None
        after, upto = taken
        ids = store.service_levels.take_ended(after, upto)
        if ids:
            shapes = [_shape(*shape) for shape in store.service_levels.shapes(ids)]
            store.service_levels.count(ids, shapes, _levels())
        store.service_levels.leave(upto)
        store.service_levels.fold()
    return len(ids)


def _shape(saga: str, version: int, shape: int) -> Shape:
    try:
        definition = store.definitions.find(saga, version, shape)
    except UnknownSaga:
        return Shape(saga, version, shape, -1)
    return Shape(saga, version, shape, definition.before_pivot if definition.confirmations else -1)


def _levels() -> list[Level]:
    return [
        Level(saga, one.name, one.within.total_seconds())
        for saga, objectives in registry.objectives().items()
        for one in objectives
    ]


def count_on_tick() -> None:
    """Count what can be counted, if no other process is at it. Never raises."""
    now = time.monotonic()
    if now < runtime.memory.levels_after:
        return
    runtime.memory.levels_after = now + config().tick
    try:
        count_batch()
    except Exception:
        logger.exception("sagas: service levels could not be counted; the next try is in %g s", PAUSE)
        runtime.memory.levels_after = now + PAUSE
