"""What the heartbeat of a Celery worker's main process says; see ``sagas.delivery.heartbeat``."""

from __future__ import annotations

import time
from typing import Any

from celery import Celery
from celery.worker import state

from sagas import runtime, store
from sagas.delivery.heartbeat import Heartbeat
from sagas.messaging import consumption, ticker


class Activity:
    """What the worker is doing."""

    def __init__(self, app: Celery, name: str) -> None:
        self.app = app
        self.worker = name
        self._count = state.all_total_count[0]
        self._delivered_at: float | None = None

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
            stalled=consumption.seconds_stalled(),
        )


def start(app: Celery, name: str) -> None:
    """Start this process's heartbeat, unless one runs already."""
    if not any(heartbeat.is_alive() for heartbeat in runtime.own.heartbeats):
        heartbeat = Heartbeat(name, Activity(app, name).look)
        runtime.own.heartbeats.append(heartbeat)
        heartbeat.start()


def stop(**_: Any) -> None:
    """Stop this process's heartbeat, which deletes the worker's row."""
    for heartbeat in runtime.own.heartbeats:
        heartbeat.stopping.set()
    for heartbeat in runtime.own.heartbeats:
        heartbeat.stop()
