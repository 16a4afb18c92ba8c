"""The short path: whoever has performed a link of a chain goes on with the next one itself, without a message.

Each link is a transaction of its own, as if a message had come: the runs are locked and compared again, and read again
unless they are as this process has left them. So a step sees what a redelivery would read. Only what went well so far
takes the short path. A cohort that was delivered again, cut off, bisected or tried again performs one link for each
message (``Chain.by_message``), because RabbitMQ counts the deaths of workers by message.

A run that this process goes on with keeps the claim in its row. If the process dies, the lease lapses as a lease, the
death is counted, and the run never takes the short path again from there. Only the last move before a message says
that nobody has the run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sagas import store
from sagas.conf import config
from sagas.decisions import plan
from sagas.decisions.messages import Chain, Link, Message
from sagas.definition.participants import Location
from sagas.delivery.redelivery import Past, perform_delivery
from sagas.engine.cohort import Performed, TimeUp
from sagas.engine.performing import redeliver_in_halves
from sagas.errors import UnknownSaga, UnknownStep

logger = logging.getLogger(__name__)

#: Seconds after which no further link begins: the other tasks of this process wait.
LONGEST = 0.05


def _now() -> float:
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class ShortPath:
    """How far a process goes on itself. One for each delivery, or for all that a dispatch has claimed.

    Attributes:
        worker: name of the worker, for the log.
        queues: those that it consumes.
        to_the_end: whether it performs all links of a chain that are at these queues, or at any if there are none, for
            as long as that takes: where no message goes to another process.
        began: when the first link began, by ``time.monotonic()``.
    """

    worker: str = ""
    queues: Collection[str] = ()
    to_the_end: bool = False
    began: float = field(default_factory=_now)

    @property
    def is_over(self) -> bool:
        """Whether no further link may begin: other tasks wait for this process, and the runs' leases pass."""
        return _now() - self.began > min(LONGEST, config().lease / 4)

    def may_go_on(self, links: Sequence[Link]) -> bool:
        """Whether this process may perform the first of these links itself.

        Those of forks, of choreographed runs, and of what may take long, always go by messages.
        """
        if not links:
            return False
        if self.to_the_end:
            return not self.queues or links[0].queue in self.queues
        return links[0].queue in self.queues and not self.is_over and _is_quick(links[0])

    def go_on(self, links: Sequence[Link], performed: Performed, *, held: bool) -> list[Message]:
        """Perform the next links for the runs that this process holds, and say what is left to publish.

        Args:
            links: those of the chain behind the one that was performed.
            performed: what became of that one. Its messages are not among those that are returned.
            held: whether it was performed to go on: what ``may_go_on`` said then.

        Returns:
            What follows the links that were performed here, and the chains of the runs that go on by messages.
        """
        messages: list[Message] = []
        while held and links and performed.survivors and not performed.troubled:
            link, ids = links[0], performed.survivors
            held = self.may_go_on(links[1:])
            try:
                performed = perform_delivery(link, ids, Past(), worker=self.worker, held=held, left=performed.left)
            except TimeUp as error:
                # Those that are done are found where they stand.
                messages += error.performed.messages
                performed = Performed(messages=redeliver_in_halves(link, ids), troubled=True)
            except Exception:
                # A worker that gets these runs in a message will find the cause.
                logger.exception("sagas: %d run(s) go on by messages: a step broke on the short path", len(ids))
                return [*messages, Chain(tuple(links), tuple(ids), by_message=True)]
            messages += performed.messages
            links = links[1:]
        if links and performed.survivors:
            messages.append(Chain(tuple(links), tuple(performed.survivors), by_message=performed.troubled))
        return messages


def _is_quick(link: Link) -> bool:
    """Whether an operation is of this database, and of no fork and no choreographed run."""
    try:
        definition = store.definitions.find(link.saga, link.version, link.shape)
        index = definition.index(link.step)
        location = definition.action(index, link.phase).location
    except (UnknownSaga, UnknownStep):
        # Another process has the code.
        return False
    return (
        location is Location.LOCAL
        and not plan.is_fork(definition, index, link.phase)
        and not config().is_choreographed(definition.name, definition.carrier)
    )
