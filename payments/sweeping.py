"""The sweep of payments on the ticks of the workers, at the pace of the setting ``PAYMENT_SWEEP_SECONDS``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings

from payments import refunds
from sagas import on_tick

#: A tick is to be short: it looks at payments of this time only. ``manage.py payments sweep`` looks at a month.
RECENT = timedelta(days=1)


@dataclass(slots=True)
class Pace:
    """When this process may sweep again, by ``time.monotonic()``. Several processes may sweep at once: locks decide."""

    after: float = 0.0


pace = Pace()


@on_tick
def sweep_on_tick() -> int | None:
    """Sweep recent payments, if it is time; ``None`` if it is not, or the setting is 0."""
    now, every = time.monotonic(), settings.PAYMENT_SWEEP_SECONDS
    if not every or now < pace.after:
        return None
    # Before it is done: what breaks is tried again at this pace, too.
    pace.after = now + every
    return refunds.sweep(within=RECENT)
