"""Everything that a process of the engine keeps between two calls. No other module has state of its own.

``declared`` is what the project's code has declared by being imported. ``memory`` is what the process has learnt; a
process that forgets it asks the database, Redis or RabbitMQ again. ``own`` has threads, connections and their locks;
a forked child begins without them.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

    from sagas.definition.definition import Definition
    from sagas.engine.outside.remote_threads import Recorder
    from sagas.failure_log import Throttle
    from sagas.hooks import Registration
    from sagas.messaging.broker_connection import Blocked
    from sagas.messaging.heartbeat import Heartbeat
    from sagas.messaging.ticker import Ticker
    from sagas.postgresql.watchdog import Watchdog
    from sagas.remote.lanes import Lane
    from sagas.store.claims import Foreign

#: A saga's name, its version, and the number of its shape.
Shaped = tuple[str, int, int]


@dataclass(slots=True)
class Declared:
    """What the code of the project has declared.

    Attributes:
        definitions: the sagas, by name and version.
        failed_imports: the modules named ``sagas`` that could not be imported, with the error.
        hooks: the functions that are called after transitions.
        shared_apps: the Celery apps that carry the engine's work in place of its own app; the last one publishes.
    """

    definitions: dict[tuple[str, int], Definition] = field(default_factory=dict)
    failed_imports: dict[str, Exception] = field(default_factory=dict)
    hooks: list[Registration] = field(default_factory=list)
    shared_apps: list[Celery] = field(default_factory=list)


@dataclass(slots=True)
class Memory:
    """What this process has learnt. All moments are those of ``time.monotonic()``.

    Attributes:
        recorded: definitions whose shape is in the database, committed.
        followed: definitions of other shapes than the code's, each with the code's at the time when it was made.
        foreign: kinds of runs that this process cannot perform.
        backlog_age: seconds for which the oldest new run has waited.
        backlog_asked_at: when the database was asked for that.
        samples_pruned_at: when old samples of the breakers were deleted.
        failures: how many failures of each kind were logged lately.
        contended: by operation, until when its locks are known to be held for long.
        isolation_told: databases of which was logged that their default isolation level is another.
        redis_paused_until: until when Redis is not asked.
        redis_told_at: when was logged that Redis does not answer; minus infinity while it answers.
        are_queues_long: whether the step queues were too long.
        queues_looked_at: when this was looked up.
        dispatch_asked_at: when another dispatch was asked for because they were.
    """

    recorded: set[Shaped] = field(default_factory=set)
    followed: dict[Shaped, tuple[Definition | None, Definition]] = field(default_factory=dict)
    foreign: set[Foreign] = field(default_factory=set)
    backlog_age: float = 0.0
    backlog_asked_at: float = -math.inf
    samples_pruned_at: float = -math.inf
    failures: Throttle | None = None
    contended: dict[str, float] = field(default_factory=dict)
    isolation_told: set[str] = field(default_factory=set)
    redis_paused_until: float = -math.inf
    redis_told_at: float = -math.inf
    are_queues_long: bool = False
    queues_looked_at: float = -math.inf
    dispatch_asked_at: float = -math.inf


@dataclass(slots=True)
class Own:
    """Threads and connections of this process, and the locks that guard them.

    Attributes:
        lock: held while one of the others is made.
        lanes: the threads that call remote participants, by the participant's name.
        recorder: the thread that records their answers.
        watchdog: the thread that ends sessions of a database that does not answer.
        tickers: the threads that ask for dispatches.
        heartbeats: the threads that write how the worker is.
        per_thread: for each thread its connection on which events are published.
        redis: clients of Redis, by URL and time-out.
        silent_until: by host, until when a RabbitMQ that did not answer is not asked.
        blocked: by host, a connection on which RabbitMQ will say that it takes messages again.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    lanes: dict[str, Lane] = field(default_factory=dict)
    recorder: Recorder | None = None
    watchdog: Watchdog | None = None
    tickers: list[Ticker] = field(default_factory=list)
    heartbeats: list[Heartbeat] = field(default_factory=list)
    per_thread: threading.local = field(default_factory=threading.local)
    redis: dict[tuple[str, float], Redis] = field(default_factory=dict)
    silent_until: dict[str, float] = field(default_factory=dict)
    blocked: dict[str, Blocked] = field(default_factory=dict)


declared = Declared()
memory = Memory()
own = Own()


def reset() -> None:
    """Forget what this process has learnt. What is declared stays, and threads go on."""
    global memory  # noqa: PLW0603 - the one place that has this state
    memory = Memory()


@contextmanager
def apart() -> Iterator[None]:
    """Declare and learn inside this block for the block only. It begins with what is declared, and knows nothing."""
    global declared, memory  # noqa: PLW0603 - see reset()
    before = declared, memory
    declared = replace(
        declared,
        definitions=dict(declared.definitions),
        failed_imports=dict(declared.failed_imports),
        hooks=list(declared.hooks),
        shared_apps=list(declared.shared_apps),
    )
    reset()
    try:
        yield
    finally:
        declared, memory = before


def _after_fork() -> None:
    global own  # noqa: PLW0603 - see reset()
    own = Own()


os.register_at_fork(after_in_child=_after_fork)
