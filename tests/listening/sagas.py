"""Two listeners of one saga: one that takes what comes, and one that ends its process at an event."""

from __future__ import annotations

import os
import signal

import sagas
from sagas import Event
from tests.lab.models import Mark

TAKER, KILLER = "taker", "killer"


@sagas.on_event(TAKER, ["lab.Telling.*"])
def take(event: Event) -> None:
    Mark.objects.create(run_id=event.run_id, step=event.name, operation="heard")


@sagas.on_event(KILLER, ["lab.Telling.TellingStarted"])
def kill(event: Event) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
