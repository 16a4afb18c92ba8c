"""Settings under which a saga is played in one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.test import override_settings

from sagas import store
from sagas.redis import client as redis_client


@contextmanager
def alone(saga: str, carrier: str) -> Iterator[None]:
    """Apply settings without Redis, which other processes share, and with ``carrier`` for the saga."""
    raw = settings.SAGAS
    own = {"REDIS_URL": None, "CARRIERS": {**raw.get("CARRIERS", {}), saga: carrier}}
    redis_client.client.cache_clear()
    recorded = set(store.definitions._recorded)
    try:
        with override_settings(SAGAS={**raw, **own}):
            yield
    finally:
        # Definitions that were recorded inside may be rolled back with the test. If not, they are found again.
        store.definitions._recorded.intersection_update(recorded)
        redis_client.client.cache_clear()
