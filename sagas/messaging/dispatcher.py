"""The dispatcher: claims what is due in the database and publishes it, while the step queues are short."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from django.db import connection

from sagas import runtime, store
from sagas.conf import config
from sagas.db import ConnectionLost, describe_error, is_lost
from sagas.decisions.messages import Chain, Message
from sagas.definition.participants import Location
from sagas.engine import breakers
from sagas.engine.carrier import carry, start_calls
from sagas.engine.claiming import claim
from sagas.engine.cohort import Performed
from sagas.engine.performing import perform, recover
from sagas.escalations import notices
from sagas.messaging import relay, topology
from sagas.messaging.app import engine_app
from sagas.messaging.publisher import (
    BROKER_ERRORS,
    NOTIFY_TASK,
    Publisher,
    ask_for_dispatch,
    drop_connections,
    send_task,
)
from sagas.redis import kicks

logger = logging.getLogger(__name__)

#: Up to so many claimed runs, the dispatcher itself performs their first steps.
FEW = 8
#: Seconds after which a dispatch that found the step queues too long is tried again.
CONGESTED = 0.1
#: Seconds for which this process believes what it knows about the length of the step queues.
LOOK_EVERY = 0.2


def run(app: Celery, *, tick: bool, here: Collection[str], worker: str) -> None:
    """Do what one dispatch task asks for: claim and publish what is due, and publish events.

    Args:
        app: the Celery app whose worker performs the task.
        tick: also take up lapsed leases, and publish notices.
        here: queues that this worker consumes.
        worker: its name, for the log.
    """
    kicks.end_reservation()
    # New runs wait in the database while the step queues are long. Runs that have begun never wait.
    begin = not (runtime.memory.are_queues_long and look_at_queues(app))
    parts = _Parts()
    full = parts.do(lambda: dispatch(begin=begin, here=here, worker=worker))
    if tick:
        parts.do(lambda: dispatch(lapsed=True))
        parts.do(publish_notices)
        parts.do(breakers.prune_samples)
    full = parts.do(lambda: _relay(app, tick=tick)) or full
    if parts.failure is not None:
        raise parts.failure
    # After the work, and not each time: an idle system does not wait for the answer.
    if begin and (full or is_time_to_look()):
        look_at_queues(app)
    if full:
        ask_for_dispatch(app, tick=False)
    elif not begin and may_ask_again():
        ask_for_dispatch(app, tick=False, delay=CONGESTED)


class _Parts:
    """The parts of a dispatch. One that breaks, perhaps at every tick, does not stop the others.

    Attributes:
        failure: what broke first.
    """

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self._is_over = False

    def do(self, part: Callable[[], Any]) -> bool:
        """Do a part, unless a server that all parts need is away; return what the part says, ``False`` if it broke."""
        if self._is_over:
            return False
        try:
            return bool(part())
        except Exception as error:
            self._is_over = isinstance(error, (ConnectionLost, *BROKER_ERRORS)) or is_lost(error)
            self.failure = self.failure or error
            return False


def _relay(app: Celery, *, tick: bool) -> bool:
    """Publish events that wait. The tick also finds those of sagas that this process does not know to publish any."""
    if not tick and not relay.any_saga_publishes():
        return False
    try:
        return relay.relay(app)
    except BROKER_ERRORS as error:
        logger.warning("sagas: events are left to the next tick: %s", describe_error(error))
        return False


def dispatch(*, lapsed: bool = False, begin: bool = True, here: Collection[str] = (), worker: str = "") -> bool:
    """Claim what is due, and publish it.

    The leases of runs that could not be published are given back: the broker may be away for long, and the runs are
    not the cause. Where one cohort breaks, the others are published or given back.

    Args:
        lapsed: take up lapsed leases in place of fresh work; see ``claim``.
        begin: take new runs too; not while the step queues are long.
        here: queues that this worker consumes. When little is due, the dispatcher itself performs the first step of
            a chain that goes to one of them, which saves an idle system a message and its latency.
        worker: name of this worker, for the log.

    Returns:
        Whether more may wait.
    """
    claimed = claim(lapsed=lapsed, begin=begin)
    waiting = deque(claimed.messages)
    with _giving_back(waiting):
        # Never for a lapsed lease. What ended a worker before must come as a message: RabbitMQ counts its deliveries.
        if not lapsed and claimed.count <= FEW:
            _perform_first_steps(waiting, here, worker)
        _publish_all(waiting)
    return claimed.full


@contextmanager
def _giving_back(waiting: Collection[Message]) -> Iterator[None]:
    """Give back the leases of what is still not published when an error or a signal ends this block."""
    try:
        yield
    except BaseException:
        unsent = [run_id for message in waiting if isinstance(message, Chain) for run_id in message.ids]
        if unsent:
            try:
                store.claims.release_leases(unsent)
            except Exception as error:
                logger.warning("sagas: the leases of %d run(s) must lapse: %s", len(unsent), type(error).__name__)
        raise


def _publish_all(waiting: deque[Message]) -> None:
    """Publish one message after the other. Those that cannot be published stay in ``waiting``."""
    failure: Exception | None = None
    for _ in range(len(waiting)):
        message = waiting.popleft()
        try:
            carry([message], Publisher)
        except BROKER_ERRORS:
            waiting.appendleft(message)
            raise
        except BaseException as error:
            waiting.append(message)
            if not isinstance(error, Exception):
                raise
            failure = failure or error
    if failure is not None:
        raise failure


def _perform_first_steps(waiting: deque[Message], here: Collection[str], worker: str) -> None:
    """Perform the first links of chains for queues in ``here``; what is left to publish stays in ``waiting``."""
    for _ in range(len(waiting)):
        # Taken out first: if its step ends the process, it keeps its lease, and the lapsed lease is counted.
        message = waiting.popleft()
        try:
            following = _perform_first(message, here, worker)
        except ConnectionLost as error:
            assert isinstance(message, Chain)
            connection.close()
            performed = recover(
                message.links[0],
                message.ids,
                error,
                worker=worker,
                token=message.token,
                interruptions=0,
            )
            following = _following(message, performed)
        except Exception:
            # A worker will find the cause. The dispatcher must see to the other cohorts.
            runs = len(message.ids) if isinstance(message, Chain) else 0
            logger.exception("sagas: the first step of %d run(s) broke in the dispatcher, and goes to its queue", runs)
            following = [message]
        waiting.extend(following)


def _perform_first(message: Message, here: Collection[str], worker: str) -> list[Message]:
    """Perform the first link of a chain if its queue is in ``here``; return what is left to publish."""
    if not isinstance(message, Chain) or message.links[0].queue not in here:
        return [message]
    first = message.links[0]
    definition = store.definitions.find(first.saga, first.version, first.shape)
    if definition.all_steps[definition.index(first.step)].location is Location.OTHER_DATABASE:
        # Another database may take long, and everything else that was claimed would wait for it.
        return [message]
    performed = perform(first, message.ids, worker=worker, token=message.token)
    return _following(message, performed)


def _following(message: Chain, performed: Performed) -> list[Message]:
    """What is left to publish of a chain whose first link was performed."""
    following: list[Message] = []
    if message.links[1:] and performed.survivors:
        following.append(Chain(message.links[1:], tuple(performed.survivors)))
    # Calls start at once: the next chain may end the process, and a call that nobody makes counts as failed.
    return following + start_calls(performed.messages, Publisher)


def publish_notices() -> int:
    """Publish the notices of escalations that are due; return how many. One statement where none is due.

    A notice that could not be published is given back. If the process ends before that, the notice's lease brings it
    again.
    """
    waiting = deque(notices.claim_notices())
    published = 0
    failure: Exception | None = None
    try:
        for _ in range(len(waiting)):
            try:
                send_task(engine_app(), NOTIFY_TASK, [], waiting[0].message(), queue=topology.ESCALATION)
            except BROKER_ERRORS:
                raise
            except Exception as error:
                # Only this notice is the cause.
                waiting.rotate(-1)
                failure = failure or error
            else:
                waiting.popleft()
                published += 1
    finally:
        if waiting:
            notices.give_back_notices(waiting)
    if failure is not None:
        raise failure
    return published


def is_congested(app: Celery) -> bool:
    """Whether the step queues hold so many messages that new runs must wait in the database."""
    with app.producer_or_acquire() as producer:
        counts = (producer.channel.queue_declare(name, passive=True).message_count for name in config().queues)
        waiting: int = sum(counts)
    return waiting > config().backlog


def is_time_to_look() -> bool:
    """Whether what this process knows of the step queues is too old."""
    return time.monotonic() - runtime.memory.queues_looked_at > LOOK_EVERY


def look_at_queues(app: Celery) -> bool:
    """Look whether the step queues are too long. Where RabbitMQ does not answer they count as short: new runs begin."""
    memory = runtime.memory
    try:
        memory.are_queues_long = is_congested(app)
    except BROKER_ERRORS as error:
        memory.are_queues_long = False
        drop_connections(app)
        logger.warning("sagas: how long the step queues are is not known: %s: %s", type(error).__name__, error)
    memory.queues_looked_at = time.monotonic()
    return memory.are_queues_long


def may_ask_again() -> bool:
    """Whether to ask for another dispatch. Only once in a while: else every tick would add one more, for ever."""
    if time.monotonic() - runtime.memory.dispatch_asked_at < CONGESTED:
        return False
    runtime.memory.dispatch_asked_at = time.monotonic()
    return True
