"""The workers' app of the benchmark: the project's own, which also notes its first claim and counts publishes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import redis
from celery.signals import after_task_publish

import sagas.claim as claiming
import sagas.dispatch
from drinkgroup.celery import app

BEGAN = "bench:ours:began"
MESSAGES = "bench:ours:messages"

__all__ = ["app"]

client = redis.Redis.from_url(os.environ["REDIS_URL"])
_began = False


def _noting(claim: Callable[..., Any]) -> Callable[..., Any]:
    def noting(**kwargs: Any) -> Any:
        global _began  # noqa: PLW0603 - once a process
        now = time.time()
        claimed = claim(**kwargs)
        if claimed.count and not _began:
            _began = True
            client.rpush(BEGAN, repr(now))
        return claimed

    return noting


@after_task_publish.connect
def _count(**_: Any) -> None:
    client.incr(MESSAGES)


setattr(sagas.dispatch, "claim", _noting(claiming.claim))  # noqa: B010 - a patch, seen as one
