"""The five Celery tasks: step and event perform an operation, cancel judges a deadline, dispatch claims, notify tells.

Thin: they translate deliveries into calls of the engine, and its messages into publishes. Each is
acked late, and may come twice, late or never; the engine decides by where the runs stand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any
from uuid import UUID

from celery import Task, shared_task
from celery.exceptions import Reject
from celery.signals import task_failure
from django.db import Error, connection

from sagas import limits, store
from sagas.conf import config
from sagas.db import ConnectionLost, describe_error, is_lost, is_transient
from sagas.decisions import choreography, plan
from sagas.decisions.messages import Link, Message
from sagas.definition.participants import Phase
from sagas.engine import lifecycle
from sagas.engine.carrier import carry
from sagas.engine.cohort import Performed, TimeUp
from sagas.engine.performing import any_run_at, give_up, perform, recover, redeliver_in_halves
from sagas.errors import SagaError, UnknownSaga, UnknownStep
from sagas.escalations import notices
from sagas.messaging import dispatcher
from sagas.messaging.publisher import (
    BROKER_ERRORS,
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
    set_aside,
)
from sagas.redis import compensation_guard

logger = logging.getLogger(__name__)

#: Under which header the worker's main process notes from which queue a message came.
QUEUE_HEADER = "x-sagas-queue"
#: Seconds for which a delivery is held back that is for another worker.
PASS_ON_AFTER = 1.0


if TYPE_CHECKING:
    AnyTask = Task[Any, Any]
else:
    # Before Celery 5.7 it cannot be subscripted.
    AnyTask = Task


class EngineTask(AnyTask):
    """A task that sets aside a message whose arguments it does not take: failing, Celery would ack it."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it, if it can be called so."""
        try:
            signature(self.run).bind(*args, **kwargs)
        except TypeError as error:
            raise _poison(self, error) from error
        return serve(self, partial(self.run, *args, **kwargs))


def serve(task: AnyTask, work: Callable[[], Any]) -> Any:
    """Do a task's work. What the database cannot serve now is left to the tick, which finds the runs by what is due."""
    try:
        return work()
    except (Error, ConnectionLost) as error:
        if not isinstance(error, ConnectionLost) and not is_transient(error):
            raise
        # Celery keeps connections from task to task. The next one is new, and finds the primary.
        connection.close()
        logger.warning("sagas: %s is left to the tick: %s", task.name, describe_error(error))
        return _end(task)


_OPTIONS: dict[str, Any] = {
    "base": EngineTask,
    "bind": True,
    "acks_late": True,
    "reject_on_worker_lost": True,
    # Celery would ack what its hard time limit cut off: nobody would know. Redelivered, it is counted, and bisected.
    # (Celery 5.5 and 5.6 know no such option: there the lease tells.)
    "acks_on_timeout": False,
    "ignore_result": True,
    "serializer": "json",
}


class Poison(Reject):
    """A message that no worker can make sense of. RabbitMQ dead-letters what is rejected, not to be requeued.

    No constructor of its own: a child sends it to the worker's main process pickled.
    """


def _is_not_poison(record: logging.LogRecord) -> bool:
    """Keep Celery from logging, with a traceback, what was logged in one line when it was set aside."""
    return not (record.exc_info and isinstance(record.exc_info[1], Poison))


logging.getLogger("celery.app.trace").addFilter(_is_not_poison)


class WorkerKilled(Exception):
    """A worker died at this operation, more than once; nobody else saw why."""


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
    """Perform one operation of a cohort; return the survivors, which Celery hands to the next link."""
    try:
        runs = _read(ids, version=version, shape=shape, passed=passed)
        definition = store.definitions.find(saga, version, shape)
        index = definition.index(step)
        action = definition.action(index, Phase(phase))
        link = Link(saga, version, step, Phase(phase), definition.all_steps[index].queue, action.operation, shape)
    except (UnknownSaga, UnknownStep) as error:
        kwargs = {"saga": saga, "version": version, "step": step, "phase": phase, "shape": shape}
        _pass_on(self, runs, {**kwargs, "passed": passed + 1}, error)
        return _end(self)
    except (SagaError, ValueError, TypeError, AttributeError) as error:
        raise _poison(self, error) from error
    survivors = _deliver(self, link, runs) if runs else []
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
    """Something happened to a cohort that travels by events: perform what this queue's domain does then."""
    try:
        runs = _read(ids, version=version, shape=shape, passed=passed)
        definition = store.definitions.find(saga, version, shape)
        reacting = choreography.reacting(definition, event)
    except (UnknownSaga, UnknownStep) as error:
        kwargs = {"saga": saga, "version": version, "event": event, "shape": shape}
        _pass_on(self, runs, {**kwargs, "passed": passed + 1}, error)
        return
    except (SagaError, ValueError, TypeError, AttributeError) as error:
        raise _poison(self, error) from error
    queue = (self.request.headers or {}).get(QUEUE_HEADER)
    failure: Exception | None = None
    for index, phase in reacting if runs else ():
        link = plan.link(definition, index, phase)
        if queue not in {None, link.queue}:
            continue
        try:
            _deliver(self, link, runs)
        except UnknownStep as error:
            # Begun by other code. To most of what an event may lead to, none of its runs has come.
            if any_run_at(link, runs):
                kwargs = {"saga": saga, "version": version, "event": event, "shape": shape}
                _pass_on(self, runs, {**kwargs, "passed": passed + 1}, error)
                return
        except Exception as error:
            # Another domain's operation, perhaps of the same queue, must not be lost with this one.
            failure = failure or error
    if failure is not None:
        raise failure


def _read(ids: object, **numbers: object) -> list[UUID]:
    """Read the arguments of a message; ``ValueError`` for what the database would refuse in mid-transaction.

    That they are named as they are is seen before; see ``EngineTask``.
    """
    if not isinstance(ids, list):
        msg = f"ids is no list, but {type(ids).__name__}"
        raise ValueError(msg)  # noqa: TRY004 - one kind of error for all that is no message of ours
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or abs(number) > limits.INTEGER:
            msg = f"{name} is no number of a message: {repr(number)[:80]}"
            raise ValueError(msg)
    return [UUID(run_id) for run_id in ids]


def _deliver(task: AnyTask, link: Link, runs: list[UUID]) -> list[UUID]:
    """Perform an operation, publish what follows, and return who goes on to the chain's next link."""
    more: dict[str, Any] = {
        "worker": task.request.hostname or "",
        "token": _number(task, FENCE_HEADER),
        "interruptions": _number(task, INTERRUPTIONS),
    }
    try:
        performed = _perform(task, link, runs, more)
    except ConnectionLost as error:
        # The outcome may be unknown. The next delivery finds out, once the database is back.
        connection.close()
        logger.warning(
            "sagas: %d run(s) come again at %s.%s: %s", len(runs), link.saga, link.step, describe_error(error)
        )
        performed = recover(link, runs, error, **more)
    except TimeUp as error:
        # RabbitMQ counts the delivery, and then it is bisected.
        _carry_or_leave(error.performed.messages)
        raise Reject(error, requeue=True) from error
    _carry_or_leave(performed.messages)
    if performed.unknown:
        _set_aside(f"{link.saga}.{link.step}.{link.phase}", performed.unknown)
    return performed.survivors


@shared_task(name=CANCEL_TASK, **_OPTIONS)
def cancel(self: AnyTask, *, saga: str, version: int, confirmation: str, ids: list[str]) -> None:
    """A confirm deadline is over: undo the runs that were not confirmed in time."""
    try:
        messages = lifecycle.expire(saga, version, confirmation, _read(ids, version=version), by="message")
    except (SagaError, ValueError, TypeError, AttributeError) as error:
        raise _poison(self, error) from error
    _carry_or_leave(messages)


@shared_task(name=DISPATCH_TASK, **_OPTIONS)
def dispatch_task(self: AnyTask, *, tick: bool = False) -> None:
    """Claim what is due, and publish it, and the events that wait; with ``tick`` take up lapsed leases too."""
    here = self.app.amqp.queues.consume_from
    dispatcher.run(self.app, tick=tick, here=here, worker=self.request.hostname or "")


@shared_task(name=NOTIFY_TASK, **_OPTIONS)
def notify(self: AnyTask, *, escalations: list[list[int]], notice: dict[str, Any]) -> None:  # noqa: ARG001
    """Tell people of escalated runs. ``notice`` is for whoever else reads the queue: the database says what is open."""
    try:
        numbers = {int(escalation): int(number) for escalation, number in escalations}
        if any(not 0 <= value <= limits.BIGINT for pair in numbers.items() for value in pair):
            raise _poison(self, ValueError("a number that is none of an escalation"))
    except (ValueError, TypeError) as error:
        raise _poison(self, error) from error
    notices.deliver(numbers)


@task_failure.connect
def _drop_refused_connections(sender: AnyTask, exception: Exception, **_: Any) -> None:
    """A publish was refused, ours or that of a chain's next link: the runs are found again by their lease.

    What must not last is the channel, which RabbitMQ refuses for good after a failover.
    """
    if isinstance(sender, EngineTask) and isinstance(exception, BROKER_ERRORS):
        drop_connections(sender.app)


def _set_aside(what: str, unknown: Sequence[UUID]) -> None:
    """Tell of runs that do not exist. Their neighbours must not wait for a broker that refuses the note."""
    why = f"{len(unknown)} run(s) that do not exist"
    logger.error("sagas: %s for %s: set aside on the dead-letter queue", why, what)
    try:
        set_aside(what, unknown, why)
    except BROKER_ERRORS as error:
        logger.warning("sagas: no note of them was left: %s", describe_error(error))


def _carry_or_leave(messages: Sequence[Message]) -> None:
    """Publish what follows a commit. What breaks there costs time only: all of it is due in the database."""
    try:
        carry(messages, Publisher)
    except BROKER_ERRORS as error:
        logger.warning("sagas: %d message(s) left to the tick: %s", len(messages), describe_error(error))
    except Error as error:
        # Others are told that something has become of a run: they are locked, or the database is away.
        if is_lost(error):
            connection.close()
        logger.warning("sagas: some of %d message(s) left to the tick: %s", len(messages), describe_error(error))
    except Exception:
        # Whoever goes on to the next link must not be lost with it.
        logger.exception("sagas: some of %d message(s) left to the tick", len(messages))


def _pass_on(task: AnyTask, runs: Sequence[UUID], kwargs: dict[str, Any], why: SagaError) -> None:
    """Give a delivery back to its queue, a moment later: in a rolling deploy another worker has the code for it.

    About a second each time, and no longer than a lease in all: by then the tick has found the runs again, and
    counts. Were it refused, they would be found by their lease as well. Of runs that do not exist it is poison. Those
    that have ended, or wait for a person, await no message: whoever has the code would drop it too.
    """
    awaiting = store.definitions.are_awaiting(runs, kwargs["saga"], kwargs["version"])
    if awaiting is False:
        return
    if awaiting is None or kwargs["passed"] > config().lease:
        raise _poison(task, why) from why
    logger.warning("sagas: %d run(s) are passed on to another worker: %s", len(runs), why)
    headers = task.request.headers or {}
    queue = headers.get(QUEUE_HEADER) or (task.request.delivery_info or {}).get("routing_key") or ""
    ids = [str(run_id) for run_id in runs]
    try:
        pass_on(task.name, [ids], kwargs, queue=queue, chain=task.request.chain, delay=PASS_ON_AFTER)
    except BROKER_ERRORS as error:
        logger.warning("sagas: a delivery is left to the tick: %s", describe_error(error))


def _perform(task: AnyTask, link: Link, runs: list[UUID], more: dict[str, Any]) -> Performed:
    deliveries = _deliveries(task)
    if deliveries == 0:
        return perform(link, runs, **more)
    # Somebody died or was cut off while it had this message. If a run of it was the cause, the halves tell.
    if len(runs) > 1:
        return Performed(
            messages=redeliver_in_halves(link, runs, token=more["token"], interruptions=more["interruptions"])
        )
    if deliveries >= config().deliveries:
        why = WorkerKilled(f"{deliveries} workers died or vanished at it")
        return give_up(link, runs[0], why, worker=more["worker"])
    return perform(link, runs, **(more | {"token": compensation_guard.token_after(more["token"], deliveries)}))


def _number(task: AnyTask, header: str) -> int:
    """What a message's header counts; 0 where it has none, as those of an earlier version, or says no such number."""
    said = str((task.request.headers or {}).get(header, ""))
    return int(said) if said.isascii() and said.isdecimal() and len(said) <= 15 else 0


def _deliveries(task: AnyTask) -> int:
    """How often this message was delivered before: a quorum queue counts it in a header.

    Believed of what RabbitMQ itself says it has delivered before: anybody may write a header.
    """
    if not (task.request.delivery_info or {}).get("redelivered"):
        return 0
    return max(1, _number(task, "x-delivery-count"))


def _end(task: AnyTask) -> list[str]:
    """End the chain here, without noise: there is nobody left to go on."""
    task.request.chain = None
    return []


def _poison(task: AnyTask, error: Exception) -> Poison:
    logger.error("sagas: poison message %s for %s set aside: %s", task.request.id, task.name, error)
    return Poison(error)
