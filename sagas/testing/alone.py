"""Settings for whoever plays a saga in one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.test import override_settings

from sagas import redis_link


@contextmanager
def alone(saga: str, carrier: str) -> Iterator[None]:
    """Without Redis, which other processes share, and with the carrier that was asked for."""
    raw = settings.SAGAS
    own = {"REDIS_URL": None, "CARRIERS": {**raw.get("CARRIERS", {}), saga: carrier}}
    redis_link.client.cache_clear()
    try:
        with override_settings(SAGAS={**raw, **own}):
            yield
    finally:
        redis_link.client.cache_clear()
