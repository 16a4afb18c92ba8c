"""Publish through Celery: cohorts as chains, deadlines and late kicks through delay queues, events to an exchange.

Every publish is confirmed and mandatory: a message that RabbitMQ cannot route or store is an error here. What follows a
commit is published by ``Publisher``, which says ``CarrierAway``; whoever publishes beside it gets Celery's errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any
from uuid import UUID

from amqp.exceptions import AMQPError, MessageNacked
from celery import Celery, chain, signature
from celery.canvas import Signature
from kombu import pools
from kombu.exceptions import OperationalError

from sagas import store
from sagas.conf import config
from sagas.db import describe_error
from sagas.decisions import choreography
from sagas.decisions.messages import Chain, Deadline, Kick, Link, Publication
from sagas.definition.definition import Definition
from sagas.delivery.carrier import CarrierAway
from sagas.escalations.notices import Notification
from sagas.messaging import gathered_deadlines, topology
from sagas.messaging.app import engine_app

STEP_TASK = "sagas.step"
EVENT_TASK = "sagas.event"
CANCEL_TASK = "sagas.cancel"
DISPATCH_TASK = "sagas.dispatch"
NOTIFY_TASK = "sagas.notify"
#: The header of a step's message with its ``Chain.token``.
FENCE_HEADER = "sagas-issue"
#: The header of a step's message with its ``Chain.interruptions``.
INTERRUPTIONS = "sagas-interruptions"

#: The header of every step's message of a chain with ``Chain.by_message``.
BY_MESSAGE = "sagas-by-message"

#: What a publish raises when the broker is away or refuses.
BROKER_ERRORS = (OperationalError, MessageNacked, AMQPError, OSError)

#: On a refusal Celery drops the connection and publishes the message on a new one: RabbitMQ refuses everything on a
#: channel that was open while another node became the leader.
_RETRY = {"max_retries": 3, "interval_start": 0.05, "interval_step": 0.2, "interval_max": 0.5}
#: Without a time-out (seconds) a publish waits without end while a quorum is missing.
_OPTIONS: dict[str, Any] = {
    "mandatory": True,
    "confirm_timeout": 5,
    "retry": True,
    "retry_policy": _RETRY,
    "serializer": "json",
}


def is_from_broker(error: BaseException) -> bool:
    """Whether an error of unknown origin comes from RabbitMQ: an ``OSError`` may as well come from a file or a pipe."""
    if not isinstance(error, OSError):
        return isinstance(error, BROKER_ERRORS)
    frames = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
    return any(name.partition(".")[0] in {"amqp", "kombu"} for name in frames)


class Publisher:
    """Publishes the publications of one commit: equal ones once, and nothing more once the broker is away."""

    def __init__(self) -> None:
        self._app = engine_app()
        self._kicked: set[float] = set()
        self._told: set[tuple[str, tuple[UUID, ...]]] = set()
        self._is_away = False

    def publish(self, publication: Publication) -> None:
        """Publish it.

        Raises:
            CarrierAway: the broker is away or refuses.
        """
        if self._is_away:
            return
        try:
            with _new_connections_after_errors(self._app):
                self._publish(publication)
        except CarrierAway:
            self._is_away = True
            raise

    def kick(self) -> None:
        """Wake a worker's main process, which asks for a dispatch."""
        store.workers.kick()

    def notify(self, notice: Notification) -> None:
        """Publish a notice; see ``tasks.notify``."""
        with _new_connections_after_errors(self._app):
            send_task(self._app, NOTIFY_TASK, [], notice.message(), queue=topology.ESCALATION)

    def is_congested(self) -> bool:
        """Whether the step queues hold so many messages that new runs must wait in the database."""
        with _new_connections_after_errors(self._app), self._app.producer_or_acquire() as producer:
            counts = (producer.channel.queue_declare(name, passive=True).message_count for name in config().queues)
            waiting: int = sum(counts)
        return waiting > config().backlog

    def set_aside(self, what: str, ids: Iterable[UUID], why: str) -> None:
        """Put a note about runs that do not exist on the dead-letter queue, where a person can see it."""
        with _new_connections_after_errors(self._app), self._app.producer_or_acquire() as producer:
            producer.publish(
                {"what": what, "ids": [str(run_id) for run_id in ids], "why": why},
                exchange="exchange.dead",
                routing_key="",
                declare=[],
                delivery_mode=2,
                **_OPTIONS,
            )

    def _publish(self, publication: Publication) -> None:
        if isinstance(publication, Chain):
            first = publication.links[0]
            definition = store.definitions.find(first.saga, first.version, first.shape)
            if config().is_choreographed(definition.name, definition.carrier):
                self._publish_event(definition, publication)
            else:
                _publish_chain(self._app, publication)
        elif isinstance(publication, Deadline):
            for deadline in gathered_deadlines.add(publication):
                _publish_deadline(self._app, deadline)
        else:
            self._publish_kick(publication)

    def _publish_event(self, definition: Definition, publication: Chain) -> None:
        event = _event(definition, publication)
        # All branches of a fork react to the same event.
        if (event, publication.ids) not in self._told:
            self._told.add((event, publication.ids))
            _publish_event(self._app, definition, event, publication)

    def _publish_kick(self, publication: Kick) -> None:
        delay = config().delay_for(publication.delay) if publication.delay else 0.0
        if delay in self._kicked:
            return
        self._kicked.add(delay)
        if delay:
            send_task(self._app, DISPATCH_TASK, [], {}, **_held_back(delay, topology.DISPATCH))
        else:
            self.kick()


def publish_gathered(app: Celery, *, at_once: bool = False) -> None:
    """Publish the deadlines that have been gathered for long enough, or all of them.

    Raises:
        CarrierAway: the broker is away or refuses. The tick judges them.
    """
    with _new_connections_after_errors(app):
        for deadline in gathered_deadlines.take(at_once=at_once):
            _publish_deadline(app, deadline)


def ask_for_dispatch(app: Celery, *, tick: bool, delay: float = 0.0) -> None:
    """Publish a dispatch task, held back for ``delay`` seconds; see ``tasks.dispatch_task``."""
    where: dict[str, Any] = _held_back(delay, topology.DISPATCH) if delay else {"queue": topology.DISPATCH}
    send_task(app, DISPATCH_TASK, [], {"tick": tick}, **where)


def pass_on(
    name: str,
    args: list[Any],
    kwargs: dict[str, Any],
    *,
    queue: str,
    chain: Any,
    delay: float,
    headers: dict[str, str],
) -> None:
    """Send a task that this worker cannot perform back to its queue, for another worker.

    Args:
        name: the task.
        args: its arguments.
        kwargs: its keyword arguments.
        queue: where it came from.
        chain: the rest of its Celery chain, as Celery keeps it in a request.
        delay: seconds for which it is held back, so that it does not come back to this worker at once.
        headers: what its headers say to the engine.

    Raises:
        CarrierAway: the broker is away or refuses.
    """
    app = engine_app()
    with _new_connections_after_errors(app):
        where: dict[str, Any] = _held_back(delay, queue)
        if headers:
            where["headers"] = headers
        send_task(app, name, args, kwargs, chain=chain, **where)


def send_task(app: Celery, name: str, args: list[Any], kwargs: dict[str, Any], **where: Any) -> None:
    """Publish one task message."""
    app.send_task(name, args, kwargs, ignore_result=True, **where, **_OPTIONS)


def drop_connections(app: Celery) -> None:
    """Forget the pooled connections to the broker: RabbitMQ may refuse everything on a channel of theirs.

    New pools replace the old ones. An old one would be of no use when empty: it does not count a connection as free
    that was closed by force, and a process that asks it for one would wait without end. Celery does the same after a
    fork.
    """
    pools.reset()
    holders: tuple[tuple[Any, str], ...] = ((app, "_pool"), (app.amqp, "_producer_pool"))
    for holder, name in holders:
        setattr(holder, name, None)


@contextmanager
def _new_connections_after_errors(app: Celery) -> Iterator[None]:
    try:
        yield
    except BROKER_ERRORS as error:
        drop_connections(app)
        raise CarrierAway(describe_error(error)) from error


def _publish_chain(app: Celery, publication: Chain) -> None:
    ids = [str(run_id) for run_id in publication.ids]
    first, *rest = publication.links
    where: dict[str, Any] = _held_back(publication.delay, first.queue) if publication.delay else {"queue": first.queue}
    if headers := _headers(publication):
        where["headers"] = headers
    signatures = [
        _signature(app, first, (ids,)).set(**where),
        *(_signature(app, link).set(queue=link.queue, **_mark(publication)) for link in rest),
    ]
    chain(*signatures).apply_async()


def _headers(publication: Chain) -> dict[str, str]:
    """Its numbers as headers. As arguments a worker of an earlier version would not know them, and set it aside."""
    said = {
        FENCE_HEADER: publication.token,
        INTERRUPTIONS: publication.interruptions,
        BY_MESSAGE: int(publication.by_message),
    }
    return {header: str(number) for header, number in said.items() if number}


def _mark(publication: Chain) -> dict[str, Any]:
    """What the later links of a chain are told. The other numbers are those of the first link alone."""
    return {"headers": {BY_MESSAGE: "1"}} if publication.by_message else {}


def _event(definition: Definition, publication: Chain) -> str:
    """The event that leads to the first link of a cohort."""
    first = publication.links[0]
    return publication.event or choreography.trigger(definition, definition.index(first.step), first.phase)


def _publish_event(app: Celery, definition: Definition, event: str, publication: Chain) -> None:
    key = choreography.binding_key(definition, event)
    # What is held back goes to the one queue that it was held back for.
    where: dict[str, Any] = (
        _held_back(publication.delay, publication.links[0].queue)
        if publication.delay
        else {"exchange": topology.CHOREOGRAPHY_EXCHANGE, "routing_key": key}
    )
    kwargs: dict[str, Any] = {
        "saga": definition.name,
        "version": definition.version,
        "event": event,
        "shape": publication.links[0].shape,
    }
    if headers := _headers(publication):
        where["headers"] = headers
    send_task(app, EVENT_TASK, [[str(run_id) for run_id in publication.ids]], kwargs, shadow=key, **where)


def _signature(app: Celery, link: Link, args: tuple[Any, ...] = ()) -> Signature:
    kwargs = {
        "saga": link.saga,
        "version": link.version,
        "step": link.step,
        "phase": link.phase.value,
        "shape": link.shape,
    }
    # Flower and the logs show the shadow name in place of "sagas.step".
    options = {**_OPTIONS, "shadow": f"{link.saga}.{link.step}.{link.operation}", "ignore_result": True}
    return signature(STEP_TASK, args=args, kwargs=kwargs, app=app).set(**options)


def _publish_deadline(app: Celery, publication: Deadline) -> None:
    seconds = publication.within if publication.delay is None else config().delay_for(publication.delay)
    kwargs = {
        "saga": publication.saga,
        "version": publication.version,
        "confirmation": publication.confirmation,
        "ids": [str(run_id) for run_id in publication.ids],
    }
    exchange = topology.deadline_exchange(seconds)
    send_task(app, CANCEL_TASK, [], kwargs, exchange=exchange, routing_key=topology.CANCEL_KEY)


def _held_back(delay: float, queue: str) -> dict[str, Any]:
    return {"exchange": topology.delay_exchange(config().delay_for(delay)), "routing_key": queue}
