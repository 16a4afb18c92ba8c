"""Settings for whoever plays a saga in one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.test import override_settings

from sagas.redis import client as redis_link
from sagas.store import definitions as versions


@contextmanager
def alone(saga: str, carrier: str) -> Iterator[None]:
    """Without Redis, which other processes share, and with the carrier that was asked for."""
    raw = settings.SAGAS
    own = {"REDIS_URL": None, "CARRIERS": {**raw.get("CARRIERS", {}), saga: carrier}}
    redis_link.client.cache_clear()
    recorded = set(versions._recorded)
    try:
        with override_settings(SAGAS={**raw, **own}):
            yield
    finally:
        # What was put on record inside may be taken back with the test; if not, it is found again.
        versions._recorded.intersection_update(recorded)
        redis_link.client.cache_clear()
