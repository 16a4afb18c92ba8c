"""Settings under which a saga is played in one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.test import override_settings

from sagas import runtime
from sagas.conf import config


@contextmanager
def in_process_settings(saga: str, carrier: str, *, longest_lease: float | None = None) -> Iterator[None]:
    """Apply settings without Redis, which other processes share, and with ``carrier`` for the saga.

    Args:
        saga: name of the saga.
        carrier: its carrier.
        longest_lease: seconds; a longer lease is cut to so many.
    """
    raw = settings.SAGAS
    own: dict[str, object] = {"REDIS_URL": None, "CARRIERS": {**raw.get("CARRIERS", {}), saga: carrier}}
    if longest_lease is not None:
        own["LEASE"] = min(config().lease, longest_lease)
    recorded = set(runtime.memory.recorded)
    try:
        with override_settings(SAGAS={**raw, **own}):
            yield
    finally:
        # Definitions that were recorded inside may be rolled back with the test. If not, they are found again.
        runtime.memory.recorded.intersection_update(recorded)
