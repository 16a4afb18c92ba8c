"""The workers' app in tests: the project's own, with points at which a test can have it killed.

A test arms one point by a Redis key, ``<step>.<operation>.<moment>``; the first worker child that comes
by takes the key and dies by SIGKILL. Moments: ``effect`` (participant done, not committed), ``committed``
(committed, nothing published), ``published`` (next link published, not acked). ``claim.committed`` and
``claim.published`` are those of the dispatcher. Nothing of this is in the engine.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import wraps
from typing import Any

import redis
from celery.signals import after_task_publish
from django.conf import settings

import sagas.dispatch
import sagas.outcomes
import sagas.tasks
from drinkgroup.celery import app
from sagas.perform import Performed

KEY = "lab:kill"

__all__ = ["app"]


def _die_at(point: str) -> None:
    client = redis.Redis.from_url(settings.SAGAS["REDIS_URL"])
    try:
        armed: Any = client.get(KEY)
        # delete() counts: of two children that come by together, one dies.
        if armed is not None and armed.decode() == point and client.delete(KEY):
            os.kill(os.getpid(), signal.SIGKILL)
    except redis.RedisError:
        pass
    finally:
        client.close()


_current = ""


def _wrap_collect(collect: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(collect)
    def wrapper(participant: Any, calls: Any, rejects: Any) -> Any:
        answers = collect(participant, calls, rejects)
        _die_at(f"{calls[0].step}.{calls[0].operation}.effect")
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


@after_task_publish.connect
def _after_publish(sender: str, **_: Any) -> None:
    if sender == "sagas.step" and _current:
        _die_at(f"{_current}.published")


# Where each is looked up: a module that imported the name has its own.
for _module, _name, _wrap in (
    (sagas.outcomes, "collect", _wrap_collect),
    (sagas.tasks, "perform", _wrap_perform),
    (sagas.dispatch, "perform", _wrap_perform),
    (sagas.dispatch, "claim", _wrap_claim),
):
    setattr(_module, _name, _wrap(getattr(_module, _name)))
