"""The five Celery tasks: step and event perform an operation, cancel judges a deadline, dispatch claims, notify tells.

The tasks only read messages, and call ``sagas.delivery``. A task message is acknowledged after the work; it may come
twice, late or never. The engine decides by where the runs stand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from inspect import signature
from typing import TYPE_CHECKING, Any
from uuid import UUID

from celery import Task, shared_task
from celery.exceptions import Reject
from celery.signals import task_failure
from django.db import Error, connection

from sagas import limits, store
from sagas.db import ConnectionLost, describe_error, is_transient
from sagas.decisions import choreography, plan
from sagas.decisions.messages import Link
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.delivery import delivering
from sagas.delivery.carrier import CarrierAway
from sagas.delivery.delivering import Foreign
from sagas.delivery.redelivery import Past
from sagas.delivery.short_path import ShortPath
from sagas.engine.cohort import TimeUp
from sagas.engine.performing import any_run_at, is_due_at, sort_by_waits
from sagas.errors import SagaError, UnknownSaga, UnknownStep
from sagas.escalations import burn_notices, notices
from sagas.messaging import dispatcher, hops
from sagas.messaging.publisher import (
    BROKER_ERRORS,
    BY_MESSAGE,
    CANCEL_TASK,
    DISPATCH_TASK,
    EVENT_TASK,
    FENCE_HEADER,
    INTERRUPTIONS,
    NOTIFY_TASK,
    STEP_TASK,
    Publisher,
    drop_connections,
    pass_on,
)
from sagas.validation import why_unstorable

logger = logging.getLogger(__name__)

#: The header in which the worker's main process notes the queue that a message came from.
QUEUE_HEADER = "x-sagas-queue"
#: Seconds for which a delivery for another worker is held back.
PASS_ON_AFTER = 1.0


if TYPE_CHECKING:
    AnyTask = Task[Any, Any]
else:
    # Before Celery 5.7 the class cannot be subscripted.
    AnyTask = Task


_signature = cache(signature)


class EngineTask(AnyTask):
    """A task that sets aside a message whose arguments do not fit. If it only failed, Celery would acknowledge it."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task, if the arguments fit."""
        try:
            _signature(self.run).bind(*args, **kwargs)
        except TypeError as error:
            raise _poison(self, error) from error
        return serve(self, partial(self.run, *args, **kwargs))


def serve(task: AnyTask, work: Callable[[], Any]) -> Any:
    """Do a task's work. If the database cannot do it now, leave the runs to the tick, which finds what is due."""
    try:
        return work()
    except (Error, ConnectionLost) as error:
        if not isinstance(error, ConnectionLost) and not is_transient(error):
            raise
        # Celery keeps connections from task to task. A new connection finds the new primary.
        connection.close()
        logger.warning("sagas: %s is left to the tick: %s", task.name, describe_error(error))
        return _end(task)


_OPTIONS: dict[str, Any] = {
    "base": EngineTask,
    "bind": True,
    "acks_late": True,
    "reject_on_worker_lost": True,
    # Celery would acknowledge a message at its hard time limit, and nobody would know. So RabbitMQ delivers it again,
    # and counts. Celery 5.5 and 5.6 have no such option: there the lease lapses.
    "acks_on_timeout": False,
    "ignore_result": True,
    "serializer": "json",
}


class Poison(Reject):
    """A message that no worker can read. RabbitMQ moves it to the dead-letter queue.

    The class has no constructor of its own, because a child pickles the error for the worker's main process.
    """


def _is_not_poison(record: logging.LogRecord) -> bool:
    """Whether Celery may log this. A message that was set aside was logged in one line, and needs no traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], Poison))


logging.getLogger("celery.app.trace").addFilter(_is_not_poison)


@shared_task(name=STEP_TASK, **_OPTIONS)
def step(
    self: AnyTask,
    ids: list[str],
    *,
    saga: str,
    version: int,
    step: str,
    phase: str,
    shape: int = 0,
    passed: int = 0,
) -> list[str]:
    """Perform one operation of a cohort. Return the runs that go on, which Celery hands to the next link."""
    try:
        runs = _read(ids, saga, step, phase, version=version, shape=shape, passed=passed)
        definition = store.definitions.find(saga, version, shape)
        index = definition.index(step)
        action = definition.action(index, Phase(phase))
        link = Link(saga, version, step, Phase(phase), definition.all_steps[index].queue, action.operation, shape)
    except (UnknownSaga, UnknownStep) as error:
        kwargs = {"saga": saga, "version": version, "step": step, "phase": phase, "shape": shape}
        _pass_on(self, runs, {**kwargs, "passed": passed}, error)
        return _end(self)
    except (SagaError, ValueError, TypeError, AttributeError) as error:
        raise _poison(self, error) from error
    survivors = _deliver(self, link, runs, _later_links(self, definition, index, link)) if runs else []
    if not survivors:
        return _end(self)
    return [str(run_id) for run_id in survivors]


@shared_task(name=EVENT_TASK, **_OPTIONS)
def event(
    self: AnyTask,
    ids: list[str],
    *,
    saga: str,
    version: int,
    event: str,
    shape: int = 0,
    passed: int = 0,
) -> None:
    """Perform the operations of this queue that react to an event of a cohort.

    Branches of a fork may have one queue. What happened to the message before is counted for the first operation that
    is still to do: it was performed first.
    """
    try:
        runs = _read(ids, saga, event, version=version, shape=shape, passed=passed)
        definition = store.definitions.find(saga, version, shape)
        reacting = choreography.reacting(definition, event)
    except (UnknownSaga, UnknownStep) as error:
        kwargs = {"saga": saga, "version": version, "event": event, "shape": shape}
        _pass_on(self, runs, {**kwargs, "passed": passed}, error)
        return
    except (SagaError, ValueError, TypeError, AttributeError) as error:
        raise _poison(self, error) from error
    queue = (self.request.headers or {}).get(QUEUE_HEADER)
    failure: Exception | None = None
    past, is_counted = _past(self), False
    links = [plan.link(definition, index, phase) for index, phase in reacting] if runs else []
    links = [link for link in links if queue in {None, link.queue}]
    for link in sort_by_waits(links, runs) if past.deaths and len(links) > 1 else links:
        try:
            is_cause = bool(past.deaths or past.interruptions) and is_due_at(link, runs)
            if is_cause and is_counted and past.deaths:
                if len(runs) == 1:
                    delivering.deliver_for_itself(link, runs, Publisher)
                # The halves of a cohort come again with the same event.
                break
            _deliver(self, link, runs, past=Past(by_message=True) if is_counted else past)
            is_counted = is_counted or is_cause
        except UnknownStep as error:
            # The runs began under other code. Most operations that react to an event have none of its runs.
            if any_run_at(link, runs):
                kwargs = {"saga": saga, "version": version, "event": event, "shape": shape}
                _pass_on(self, runs, {**kwargs, "passed": passed}, error)
                return
        except Exception as error:
            # The other operations of this queue are performed all the same.
            failure = failure or error
    if failure is not None:
        raise failure


def _read(ids: object, *names: object, **numbers: object) -> list[UUID]:
    """Read the arguments of a message. ``EngineTask`` has checked how they are called.

    Args:
        ids: the runs.
        names: of the saga and what is in it.
        numbers: the version and what is counted.

    Raises:
        ValueError: they are of a wrong type, or the database could not store them.
    """
    if not isinstance(ids, list):
        msg = f"ids is no list, but {type(ids).__name__}"
        raise ValueError(msg)  # noqa: TRY004 - one kind of error for every message that cannot be read
    for what, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or abs(number) > limits.INTEGER:
            msg = f"{what} is no number of a message: {repr(number)[:80]}"
            raise ValueError(msg)
    for name in names:
        # Not left to the driver: psycopg2 raises ValueError, and psycopg 3 an error of the database.
        if not isinstance(name, str) or why_unstorable(name):
            msg = f"no name of a message: {repr(name)[:80]}"
            raise ValueError(msg)
    return [UUID(run_id) for run_id in ids]


def _later_links(task: AnyTask, definition: Definition, index: int, link: Link) -> tuple[Link, ...]:
    """What is left of the chain of a message. A chain may end early, before a breaker."""
    left = len(task.request.chain or ())
    return plan.links_from(definition, index, link.phase)[1 : left + 1]


def _past(task: AnyTask) -> Past:
    """What has happened to a message before, as its headers say."""
    return Past(
        _number(task, FENCE_HEADER), _number(task, INTERRUPTIONS), bool(_number(task, BY_MESSAGE)), _deliveries(task)
    )


def _deliver(
    task: AnyTask, link: Link, runs: list[UUID], later: Sequence[Link] = (), past: Past | None = None
) -> list[UUID]:
    """Perform an operation. Return the runs that go on to the chain's next link, which Celery publishes."""
    past = past or _past(task)
    hops.arrived(_number(task, hops.PUBLISHED_AT), link)
    path = ShortPath(task.request.hostname or "", task.app.amqp.queues.consume_from)
    try:
        return delivering.deliver(link, runs, later, past=past, path=path, carriers=Publisher)
    except TimeUp as error:
        # RabbitMQ delivers it again and counts.
        raise Reject(error, requeue=True) from error


@shared_task(name=CANCEL_TASK, **_OPTIONS)
def cancel(self: AnyTask, *, saga: str, version: int, confirmation: str, ids: list[str]) -> None:
    """Undo the runs that were not confirmed before their deadline."""
    try:
        runs = _read(ids, saga, confirmation, version=version)
        delivering.judge_deadline(saga, version, confirmation, runs, Publisher)
    except (SagaError, ValueError, TypeError, AttributeError) as error:
        raise _poison(self, error) from error


@shared_task(name=DISPATCH_TASK, **_OPTIONS)
def dispatch_task(self: AnyTask, *, tick: bool = False) -> None:
    """Claim and publish what is due, and publish events; with ``tick`` also take up lapsed leases."""
    here = self.app.amqp.queues.consume_from
    dispatcher.run(self.app, tick=tick, here=here, worker=self.request.hostname or "")


@shared_task(name=NOTIFY_TASK, **_OPTIONS)
def notify(
    self: AnyTask,
    *,
    escalations: list[list[int]],
    notice: dict[str, Any],  # noqa: ARG001
    incidents: list[list[int]] | None = None,
) -> None:
    """Notify people of escalated runs, or of incidents in which an error budget burns.

    ``notice`` is for other readers of the queue: here the database is asked.
    """
    try:
        numbers = _read_numbers(escalations)
        revisions = _read_numbers(incidents or [])
    except (ValueError, TypeError) as error:
        raise _poison(self, error) from error
    notices.deliver_notices(numbers)
    burn_notices.deliver_notices(revisions)


def _read_numbers(pairs: list[list[int]]) -> dict[int, int]:
    numbers = {int(which): int(number) for which, number in pairs}
    if any(not 0 <= value <= limits.BIGINT for pair in numbers.items() for value in pair):
        raise ValueError("a number that is none of an escalation or an incident")
    return numbers


@task_failure.connect
def _drop_refused_connections(sender: AnyTask, exception: Exception, **_: Any) -> None:
    """Drop the connections after a refused publish, such as Celery's of a chain's next link.

    The runs are found again when their lease is over. But after a failover RabbitMQ refuses everything on the channel.
    """
    if isinstance(sender, EngineTask) and isinstance(exception, BROKER_ERRORS):
        drop_connections(sender.app)


def _pass_on(task: AnyTask, runs: Sequence[UUID], kwargs: dict[str, Any], why: SagaError) -> None:
    """Send a delivery for which this worker lacks the code back to its queue; drop it or set it aside in the end.

    It is held back for a second each time.
    """
    match delivering.judge_foreign(runs, kwargs["saga"], kwargs["version"], passed=kwargs["passed"]):
        case Foreign.DROP:
            return
        case Foreign.SET_ASIDE:
            raise _poison(task, why) from why
    logger.warning("sagas: %d run(s) are passed on to another worker: %s", len(runs), why)
    headers = task.request.headers or {}
    queue = headers.get(QUEUE_HEADER) or (task.request.delivery_info or {}).get("routing_key") or ""
    ids = [str(run_id) for run_id in runs]
    try:
        # Without them another worker would take it for a delivery to which nothing has happened.
        kept = {header: str(n) for header in (FENCE_HEADER, INTERRUPTIONS, BY_MESSAGE) if (n := _number(task, header))}
        kwargs = kwargs | {"passed": kwargs["passed"] + 1}
        pass_on(task.name, [ids], kwargs, queue=queue, chain=task.request.chain, delay=PASS_ON_AFTER, headers=kept)
    except CarrierAway as error:
        logger.warning("sagas: a delivery is left to the tick: %s", error)


def _number(task: AnyTask, header: str) -> int:
    """The number in a header of the message; 0 if the header is missing, or holds no such number."""
    said = str((task.request.headers or {}).get(header, ""))
    return int(said) if said.isascii() and said.isdecimal() and len(said) <= 15 else 0


def _deliveries(task: AnyTask) -> int:
    """How often this message was delivered before, as a quorum queue counts in a header.

    Anyone may write a header, so it counts only if RabbitMQ itself marks the message as redelivered.
    """
    if not (task.request.delivery_info or {}).get("redelivered"):
        return 0
    return max(1, _number(task, "x-delivery-count"))


def _end(task: AnyTask) -> list[str]:
    """End the chain here without an error: no run goes on."""
    task.request.chain = None
    return []


def _poison(task: AnyTask, error: Exception) -> Poison:
    logger.error("sagas: poison message %s for %s set aside: %s", task.request.id, task.name, error)
    return Poison(error)
