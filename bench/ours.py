"""The workers' app for orders: the engine's own, with a probe."""

from __future__ import annotations

from bench import probe
from sagas.messaging.app import app

__all__ = ["app"]

probe.note_first_task()
probe.count_publishes()
