"""The workers' app for orders: the engine's own, with a probe."""

from __future__ import annotations

import os

from bench import probe
from sagas.messaging.app import app

__all__ = ["app"]

probe.note_first_task()
probe.count_publishes()
if prefetch := os.environ.get("BENCH_PREFETCH"):
    app.conf.worker_prefetch_multiplier = int(prefetch)
