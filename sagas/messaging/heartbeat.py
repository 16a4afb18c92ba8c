"""The heartbeat of a worker's main process: every few seconds it writes into the database what the worker is doing.

Only the doctor and monitoring read it. It has a thread of its own, so a stalled database stops nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from celery import Celery
from celery.worker import state
from django.db import Error, connection

from sagas import runtime, store
from sagas.messaging import ticker

logger = logging.getLogger(__name__)

#: Seconds between two beats.
PERIOD = 4.0


class Heartbeat(threading.Thread):
    """Writes what the worker is doing, until it shuts down."""

    def __init__(self, app: Celery, name: str) -> None:
        super().__init__(name="sagas-heartbeat", daemon=True)
        self.app = app
        self.worker = name
        self.stopping = threading.Event()
        self._count = state.all_total_count[0]
        self._delivered_at: float | None = None

    def run(self) -> None:
        """Write, whatever happens to the database."""
        failing = False
        while True:
            stopping = self.stopping.is_set()
            try:
                if stopping:
                    store.workers.forget(self.worker)
                else:
                    store.workers.record_heartbeat(self.look())
                failing = False
            except Error as error:
                if not failing:
                    logger.warning("sagas: the worker's heartbeat is not written (%s); trying again", error)
                failing = True
            except Exception:
                # Not expected, and no reason to end a worker.
                logger.exception("sagas: the worker's heartbeat met an error, and goes on")
            finally:
                # Not kept, for children that are forked later would inherit it.
                connection.close()
            if stopping:
                return
            self.stopping.wait(PERIOD)

    def look(self) -> store.workers.Heartbeat:
        """Look what the worker is doing now."""
        now, count = time.monotonic(), state.all_total_count[0]
        if count != self._count:
            self._count, self._delivered_at = count, now
        started = [begun for request in list(state.active_requests) if (begun := request.time_start)]
        return store.workers.Heartbeat(
            self.worker,
            ticked=ticker.seconds_since_tick(),
            delivered=None if self._delivered_at is None else now - self._delivered_at,
            busy=len(started),
            longest=max(0.0, time.time() - min(started)) if started else 0.0,
            queues=sorted(self.app.amqp.queues.consume_from),
        )


def start(app: Celery, name: str) -> None:
    """Start this process's heartbeat, unless one runs already."""
    if not any(heartbeat.is_alive() for heartbeat in runtime.own.heartbeats):
        heartbeat = Heartbeat(app, name)
        runtime.own.heartbeats.append(heartbeat)
        heartbeat.start()


def stop(**_: Any) -> None:
    """Stop this process's heartbeat, which deletes the worker's row."""
    for heartbeat in runtime.own.heartbeats:
        heartbeat.stopping.set()
    for heartbeat in runtime.own.heartbeats:
        heartbeat.join(timeout=1.0)
