"""Everything that a process of the engine keeps between two calls. No other module has state of its own.

``declared`` is what the project's code has declared by being imported. ``memory`` is what the process has learnt; a
process that forgets it asks the database, Redis or RabbitMQ again. ``own`` has threads, connections and their locks;
a forked child begins without them.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from celery import Celery
    from redis import Redis

    from sagas.decisions.admission import Look
    from sagas.decisions.messages import Deadline
    from sagas.definition.definition import Definition
    from sagas.delivery.heartbeat import Heartbeat
    from sagas.engine.outside.remote_threads import Recorder
    from sagas.failure_log import Throttle
    from sagas.hooks import LinkHook, PruneHook, Registration, TickHook
    from sagas.listeners import Listener
    from sagas.messaging.broker_connection import Blocked
    from sagas.messaging.consumption import Consumption
    from sagas.messaging.gathered_deadlines import Gathered
    from sagas.messaging.handover import Handover
    from sagas.messaging.ticker import Ticker
    from sagas.metrics.instruments import Instrument
    from sagas.metrics.sums import Sums
    from sagas.observability.flushing import Flusher
    from sagas.postgresql.watchdog import Watchdog
    from sagas.redis.client import OneWay
    from sagas.remote.lanes import Lane
    from sagas.store.claims import Foreign, Plain
    from sagas.store.observers import Observer
    from sagas.trace_context import Source
    from sagas.waiting import Waiters
    from sagas.watching import Watcher

#: A saga's name, its version, and the number of its shape.
Shaped = tuple[str, int, int]


@dataclass(slots=True)
class SpanCounts:
    """Spans of this process: ended, taken by the collector, and dropped; the others wait."""

    ended: int = 0
    exported: int = 0
    dropped: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def waiting(self) -> int:
        """How many are not sent yet."""
        return self.ended - self.exported - self.dropped

    def reset(self) -> None:
        """Begin anew."""
        self.ended = self.exported = self.dropped = 0
        self.lock = threading.Lock()


@dataclass(slots=True)
class Declared:
    """What the code of the project has declared.

    Attributes:
        definitions: the sagas, by name and version.
        failed_imports: the modules named ``sagas`` that could not be imported, with the error.
        hooks: the functions that are called after transitions.
        prune_hooks: the functions that are called before runs are deleted.
        tick_hooks: the functions that are called on a tick.
        link_hooks: the functions that give links of runs.
        listeners: the functions that take domain events, by name.
        observers: the functions that are told what was written of runs.
        trace_source: who records spans in this process, if anybody does.
        spans: what became of them, if they are sent by ``sagas.observability.exporting``.
        shared_apps: the Celery apps that carry the engine's work in place of its own app; the last one publishes.
        instruments: counters, histograms and gauges, by name.
        begin_flushing: called once in each process that counts something: it has the sums written from then on.
    """

    definitions: dict[tuple[str, int], Definition] = field(default_factory=dict)
    failed_imports: dict[str, Exception] = field(default_factory=dict)
    hooks: list[Registration] = field(default_factory=list)
    prune_hooks: list[PruneHook] = field(default_factory=list)
    tick_hooks: list[TickHook] = field(default_factory=list)
    link_hooks: list[LinkHook] = field(default_factory=list)
    listeners: dict[str, Listener] = field(default_factory=dict)
    observers: list[Observer] = field(default_factory=list)
    trace_source: Source | None = None
    spans: SpanCounts | None = None
    shared_apps: list[Celery] = field(default_factory=list)
    instruments: dict[str, Instrument] = field(default_factory=dict)
    begin_flushing: Callable[[], object] | None = None


@dataclass(slots=True)
class Memory:
    """What this process has learnt. All moments are those of ``time.monotonic()``.

    Attributes:
        recorded: definitions whose shape is in the database, committed.
        performers: numbers of those who are in the database, committed, and until when each is used, by worker and who
            undoes their effect.
        followed: definitions of other shapes than the code's, each with the code's at the time when it was made.
        foreign: kinds of runs that this process cannot perform.
        plain: kinds of runs that claims of this process only had to lease; see ``sagas.store.claims.lease_few``.
        elsewhere: kinds of runs whose next steps are at queues that this process does not serve, and until when that
            is known: for ever, except where a branch of this process only waits.
        looks: the last looks at the backlog, for admission.
        is_due_crowded: whether the index of due times has many dead entries; see ``sagas.store.claims.floor``.
        floor: from which due time on claims look for runs then, in seconds of Unix time.
        floor_until: when they look from the start again.
        backlog_asked_at: when the database was asked for the last one.
        prune_after: before which no tick prunes runs here.
        levels_after: before which no tick counts service levels here.
        burns_after: before which no tick judges here what burns.
        are_decisions_open: whether a decision was still to be given to runs at the last look.
        decided_last: the number of the last decision that had its turn.
        samples_pruned_at: when old samples of the breakers were deleted.
        failures: how many failures of each kind were logged lately.
        contended: by operation, until when its locks are known to be held for long.
        isolation_told: databases of which was logged that their default isolation level is another.
        redis_paused_until: until when Redis is not asked.
        redis_told_at: when was logged that Redis does not answer; minus infinity while it answers.
        are_queues_long: whether the step queues were too long.
        queues_looked_at: when this was looked up.
        dispatch_asked_at: when another dispatch was asked for because they were.
        performs_claims: whether the last claim was of cohorts that a dispatcher performs itself; see ``dispatching``.
        performed_at: when this process last performed such a cohort while more was due.
        deadlines: those that go out with the next message, by what they share.
        notified_at: when this process last woke ``manage.py sagas work``.
        malformed_traces: how many requests came with a malformed ``traceparent``.
        prepares: whether statements are prepared: sessions keep what was prepared in them.
    """

    recorded: set[Shaped] = field(default_factory=set)
    performers: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)
    followed: dict[Shaped, tuple[Definition | None, Definition]] = field(default_factory=dict)
    foreign: set[Foreign] = field(default_factory=set)
    plain: dict[Plain, float | None] = field(default_factory=dict)
    elsewhere: dict[Foreign, float] = field(default_factory=dict)
    looks: tuple[Look, ...] = ()
    is_due_crowded: bool = False
    floor: float = -math.inf
    floor_until: float = -math.inf
    backlog_asked_at: float = -math.inf
    prune_after: float = -math.inf
    levels_after: float = -math.inf
    burns_after: float = -math.inf
    are_decisions_open: bool = False
    decided_last: int = 0
    samples_pruned_at: float = -math.inf
    failures: Throttle | None = None
    contended: dict[str, float] = field(default_factory=dict)
    isolation_told: set[str] = field(default_factory=set)
    redis_paused_until: float = -math.inf
    redis_told_at: float = -math.inf
    are_queues_long: bool = False
    queues_looked_at: float = -math.inf
    dispatch_asked_at: float = -math.inf
    deadlines: dict[Deadline, Gathered] = field(default_factory=dict)
    performs_claims: bool = False
    performed_at: float = -math.inf
    notified_at: float = -math.inf
    malformed_traces: int = 0
    prepares: bool = True


@dataclass(slots=True)
class Own:
    """Threads and connections of this process, and the locks that guard them.

    Attributes:
        lock: held while one of the others is made.
        looking: held by the thread that looks at the backlog; the others do not wait for it.
        lanes: the calls of remote participants, by the kind of lane and the participant's name.
        event_loop: in which coroutines call remote participants.
        recorder: the thread that records their answers.
        watchdog: the thread that ends sessions of a database that does not answer.
        tickers: the threads that ask for dispatches.
        handover: the way of kicks into the event loop of a worker's main process.
        heartbeats: the threads that write how the worker is.
        consumptions: the threads that look whether it consumes.
        per_thread: for each thread its connection on which events are published.
        redis: clients of Redis, by URL and time-out.
        one_way: the connection to Redis for commands whose replies nobody needs.
        prepared: by session of a database, the statements that were prepared in it, and when.
        pools_of_parent: Django's pools of connections that a forked child must not use.
        silent_until: by host, until when a RabbitMQ that did not answer is not asked.
        waiters: by event loop, the coroutines that wait for runs.
        watcher: the thread that looks at watched runs.
        blocked: by host, a connection on which RabbitMQ will say that it takes messages again.
        sums: what was counted and is not in the database yet.
        flusher: the thread that writes it.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    looking: threading.Lock = field(default_factory=threading.Lock)
    lanes: dict[tuple[type[Lane], str], Lane] = field(default_factory=dict)
    event_loop: AbstractEventLoop | None = None
    recorder: Recorder | None = None
    watchdog: Watchdog | None = None
    tickers: list[Ticker] = field(default_factory=list)
    handover: Handover | None = None
    heartbeats: list[Heartbeat] = field(default_factory=list)
    consumptions: list[Consumption] = field(default_factory=list)
    per_thread: threading.local = field(default_factory=threading.local)
    redis: dict[tuple[str, float], Redis] = field(default_factory=dict)
    one_way: OneWay | None = None
    prepared: WeakKeyDictionary[Any, dict[str, float]] = field(default_factory=WeakKeyDictionary)
    pools_of_parent: list[object] = field(default_factory=list)
    silent_until: dict[str, float] = field(default_factory=dict)
    waiters: WeakKeyDictionary[AbstractEventLoop, Waiters] = field(default_factory=WeakKeyDictionary)
    watcher: Watcher | None = None
    blocked: dict[str, Blocked] = field(default_factory=dict)
    sums: Sums | None = None
    flusher: Flusher | None = None


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
        prune_hooks=list(declared.prune_hooks),
        tick_hooks=list(declared.tick_hooks),
        link_hooks=list(declared.link_hooks),
        listeners=dict(declared.listeners),
        observers=list(declared.observers),
        shared_apps=list(declared.shared_apps),
        instruments=dict(declared.instruments),
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
