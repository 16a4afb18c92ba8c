"""The workers' app in tests: the engine's own, with points at which a test can have it killed.

A test arms one point by a Redis key, ``<step>.<operation>.<moment>``; the first worker child that comes
by takes the key and dies by SIGKILL. Moments: ``effect`` (participant done, not committed), ``committed``
(committed, nothing published), ``published`` (next link published, not acked), ``elsewhere.committed`` (committed
in the step's own database, not yet in the engine's). ``claim.committed`` and ``claim.published`` are those of the
dispatcher, ``expire.effect`` and ``expire.committed`` those of a confirm deadline; at ``relay.published`` RabbitMQ
has events which the outbox has, too. A second key names a run that kills every worker child which performs a step of
it; a third one, a run of which every step takes an hour; a fourth, one of which every step ends the database session.
With ``LAB_DOUBLE`` in the environment every message of the engine goes out twice. Nothing of this is in the engine.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial, wraps
from typing import Any

import redis
from celery.signals import after_task_publish, worker_process_shutdown, worker_ready
from django.conf import settings
from django.db import connection

import sagas.delivery.dispatching
import sagas.delivery.redelivery
import sagas.engine.deadlines
import sagas.engine.invocation
import sagas.engine.lifecycle
import sagas.engine.outside.barrier
import sagas.store.outbox
import sagas.tasks
from sagas.engine.cohort import Performed
from sagas.messaging.app import app
from tests.lab.duplication import twice
from tests.lab.points import CUT_OFF, DOUBLED, ENDED, KEY, POISON, STALLED

#: A test looks whether kicks were handed over.
logging.getLogger("sagas.messaging.handover").setLevel(logging.DEBUG)

__all__ = ["app"]


@worker_ready.connect
def _stop_consuming(sender: Any, **_: Any) -> None:
    """With ``LAB_SILENT`` in the environment RabbitMQ is told to deliver nothing more, and Celery does not know it."""
    if os.environ.get("LAB_SILENT"):
        sender.timer.call_after(1.0, lambda: [sender.task_consumer.channel.basic_cancel(tag) for tag in _tags(sender)])


def _tags(consumer: Any) -> list[str]:
    tasks = consumer.task_consumer
    return list((tasks.tags() if hasattr(tasks, "tags") else tasks._active_tags).values())


#: As it is at the start: a test may take it out of the settings, and these points stay where they are.
_URL: str = settings.SAGAS["REDIS_URL"]


@cache
def _redis() -> redis.Redis:
    return redis.Redis.from_url(_URL)


def _die_at(point: str) -> None:
    with suppress(redis.RedisError):
        armed: Any = _redis().get(KEY)
        # delete() counts: of two children that come by together, one dies.
        if armed is not None and armed.decode() == point and _redis().delete(KEY):
            os.kill(os.getpid(), signal.SIGKILL)


def _die_of_poison(calls: Sequence[Any]) -> None:
    with suppress(redis.RedisError):
        poison: Any = _redis().get(POISON)
        if poison is not None and any(str(call.run_id) == poison.decode() for call in calls):
            os.kill(os.getpid(), signal.SIGKILL)


def _is_named(key: str, calls: Sequence[Any]) -> bool:
    with suppress(redis.RedisError):
        named: Any = _redis().get(key)
        return named is not None and any(str(call.run_id) == named.decode() for call in calls)
    return False


def _interrupt(calls: Sequence[Any]) -> None:
    if _is_named(STALLED, calls):
        time.sleep(3600)
    if _is_named(CUT_OFF, calls):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


_current = ""


def _wrap_collect(collect: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(collect)
    def wrapper(participant: Any, calls: Any, rejects: Any, **kwargs: Any) -> Any:
        _die_of_poison(calls)
        _interrupt(calls)
        answers = collect(participant, calls, rejects, **kwargs)
        _die_at(f"{calls[0].step}.{calls[0].operation}.effect")
        return answers

    return wrapper


def _wrap_elsewhere(collect: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(collect)
    def wrapper(step: Any, phase: Any, calls: Any, **kwargs: Any) -> Any:
        answers = collect(step, phase, calls, **kwargs)
        _die_at(f"{step.name}.{step.actions[phase].operation}.elsewhere.committed")
        return answers

    return wrapper


def _wrap_perform(perform: Callable[..., Performed]) -> Callable[..., Performed]:
    @wraps(perform)
    def wrapper(link: Any, ids: Any, **kwargs: Any) -> Performed:
        global _current  # noqa: PLW0603 - a prefork child does one task at a time
        performed = perform(link, ids, **kwargs)
        _die_at(f"{link.step}.{link.operation}.committed")
        _current = f"{link.step}.{link.operation}"
        return performed

    return wrapper


def _wrap_claim(claim: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(claim)
    def wrapper(**kwargs: Any) -> Any:
        global _current  # noqa: PLW0603 - see above
        claimed = claim(**kwargs)
        if claimed.count:
            _die_at("claim.committed")
        _current = "claim"
        return claimed

    return wrapper


def _wrap_expiry(expiry: Callable[..., Any], moment: str) -> Callable[..., Any]:
    @wraps(expiry)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        messages = expiry(*args, **kwargs)
        # By message only: the tick's share is a part of the claim.
        if messages and kwargs.get("by") == "message":
            _die_at(f"expire.{moment}")
        return messages

    return wrapper


def _wrap_delete(delete: Callable[..., None]) -> Callable[..., None]:
    @wraps(delete)
    def wrapper(published: Any) -> None:
        if published:
            _die_at("relay.published")
        delete(published)

    return wrapper


@after_task_publish.connect
def _after_publish(sender: str, **_: Any) -> None:
    if sender == "sagas.step" and _current:
        _die_at(f"{_current}.published")


# Where each is looked up: a module that imported the name has its own.
for _module, _name, _wrap in (
    (sagas.engine.invocation, "collect", _wrap_collect),
    (sagas.engine.outside.barrier, "call_through_barrier", _wrap_elsewhere),
    (sagas.delivery.redelivery, "perform", _wrap_perform),
    (sagas.delivery.dispatching, "claim", _wrap_claim),
    (sagas.store.outbox, "delete", _wrap_delete),
    (sagas.engine.deadlines, "expire_overdue", partial(_wrap_expiry, moment="effect")),
    (sagas.engine.lifecycle, "expire_unconfirmed", partial(_wrap_expiry, moment="committed")),
):
    setattr(_module, _name, _wrap(getattr(_module, _name)))


@worker_process_shutdown.connect
def _exit_soon(exitcode: int, **_: Any) -> None:
    """Exit a fifth of a second later: a child has nothing to do any more, but billiard has it sleep for a second.

    One that records spans sends its last ones first.
    """
    threading.Timer(2.0 if settings.TRACES else 0.2, os._exit, [exitcode]).start()


# Not by print: Celery has put a log in place of stdout.
atexit.register(os.write, 1, f"{ENDED}\n".encode())


def _count_double() -> None:
    with suppress(redis.RedisError):
        _redis().incr(DOUBLED)


if os.environ.get("LAB_DOUBLE"):
    _amqp: Any = app.amqp
    _amqp.send_task_message = twice(_amqp.send_task_message, _count_double, after=float(os.environ["LAB_DOUBLE"]))
