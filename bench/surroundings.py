"""The conditions of a benchmark, stored with its figures."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

import redis

from bench import database
from bench.workers import CHILDREN
from bench.workload import SKUS, SLOTS
from sagas.conf import config
from sagas.messaging.app import app


def describe() -> dict[str, Any]:
    """Versions and settings."""
    workers = f"one worker, prefork {CHILDREN}"
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("celery", "kombu", "django")},
        "driver": database.psycopg.__version__,
        "postgresql": database.settings("server_version", "synchronous_commit", "fsync", "shared_buffers"),
        "rabbitmq": {"version": _rabbitmq(), "queues": "quorum", "publisher_confirms": True},
        "redis": _redis(),
        "bare_chain": f"{workers}, four no-op tasks, late acks, no results",
        "orders": f"{workers}, PlaceOrder: four steps, three confirm operations, {SKUS} SKUs, {SLOTS} slots",
        "cohort": config().cohort,
        "claim": config().claim,
        "backlog": config().backlog,
    }


def _rabbitmq() -> str:
    with app.connection_for_write() as broker:
        properties: Any = broker.ensure_connection(max_retries=3).connection
        return str(properties.server_properties["version"])


def _redis() -> str:
    client: Any = redis.Redis.from_url(os.environ["REDIS_URL"])
    return str(client.info("server")["redis_version"])
