"""Whether a worker's consumer goes on: it may stop in silence, as Celery's does after some resets of RabbitMQ.

Such a worker ticks, and has a heartbeat. It is found by this: messages wait in queues that it consumes, it is at none,
and it has got none for long. Then it ends itself, so that whoever keeps it running starts another one.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import Any

from celery import Celery
from celery.worker import state

from sagas import runtime
from sagas.conf import config

logger = logging.getLogger(__name__)

#: Seconds between two looks.
PERIOD = 5.0
#: Seconds for each way to end: as asked, at once, and without cleaning up.
TO_END = 15.0


class Consumption(threading.Thread):
    """Looks whether the worker of this process consumes, until the process ends.

    It is no part of the heartbeat, which must not wait for RabbitMQ.

    Args:
        app: the worker's.

    Attributes:
        stalled_at: since when messages have waited of which this worker has got none; ``None`` while it goes on. By
            ``time.monotonic()``.
    """

    def __init__(self, app: Celery) -> None:
        super().__init__(name="sagas-consumption", daemon=True)
        self.app = app
        self.stopping = threading.Event()
        self.stalled_at: float | None = None
        self._count = -1

    def run(self) -> None:
        """Look, whatever happens to RabbitMQ."""
        while not self.stopping.wait(PERIOD):
            try:
                self.look()
            except Exception as error:
                # RabbitMQ is away: that is no fault of this worker, and others say so.
                self.stalled_at = None
                logger.debug("sagas: whether messages wait is not known: %s", type(error).__name__)
            limit = config().silent_after
            if limit and self.stalled_at is not None and time.monotonic() - self.stalled_at > limit:
                self._end(limit)

    def look(self) -> None:
        """Look once. RabbitMQ is only asked where nothing came since the last look."""
        count = state.all_total_count[0]
        came, self._count = count != self._count, count
        if came or state.active_requests or not self._publishes() or not self._waiting():
            self.stalled_at = None
        elif self.stalled_at is None:
            self.stalled_at = time.monotonic()

    def _publishes(self) -> bool:
        """Whether RabbitMQ takes messages of this process. Under an alarm it does not read what was acknowledged."""
        return all(ticker.publishes.is_set() for ticker in runtime.own.tickers)

    def _waiting(self) -> bool:
        with self.app.connection_for_write() as connection, connection.channel() as channel:
            passive: Any = channel
            return any(
                passive.queue_declare(queue, passive=True).message_count for queue in self.app.amqp.queues.consume_from
            )

    def _end(self, limit: float) -> None:
        """End this worker: as it is asked to, then at once, and if its main loop hangs without cleaning up."""
        logger.critical(
            "sagas: this worker ends itself: messages wait, and it has got none for %.0f s (SAGAS['SILENT_AFTER'])",
            limit,
        )
        for number in (signal.SIGTERM, signal.SIGQUIT):
            os.kill(os.getpid(), number)
            if self.stopping.wait(TO_END):
                return
        # Its children read the end of their pipes, and end.
        os._exit(1)


def seconds_stalled() -> float | None:
    """For how long messages have waited of which this process has got none; ``None`` if none do."""
    since = [one.stalled_at for one in runtime.own.consumptions if one.is_alive() and one.stalled_at is not None]
    return max((time.monotonic() - at for at in since), default=None)


def start(app: Celery) -> None:
    """Begin to look, unless this process does already."""
    if not any(one.is_alive() for one in runtime.own.consumptions):
        one = Consumption(app)
        runtime.own.consumptions.append(one)
        one.start()


def stop(**_: Any) -> None:
    """Look no more."""
    for one in runtime.own.consumptions:
        one.stopping.set()
