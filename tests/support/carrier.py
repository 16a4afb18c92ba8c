"""Carries the engine's messages in this process, in whatever order and number a test wants.

The engine gives its messages as data; this stands where Celery and RabbitMQ stand otherwise. The database
is the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from uuid import UUID

from django.db import connection

from sagas.db import ConnectionLost
from sagas.decisions.messages import Chain, Deadline, Message, RemoteCalls, Unlock, Wake
from sagas.delivery.carrier import do_after_commit
from sagas.engine.claiming import claim
from sagas.engine.cohort import Performed
from sagas.engine.outside.remote_threads import perform_calls_now
from sagas.engine.performing import perform, recover
from tests.support.runs import make_due


def claim_all(*, lapsed: bool = False) -> list[Message]:
    """Claim until nothing is due."""
    messages: list[Message] = []
    while True:
        claimed = claim(lapsed=lapsed)
        messages += claimed.messages
        if not claimed.count:
            return messages


def chains(messages: Sequence[Message]) -> list[Chain]:
    """The cohorts among the messages."""
    return [message for message in messages if isinstance(message, Chain)]


def deadlines(messages: Sequence[Message]) -> list[Deadline]:
    """The deadlines among the messages."""
    return [message for message in messages if isinstance(message, Deadline)]


def deliver(chain: Chain) -> tuple[Performed, Chain | None]:
    """Perform the first link of a chain; return what became of it, and the chain's rest."""
    performed = perform(
        chain.links[0],
        chain.ids,
        worker="in-process",
        token=chain.token,
        interruptions=chain.interruptions,
    )
    return performed, _rest(chain, performed)


def deliver_or_recover(chain: Chain) -> tuple[Performed, Chain | None]:
    """The same; where the session is lost, what a worker makes of that."""
    try:
        return deliver(chain)
    except ConnectionLost as error:
        connection.close()
        counts = {"token": chain.token, "interruptions": chain.interruptions}
        performed = recover(chain.links[0], chain.ids, error, worker="in-process", **counts)
    return performed, _rest(chain, performed)


def _rest(chain: Chain, performed: Performed) -> Chain | None:
    rest = chain.links[1:]
    return Chain(rest, tuple(performed.survivors)) if rest and performed.survivors else None


def deliver_all(chain: Chain | None) -> Performed:
    """Perform a whole chain, link after link."""
    performed = Performed()
    while chain is not None:
        performed, chain = deliver(chain)
    return performed


class Carrier:
    """Delivers until nothing is left.

    Args:
        copies: how often each message is delivered.
        random: shuffles what waits; without one, messages are delivered as they come.

    ``delivered`` is all that was ever delivered. Parents hear of their children unless ``wakes`` is unset.
    """

    def __init__(self, *, copies: int = 1, random: Random | None = None) -> None:
        self.copies = copies
        self.random = random
        self.wakes = True
        self.waiting: list[Chain] = []
        self.delivered: list[Chain] = []

    def run(self, ids: Sequence[UUID], *, until: Callable[[], bool] = lambda: False, limit: int = 500) -> None:
        """Carry these runs until nothing is due and nothing on its way.

        Deadlines are not carried. Retries are not waited for: their time passes at once.
        """
        for _ in range(limit):
            if until():
                return
            if not self.waiting:
                make_waiting_retries_due(ids)
                self.post(claim_all())
                if not self.waiting:
                    return
            if self.random is not None:
                self.random.shuffle(self.waiting)
            self.deliver(self.waiting.pop(0))
        msg = f"still busy after {limit} messages"
        raise AssertionError(msg)

    def post(self, messages: Sequence[Message]) -> None:
        """Take cohorts to carry."""
        for message in messages:
            if isinstance(message, Chain):
                self.waiting += [message] * self.copies
            elif isinstance(message, Wake | Unlock) and self.wakes:
                do_after_commit(message)
            elif isinstance(message, RemoteCalls):
                self.post(perform_calls_now(message))

    def deliver(self, chain: Chain) -> None:
        """Deliver one cohort, and take what follows from it."""
        self.delivered.append(chain)
        performed, following = deliver_or_recover(chain)
        self.post([*performed.messages, *([following] if following else [])])


def make_waiting_retries_due(ids: Sequence[UUID]) -> None:
    """Let the waits between attempts pass, not those of leases and deadlines."""
    from sagas.models import Run

    runs = Run.objects.filter(pk__in=ids, due_at__isnull=False)
    waiting = list(runs.filter(attempt__gt=0, claims=0).values_list("pk", flat=True))
    # In a fork each branch waits for itself. What was accepted waits for a report, not for an attempt.
    for run in runs.filter(pending__isnull=False):
        assert run.pending is not None
        retries = [w for w in run.pending.values() if w["failed"] and w["until"] and not w["operation"]]
        for wait in retries:
            wait["until"] = 0
        if retries:
            run.save(update_fields=["pending"])
            waiting.append(run.pk)
    make_due(waiting)
