"""Publish the engine's messages: cohorts as Celery chains, deadlines and kicks through delay queues.

The only module that speaks to the broker. Every publish is confirmed and mandatory: a message that
could not be routed or stored is an error here, not a silence.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any
from uuid import UUID

from amqp.exceptions import AMQPError, MessageNacked
from celery import Celery, chain, signature
from celery.canvas import Signature
from django.db import connection
from kombu import pools
from kombu.exceptions import OperationalError

from sagas import store
from sagas.conf import config
from sagas.db import ConnectionLost
from sagas.decisions import choreography
from sagas.decisions.messages import Chain, Deadline, Kick, Link, Message, Unlock, Wake
from sagas.definition.definition import Definition
from sagas.engine import lifecycle, locks, remote_threads
from sagas.engine.claiming import claim
from sagas.engine.performing import Performed, perform, recover
from sagas.escalations import notices
from sagas.messaging import topology
from sagas.messaging.app import engine_app
from sagas.redis.kicks import kick

logger = logging.getLogger(__name__)

STEP_TASK = "sagas.step"
EVENT_TASK = "sagas.event"
CANCEL_TASK = "sagas.cancel"
DISPATCH_TASK = "sagas.dispatch"
NOTIFY_TASK = "sagas.notify"
#: The header of a step's message that has its ``Chain.issue``.
ISSUE = "sagas-issue"
#: The header of a step's message that has its ``Chain.interruptions``.
INTERRUPTIONS = "sagas-interruptions"

#: What a publish raises when the broker is away or refuses.
BROKER_ERRORS = (OperationalError, MessageNacked, AMQPError, OSError)


def is_brokers(error: BaseException) -> bool:
    """Whether an error comes of speaking to RabbitMQ: an ``OSError`` may as well be of a file, a pipe, another server.

    For whoever tells people what is wrong, and where the error may have come from anywhere.
    """
    if not isinstance(error, OSError):
        return isinstance(error, BROKER_ERRORS)
    frames = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
    return any(name.partition(".")[0] in {"amqp", "kombu"} for name in frames)


#: Runs claimed at once, up to which the first step is performed by the dispatcher itself.
FEW = 8
#: On a refusal the connection is dropped and the message published on a fresh one: a channel that met a
#: leader's failover is refused for good.
_RETRY = {"max_retries": 3, "interval_start": 0.05, "interval_step": 0.2, "interval_max": 0.5}
#: Without a time-out a publish waits for ever when a quorum is gone. Seconds.
_OPTIONS: dict[str, Any] = {
    "mandatory": True,
    "confirm_timeout": 5,
    "retry": True,
    "retry_policy": _RETRY,
    "serializer": "json",
}


def publish(messages: Iterable[Message]) -> None:
    """Publish messages in order; kicks that come at the same time are one. Remote calls go first.

    One that breaks loses none of the others. But a broker that is away is asked once, and not for each of them.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached or refused; what was not published
            is found again in the database.
        Exception: whatever else broke first.
    """
    publication = _Publication()
    failures: list[Exception] = []
    away = False
    for message in remote_threads.start_all(messages, _publish_from_thread):
        if away and not isinstance(message, Wake | Unlock):
            continue
        try:
            publication.publish(message)
        except Exception as error:
            failures.append(error)
            away = away or isinstance(error, BROKER_ERRORS)
    if failures:
        raise failures[0]


class _Publication:
    """Messages that are published together, of which some are the same."""

    def __init__(self) -> None:
        self.kicked: set[float] = set()
        self.told: set[tuple[str, tuple[UUID, ...]]] = set()

    def publish(self, message: Message) -> None:
        """Publish one of them."""
        match message:
            case Chain():
                definition = store.definitions.find(
                    message.links[0].saga, message.links[0].version, message.links[0].shape
                )
                if not config().is_choreographed(definition.name, definition.carrier):
                    _publish_chain(message)
                elif (event := _event(definition, message), message.ids) not in self.told:
                    # The branches of a fork react to the same event.
                    self.told.add((event, message.ids))
                    _publish_event(definition, event, message)
            case Deadline():
                _publish_deadline(message)
            case Wake():
                lifecycle.wake(message.run_id, message.step)
                _publish_kick(0.0)
            case Unlock():
                if locks.line_up(message.keys):
                    self._kick(0.0)
            case Kick():
                self._kick(config().delay_for(message.delay) if message.delay else 0.0)

    def _kick(self, held: float) -> None:
        if held not in self.kicked:
            self.kicked.add(held)
            _publish_kick(held)


def _publish_from_thread(messages: list[Message]) -> None:
    """Publish what follows a remote call. A broker that refuses costs time only: all of it is due in the database."""
    try:
        publish(messages)
    except Exception:
        drop_connections(engine_app())
        raise


def dispatch(*, lapsed: bool = False, begin: bool = True, here: Collection[str] = (), worker: str = "") -> bool:
    """Claim what is due and publish it.

    A lease whose message could not be published is given back: the broker may be away for long, and
    that is not the runs' fault. Whatever breaks for one of the cohorts, the others are published or given back.

    Args:
        lapsed: take up lapsed leases instead of fresh work; see ``claim``.
        begin: take new runs too; not while the step queues are long.
        here: queues that this worker consumes. When little is due, the first step of a chain that goes to
            one of them is performed at once, which saves an idle system a message and its latency.
        worker: name of this worker, for the log.

    Returns:
        Whether more may wait.
    """
    claimed = claim(lapsed=lapsed, begin=begin)
    waiting = deque(claimed.messages)
    with _giving_back(waiting):
        # Never a lapsed lease: what killed a worker before must come as a message, which counts its deliveries.
        if not lapsed and claimed.count <= FEW:
            _perform_first_steps(waiting, here, worker)
        _publish_all(waiting)
    return claimed.full


@contextmanager
def _giving_back(waiting: Collection[Message]) -> Iterator[None]:
    """Give back the leases of what still waits to be published when something ends it, whatever that is."""
    try:
        yield
    except BaseException:
        unsent = [run_id for message in waiting if isinstance(message, Chain) for run_id in message.ids]
        if unsent:
            try:
                store.claims.release(unsent)
            except Exception as error:
                logger.warning("sagas: the leases of %d run(s) must lapse: %s", len(unsent), type(error).__name__)
        raise


def _publish_all(waiting: deque[Message]) -> None:
    """Publish one message after the other. Those that cannot be published are left in it."""
    failure: Exception | None = None
    for _ in range(len(waiting)):
        message = waiting.popleft()
        try:
            publish([message])
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
    """Perform the first links of chains that this worker would get anyway; what is left to publish stays in it."""
    for _ in range(len(waiting)):
        # Taken out before it is performed: what ends the process there keeps its lease, and with it the count of them.
        message = waiting.popleft()
        try:
            following = _perform_first(message, here, worker)
        except ConnectionLost as error:
            assert isinstance(message, Chain)
            connection.close()
            performed = recover(
                message.links[0], message.ids, error, worker=worker, issue=message.issue, interruptions=0
            )
            following = _following(message, performed)
        except Exception:
            # As a message it is counted, and found out about: this here must see to the others.
            runs = len(message.ids) if isinstance(message, Chain) else 0
            logger.exception("sagas: the first step of %d run(s) broke in the dispatcher, and goes to its queue", runs)
            following = [message]
        waiting.extend(following)


def publish_notices() -> int:
    """Publish the notices of escalations that are due, and say how many: one statement where none is.

    A notice that could not be published is given back; where we die on the way, its lease brings it again.
    """
    waiting = deque(notices.claim())
    published = 0
    failure: Exception | None = None
    try:
        for _ in range(len(waiting)):
            try:
                _send(NOTIFY_TASK, [], waiting[0].message(), queue=topology.ESCALATION)
            except BROKER_ERRORS:
                raise
            except Exception as error:
                # Of this notice, and of no other.
                waiting.rotate(-1)
                failure = failure or error
            else:
                waiting.popleft()
                published += 1
    finally:
        if waiting:
            notices.give_back(waiting)
    if failure is not None:
        raise failure
    return published


def _perform_first(message: Message, here: Collection[str], worker: str) -> list[Message]:
    """Perform the first link of a chain that this worker would get anyway, and say what is left to publish."""
    if not isinstance(message, Chain) or message.links[0].queue not in here:
        return [message]
    first = message.links[0]
    definition = store.definitions.find(first.saga, first.version, first.shape)
    if definition.all_steps[definition.index(first.step)].elsewhere:
        # Another system may keep one waiting: all that was claimed besides would wait with it.
        return [message]
    performed = perform(first, message.ids, worker=worker, issue=message.issue)
    return _following(message, performed)


def _following(message: Chain, performed: Performed) -> list[Message]:
    """What is left to publish of a chain whose first link was performed."""
    following: list[Message] = []
    if message.links[1:] and performed.survivors:
        following.append(Chain(message.links[1:], tuple(performed.survivors)))
    # At once, for the next chain may break, and these would be lost with it.
    return following + remote_threads.start_all(performed.messages, _publish_from_thread)


def ask_for_dispatch(app: Celery, *, tick: bool, delay: float = 0.0) -> None:
    """Publish a dispatch task, held back for ``delay`` seconds; see ``tasks.dispatch_task``."""
    where: dict[str, Any] = _held_back(delay, topology.DISPATCH) if delay else {"queue": topology.DISPATCH}
    app.send_task(DISPATCH_TASK, kwargs={"tick": tick}, ignore_result=True, **where, **_OPTIONS)


def is_congested(app: Celery) -> bool:
    """Whether the step queues hold so many messages that new work had better wait in the database."""
    with app.producer_or_acquire() as producer:
        counts = (producer.channel.queue_declare(name, passive=True).message_count for name in config().queues)
        waiting: int = sum(counts)
    return waiting > config().backlog


def drop_connections(app: Celery) -> None:
    """Forget the pooled connections to the broker: a channel that was refused once may be refused for good.

    New pools, not emptied ones: what a pool has closed by force it does not count as free, and whoever asks it next
    would wait for ever. Celery itself forgets its pools in this way, after a fork.
    """
    pools.reset()
    holders: tuple[tuple[Any, str], ...] = ((app, "_pool"), (app.amqp, "_producer_pool"))
    for holder, name in holders:
        setattr(holder, name, None)


def set_aside(what: str, ids: Iterable[UUID], why: str) -> None:
    """Put a note on the dead-letter queue, where a person can see it: runs that do not exist."""
    with engine_app().producer_or_acquire() as producer:
        producer.publish(
            {"what": what, "ids": [str(run_id) for run_id in ids], "why": why},
            exchange="exchange.dead",
            routing_key="",
            declare=[],
            delivery_mode=2,
            **_OPTIONS,
        )


def pass_on(name: str, args: list[Any], kwargs: dict[str, Any], *, queue: str, chain: Any, delay: float) -> None:
    """Send a task that this worker cannot perform back to its queue, for another worker, after ``delay`` seconds.

    Args:
        name: the task.
        args: its arguments.
        kwargs: its keywords.
        queue: where it came from.
        chain: the rest of the Celery chain it is part of, as Celery keeps it in a request.
        delay: as long as this is, so that it does not come back to the same worker at once.
    """
    where = _held_back(delay, queue)
    engine_app().send_task(name, args, kwargs, chain=chain, ignore_result=True, **where, **_OPTIONS)


def _publish_chain(message: Chain) -> None:
    ids = [str(run_id) for run_id in message.ids]
    first, *rest = message.links
    where: dict[str, Any] = _held_back(message.delay, first.queue) if message.delay else {"queue": first.queue}
    if headers := _headers(message):
        where["headers"] = headers
    signatures = [
        _signature(first, (ids,)).set(**where),
        *(_signature(link).set(queue=link.queue) for link in rest),
    ]
    chain(*signatures).apply_async()


def _headers(message: Chain) -> dict[str, str]:
    """What else a message says: no arguments, for a worker of an earlier version sets aside what it does not know."""
    said = {ISSUE: message.issue, INTERRUPTIONS: message.interruptions}
    return {header: str(number) for header, number in said.items() if number}


def _event(definition: Definition, message: Chain) -> str:
    """What leads to the first link of a cohort that travels by events."""
    first = message.links[0]
    return message.event or choreography.trigger(definition, definition.index(first.step), first.phase)


def _publish_event(definition: Definition, event: str, message: Chain) -> None:
    key = choreography.routing_key(definition, event)
    # What is held back goes to the one queue that it was held back for.
    where: dict[str, Any] = (
        _held_back(message.delay, message.links[0].queue)
        if message.delay
        else {"exchange": topology.CHOREOGRAPHY_EXCHANGE, "routing_key": key}
    )
    kwargs: dict[str, Any] = {
        "saga": definition.name,
        "version": definition.version,
        "event": event,
        "shape": message.links[0].shape,
    }
    if headers := _headers(message):
        where["headers"] = headers
    _send(EVENT_TASK, [[str(run_id) for run_id in message.ids]], kwargs, shadow=key, **where)


def _signature(link: Link, args: tuple[Any, ...] = ()) -> Signature:
    kwargs = {
        "saga": link.saga,
        "version": link.version,
        "step": link.step,
        "phase": link.phase.value,
        "shape": link.shape,
    }
    # The shadow name is what Flower and the logs show instead of "sagas.step".
    options = {**_OPTIONS, "shadow": f"{link.saga}.{link.step}.{link.operation}", "ignore_result": True}
    return signature(STEP_TASK, args=args, kwargs=kwargs, app=engine_app()).set(**options)


def _publish_deadline(message: Deadline) -> None:
    seconds = message.within if message.delay is None else config().delay_for(message.delay)
    kwargs = {
        "saga": message.saga,
        "version": message.version,
        "confirmation": message.confirmation,
        "ids": [str(run_id) for run_id in message.ids],
    }
    _send(
        CANCEL_TASK,
        [],
        kwargs,
        exchange=topology.deadline_exchange(seconds),
        routing_key=topology.CANCEL_KEY,
    )


def _publish_kick(held: float) -> None:
    if held:
        _send(DISPATCH_TASK, [], {}, **_held_back(held, topology.DISPATCH))
    else:
        kick()


def _held_back(delay: float, queue: str) -> dict[str, Any]:
    return {"exchange": topology.delay_exchange(config().delay_for(delay)), "routing_key": queue}


def _send(name: str, args: list[Any], kwargs: dict[str, Any], **where: Any) -> None:
    engine_app().send_task(name, args, kwargs, ignore_result=True, **where, **_OPTIONS)
