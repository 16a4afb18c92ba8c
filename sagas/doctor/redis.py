"""Probes of Redis."""

from __future__ import annotations

from collections.abc import Iterator

from sagas import kick
from sagas.conf import config
from sagas.doctor.finding import Finding, Severity


def reach() -> Iterator[Finding]:
    """Tell whether Redis answers."""
    answers = kick.answers()
    if answers is None:
        yield Finding(Severity.FINE, "No Redis is set: the tick does the kicks' work.")
    elif answers:
        yield Finding(Severity.FINE, "Redis answers.")
    else:
        what = f"Redis does not answer: runs begin up to {config().tick:g} s later."
        yield Finding(Severity.WARNING, what, remedy="Check SAGAS['REDIS_URL'] and that the server runs.")
