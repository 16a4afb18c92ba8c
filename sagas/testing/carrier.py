"""Carries the engine's messages within this process, in place of Celery, RabbitMQ and Redis.

The engine returns its messages as data and decides by the state of runs in the database, so it behaves here as in
production. Deadlines are delivered when the test's clock reaches their time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

from sagas import store
from sagas.decisions.messages import Chain, Deadline, Kick, Message, RemoteCalls
from sagas.delivery.carrier import do_after_commit
from sagas.engine import lifecycle, shared_decisions
from sagas.engine.claiming import claim
from sagas.engine.delivery import travels_by_events, triggered_links
from sagas.engine.outside.remote_threads import perform_calls_now
from sagas.engine.performing import perform
from sagas.models import Run
from sagas.states import FINAL
from sagas.store.runs import Row
from sagas.store.shared_decisions import Decision

#: The worker's name in the log.
WORKER = "sagas.testing"


class Carrier:
    """Delivers messages one at a time, each once and in order.

    Attributes:
        waiting: cohorts that are not delivered yet.
        deadlines: deadline messages, each with its time.
        excluded: runs that are never claimed.
    """

    def __init__(self, excluded: Collection[UUID] = ()) -> None:
        self.excluded = frozenset(excluded)
        self.waiting: list[Chain] = []
        self.deadlines: list[tuple[datetime, Deadline]] = []

    def dispatch(self, now: datetime) -> bool:
        """Settle decisions and claim what is due, as the dispatcher does. Return whether anything was due."""
        busy = False
        with self._without_excluded():
            more = True
            while more:
                settled = shared_decisions.settle_some()
                self.post(settled.messages, now)
                more = settled.more
        for lapsed in (False, True):
            with self._without_excluded():
                claimed = claim(lapsed=lapsed)
            self.post(claimed.messages, now)
            busy |= claimed.count > 0
        return busy

    @contextmanager
    def _without_excluded(self) -> Iterator[None]:
        """Exclude runs of other tests, and runs that the project has in its test database, from claims."""
        lock_due = store.claims.lock_due

        def lock_own(limit: int, **which: Any) -> list[Row]:
            rows = lock_due(limit + len(self.excluded), **which)
            return [row for row in rows if row.id not in self.excluded][:limit]

        if not self.excluded:
            yield
            return
        lock_undecided = store.shared_decisions.lock_undecided

        def lock_own_undecided(decision: Decision, limit: int) -> list[Row]:
            rows = lock_undecided(decision, limit + len(self.excluded))
            return [row for row in rows if row.id not in self.excluded][:limit]

        with (
            patch.object(store.claims, "lock_due", lock_own),
            patch.object(store.shared_decisions, "lock_undecided", lock_own_undecided),
            patch.object(store.claims, "lease_few", lambda *_, **__: None),
        ):
            yield

    def post(self, messages: Sequence[Message], now: datetime) -> None:
        """Accept messages for delivery."""
        for message in messages:
            match message:
                case Chain():
                    self.waiting.append(message)
                case Deadline():
                    wait = message.within if message.delay is None else message.delay
                    self.deadlines.append((now + timedelta(seconds=wait), message))
                case Kick():
                    pass  # ``dispatch`` claims what is due without kicks
                case RemoteCalls():
                    self.post(perform_calls_now(message), now)
                case _:
                    do_after_commit(message)

    def deliver(self, now: datetime) -> bool:
        """Deliver the first waiting message. Return whether there was one."""
        if not self.waiting:
            return False
        self.deliver_cohort(self.waiting.pop(0), now)
        return True

    def deliver_cohort(self, chain: Chain, now: datetime) -> None:
        """Deliver one cohort, and accept the messages that follow."""
        self.post(self.perform(chain), now)

    def perform(self, chain: Chain) -> list[Message]:
        """Perform a message and return what follows, before it is published: a worker may be killed in between."""
        following: list[Message] = []
        for link in triggered_links(chain):
            performed = perform(link, chain.ids, worker=WORKER, token=chain.token, interruptions=chain.interruptions)
            rest = () if travels_by_events(chain) else chain.links[1:]
            if rest and performed.survivors:
                following.append(Chain(rest, tuple(performed.survivors)))
            following += performed.messages
        return following

    def deliver_deadlines(self, now: datetime) -> bool:
        """Deliver the deadline messages that are due. Return whether there were any."""
        due = [deadline for at, deadline in self.deadlines if at <= now]
        self.deadlines = [(at, deadline) for at, deadline in self.deadlines if at > now]
        for message in due:
            saga, version, name, ids = message.saga, message.version, message.confirmation, message.ids
            self.post(lifecycle.expire_unconfirmed(saga, version, name, ids, by="message"), now)
        return bool(due)


def live_run_ids() -> set[UUID]:
    """Return the ids of all runs that have not ended."""
    return set(Run.objects.exclude(state__in=FINAL).values_list("pk", flat=True))
