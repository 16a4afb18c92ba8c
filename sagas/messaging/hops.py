"""How long messages wait: when each was published is written into a header, if metrics are on.

The clocks of two processes are compared. On machines whose clocks differ the numbers differ by as much.
"""

from __future__ import annotations

import time
from typing import Any

from celery.signals import before_task_publish

from sagas.conf import config
from sagas.decisions.messages import Link
from sagas.messaging.publisher import EVENT_TASK, STEP_TASK
from sagas.metrics import catalogue

#: Milliseconds of Unix time.
PUBLISHED_AT = "sagas-published"
#: How the names of the exchanges begin that hold messages back.
DELAYED = "exchange.delay."


def _mark(headers: dict[str, Any] | None = None, exchange: str = "", **_: Any) -> None:
    """Say when a message is published. One that is held back on purpose does not wait."""
    if headers is not None and config().metrics and not exchange.startswith(DELAYED):
        headers[PUBLISHED_AT] = str(time.time_ns() // 1_000_000)


def arrived(published: int, link: Link) -> None:
    """Measure how long a message has waited of which the header says when it was published; 0: it does not say."""
    if published and config().metrics:
        waited = time.time() - published / 1000
        catalogue.STEP_WAIT.observe(waited, saga=link.saga, step=link.step, operation=link.operation)


for _task in (STEP_TASK, EVENT_TASK):
    before_task_publish.connect(_mark, sender=_task, dispatch_uid=f"sagas.hops.{_task}")
