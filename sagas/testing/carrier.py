"""Carries the engine's messages in this process: what Celery, RabbitMQ and Redis do otherwise.

The engine gives its messages as data, and decides by where the runs stand in the database; so it runs here as it
does there. Deadlines come at their time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

from sagas import store
from sagas.conf import config
from sagas.decisions import choreography, plan
from sagas.decisions.messages import Chain, Deadline, Kick, Link, Message, RemoteCalls
from sagas.engine import lifecycle
from sagas.engine.carrier import do_after_commit
from sagas.engine.claiming import claim
from sagas.engine.performing import perform
from sagas.engine.remote_threads import perform_now
from sagas.models import Run
from sagas.states import FINAL
from sagas.store.runs import Row

#: Who performs, as the log says.
WORKER = "sagas.testing"


class Carrier:
    """Delivers what waits, one message at a time, each once and in order.

    Attributes:
        waiting: cohorts on their way.
        deadlines: when each is to be judged.
        strangers: runs that are none of its concern.
    """

    def __init__(self, strangers: Collection[UUID] = ()) -> None:
        self.strangers = frozenset(strangers)
        self.waiting: list[Chain] = []
        self.deadlines: list[tuple[datetime, Deadline]] = []

    def dispatch(self, now: datetime) -> bool:
        """Do what the dispatcher and the tick do. Return whether anything was due."""
        busy = False
        for lapsed in (False, True):
            with self._without_strangers():
                claimed = claim(lapsed=lapsed)
            self.post(claimed.messages, now)
            busy |= claimed.count > 0
        return busy

    @contextmanager
    def _without_strangers(self) -> Iterator[None]:
        """Leave them where they are: they are of other tests, or of what the project has in its database for all."""
        claimable = store.claims.claimable

        def own(limit: int, **which: Any) -> list[Row]:
            rows = claimable(limit + len(self.strangers), **which)
            return [row for row in rows if row.id not in self.strangers][:limit]

        with patch.object(store.claims, "claimable", own) if self.strangers else nullcontext():
            yield

    def post(self, messages: Sequence[Message], now: datetime) -> None:
        """Take messages to carry."""
        for message in messages:
            match message:
                case Chain():
                    self.waiting.append(message)
                case Deadline():
                    wait = message.within if message.delay is None else message.delay
                    self.deadlines.append((now + timedelta(seconds=wait), message))
                case Kick():
                    pass  # what is due is claimed all the same
                case RemoteCalls():
                    self.post(perform_now(message), now)
                case _:
                    do_after_commit(message)

    def deliver(self, now: datetime) -> bool:
        """Deliver the first message that waits. Return whether there was one."""
        if not self.waiting:
            return False
        self.carry(self.waiting.pop(0), now)
        return True

    def carry(self, chain: Chain, now: datetime) -> None:
        """Deliver one cohort, and take what follows from it."""
        self.post(self.perform(chain), now)

    def perform(self, chain: Chain) -> list[Message]:
        """Have a message performed, and say what follows: a worker that dies here has published nothing of it."""
        following: list[Message] = []
        for link in reacting(chain):
            performed = perform(link, chain.ids, worker=WORKER, issue=chain.issue)
            rest = () if _travels_by_events(chain) else chain.links[1:]
            if rest and performed.survivors:
                following.append(Chain(rest, tuple(performed.survivors)))
            following += performed.messages
        return following

    def judge(self, now: datetime) -> bool:
        """Deliver the deadlines whose time has come. Return whether there were any."""
        due = [deadline for at, deadline in self.deadlines if at <= now]
        self.deadlines = [(at, deadline) for at, deadline in self.deadlines if at > now]
        for late in due:
            self.post(lifecycle.expire(late.saga, late.version, late.confirmation, late.ids, by="message"), now)
        return bool(due)


def living() -> set[UUID]:
    """The runs that have not ended."""
    return set(Run.objects.exclude(state__in=FINAL).values_list("pk", flat=True))


def reacting(chain: Chain) -> Sequence[Link]:
    """Who performs what this message says: its first link; or, where runs travel by events, whoever reacts to it."""
    first = chain.links[0]
    if not _travels_by_events(chain):
        return [first]
    definition = store.definitions.find(first.saga, first.version, first.shape)
    event = chain.event or choreography.trigger(definition, definition.index(first.step), first.phase)
    links = [plan.link(definition, *operation) for operation in choreography.reacting(definition, event)]
    # What was held back comes to the one queue that it was held back for.
    return [link for link in links if not chain.delay or link.queue == first.queue]


def _travels_by_events(chain: Chain) -> bool:
    first = chain.links[0]
    definition = store.definitions.find(first.saga, first.version, first.shape)
    return config().is_choreographed(definition.name, definition.carrier)
