"""The dispatch of a worker: what is due in the database, the events of the outbox, and the next dispatch."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from functools import partial

from celery import Celery

from sagas import runtime
from sagas.conf import config
from sagas.db import describe_error
from sagas.delivery import dispatching
from sagas.delivery.carrier import CarrierAway
from sagas.delivery.short_path import ShortPath
from sagas.messaging import relay
from sagas.messaging.publisher import BROKER_ERRORS, Publisher, ask_for_dispatch, publish_gathered
from sagas.redis import kicks

logger = logging.getLogger(__name__)


def run(app: Celery, *, tick: bool, here: Collection[str], worker: str) -> None:
    """Do what one dispatch task asks for: claim and publish what is due, and publish events.

    Args:
        app: the Celery app whose worker performs the task.
        tick: also take up lapsed leases, and publish notices.
        here: queues that this worker consumes.
        worker: its name, for the log.
    """
    kicks.end_reservation()
    path = ShortPath(worker, here)
    again = dispatching.run(
        Publisher, path, tick=tick, relay=partial(_relay, app, tick=tick), ask_again=partial(_ask_again, app, tick=tick)
    )
    try:
        publish_gathered(app)
    except CarrierAway as error:
        logger.warning("sagas: deadlines are left to the tick: %s", error)
    if again is not None:
        ask_for_dispatch(app, tick=False, delay=again)


def _ask_again(app: Celery, *, tick: bool) -> None:
    """Have another dispatch made meanwhile, unless one is on its way. If it cannot be asked for, the tick does so.

    Without Redis that is not known. Then a tick does not ask where this process has asked lately: it would add a
    dispatch each second, and each of them goes on until nothing is due.
    """
    asked_at, runtime.memory.performed_at = runtime.memory.performed_at, time.monotonic()
    if tick and runtime.memory.performed_at - asked_at < config().tick:
        return
    if (reservation := kicks.try_reserve_dispatch()) is None:
        return
    try:
        ask_for_dispatch(app, tick=False)
    except BROKER_ERRORS as error:
        logger.warning("sagas: the next dispatch is left to the tick: %s", describe_error(error))
        kicks.give_back(reservation)


def _relay(app: Celery, *, tick: bool) -> bool:
    """Publish events that wait. The tick also finds those of sagas that this process does not know to publish any."""
    if not tick and not relay.any_saga_publishes():
        return False
    try:
        return relay.relay(app)
    except BROKER_ERRORS as error:
        logger.warning("sagas: events are left to the next tick: %s", describe_error(error))
        return False
