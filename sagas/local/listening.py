"""Give domain events to the listeners of this project where there is no broker.

An event goes from the outbox to a queue of each listener that takes it, in one transaction. From there each listener
takes its events at its own pace: a first transaction claims events and counts the attempt, so that the death of a
process is counted, too; a second one has the inbox row, the listener's effect and the deletion from the queue.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.db import transaction

from sagas import listeners, store
from sagas.conf import config
from sagas.listeners import ATTEMPTS, Listener
from sagas.store.outbox import Queued

logger = logging.getLogger(__name__)

#: The most events that are claimed before they are given to their listeners: what a process that dies leaves to others.
BATCH = 20
#: Seconds after which no further event of a batch is begun: runs wait meanwhile.
PATIENCE = 0.5


class ListenerKilled(Exception):
    """Processes ended while the listener had the event, and left no error."""


def give_events(should_stop: Callable[[], bool]) -> bool:
    """Give due events to their listeners; return whether there were any.

    Raises:
        django.db.Error: the database is away.
    """
    known = {listener.name: listener for listener in listeners.all_listeners()}
    if not known:
        return False
    moved = config().broker is None and _distribute()
    taken = _take(known, BATCH, should_stop, again=False)
    # Those that were given before may end this process: last, so that the others are taken first; and one at a time, so
    # that no other is counted for them.
    return _take(known, 1, should_stop, again=True) or taken or moved


def _distribute() -> bool:
    """Move the events of some runs from the outbox to the queues of the listeners that take them.

    A saga to which nobody listens here is left alone: its events wait for a broker.
    """
    heard = listeners.heard_sagas()
    if not heard:
        return False
    with transaction.atomic(durable=True):
        claimed = store.outbox.claim(config().relay, sagas=heard)
        if not claimed:
            return False
        copies: list[tuple[str, UUID, int]] = []
        last: dict[UUID, int] = {}
        for run_id, waiting in store.outbox.read(claimed).items():
            for one in waiting:
                last[run_id] = one.event.position
                key = one.event.routing_key
                hearing = (listener for listener in listeners.all_listeners() if listener.hears(key))
                copies += [(listener.name, run_id, one.event.position) for listener in hearing]
        store.outbox.enqueue(copies)
        store.outbox.delete(last)
    return True


def _take(known: dict[str, Listener], limit: int, should_stop: Callable[[], bool], *, again: bool) -> bool:
    lease = timedelta(seconds=config().lease)
    claimed = store.outbox.claim_queued(sorted(known), limit, again=again, lease=lease)
    until = time.monotonic() + PATIENCE
    for number, queued in enumerate(claimed):
        if number and (should_stop() or time.monotonic() > until):
            store.outbox.release_queued(claimed[number:])
            break
        _give(known[queued.listener], queued)
    return bool(claimed)


def _give(listener: Listener, queued: Queued) -> None:
    """Give one event to a listener, and record what became of it."""
    if queued.attempt > ATTEMPTS:
        _fail(queued, ListenerKilled(f"{ATTEMPTS} processes ended while they had it"))
        return
    try:
        with transaction.atomic(durable=True):
            event = store.outbox.lock_queued(queued)
            if event is None:
                return
            # It may have come through RabbitMQ before.
            if store.outbox.take_in(listener.name, [event.id]):
                listener.function(event)
            store.outbox.delete_queued(queued)
    except Exception as error:
        _fail(queued, error)


def _fail(queued: Queued, error: Exception) -> None:
    dead = queued.attempt >= ATTEMPTS
    # The class alone: the sentence may quote a customer, and is in the log.
    store.outbox.fail_queued(queued, type(error).__qualname__, dead=dead)
    logger.error(
        "sagas: the listener %s could not take event %s:%d at attempt %d of %d, and %s",
        queued.listener,
        queued.run_id,
        queued.position,
        queued.attempt,
        ATTEMPTS,
        "it is set aside: manage.py sagas dead" if dead else "it comes again",
        exc_info=error,
    )
