"""Flushing: each process writes what it has counted into the database, every few seconds and at its end.

The sums are lossy by design. A process that is killed loses what it has not written, ten seconds at most. A flush of
which it is not known whether it was committed is not repeated, because a number that is counted twice is worse.
"""

from __future__ import annotations

import atexit
import logging
import random
import threading
import time

from django.db import Error, connection

from sagas import runtime, store
from sagas.db import describe_error
from sagas.metrics import catalogue
from sagas.metrics.instruments import count_now
from sagas.metrics.sums import Cell, Key, Sums
from sagas.postgresql.watchdog import within

logger = logging.getLogger(__name__)

#: Seconds between two flushes, and for which one may take.
EVERY, PATIENCE = 10.0, 5.0
#: Seconds between two folds of one process.
FOLD_EVERY = 60.0


class Flusher(threading.Thread):
    """Writes the sums of this process, until the process ends."""

    def __init__(self, sums: Sums) -> None:
        super().__init__(name="sagas-metrics", daemon=True)
        self.sums = sums
        # By chance: in containers all processes have the same number.
        self.shard = random.randrange(store.measurements.SHARDS)  # noqa: S311 - spreads rows, guards no secret
        self.stopping = threading.Event()
        self._flushing = threading.Lock()
        self._failing = False
        self._folded_at = time.monotonic()

    def run(self) -> None:
        """Write, whatever happens to the database."""
        while not self.stopping.wait(EVERY):
            self.flush()

    def flush(self) -> None:
        """Write what was added up. What cannot be written now is written with the next."""
        with self._flushing:
            try:
                if cells := self.sums.take():
                    self._write(cells)
                if time.monotonic() - self._folded_at >= FOLD_EVERY:
                    self._folded_at = time.monotonic()
                    with within(PATIENCE):
                        store.measurements.fold()
            except Exception as error:
                # Not expected, and no reason to end the thread: what it adds up is bounded.
                logger.warning("sagas: metrics are not written: %s", describe_error(error), exc_info=error)
            finally:
                # Not kept: it would be one more connection for each process.
                connection.close()

    def _write(self, cells: dict[Key, Cell]) -> None:
        try:
            connection.ensure_connection()
        except Error as error:
            self.sums.give_back(cells)
            if not self._failing:
                logger.warning("sagas: metrics are not written (%s); trying again", describe_error(error))
            self._failing = True
            return
        try:
            with within(PATIENCE):
                store.measurements.add(cells, runtime.declared.instruments, shard=self.shard)
        except Error as error:
            logger.warning("sagas: metrics of some seconds may be lost: %s", describe_error(error))
            count_now([(catalogue.LOST, 1, {})])
        else:
            self._failing = False


def begin() -> None:
    """Start this process's flusher, which also writes at the process's end. ``runtime.own.lock`` is held."""
    own = runtime.own
    if own.flusher is None and own.sums is not None:
        own.flusher = Flusher(own.sums)
        own.flusher.start()
        atexit.register(finish)


def finish(**_: object) -> None:
    """Write what this process has not written yet: it ends."""
    if (flusher := runtime.own.flusher) is not None:
        flusher.stopping.set()
        flusher.flush()
