"""What follows a commit of the engine: a carrier takes the publications, and this process does the rest.

A carrier brings publications to the processes that perform them. ``sagas.messaging`` has the one for Celery and
RabbitMQ.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from sagas.decisions.messages import Message, Publication, RemoteCalls, Unlock, Wake
from sagas.engine import lifecycle, locks
from sagas.engine.outside import remote_threads

logger = logging.getLogger(__name__)


class Carrier(Protocol):
    """Takes the publications of one commit."""

    def publish(self, publication: Publication) -> None:
        """Publish it. What is not published is due in the database, and found there."""

    def kick(self) -> None:
        """Have what is due now claimed soon."""


#: Makes the carrier for the publications of one commit.
Carriers = Callable[[], Carrier]


def carry(messages: Iterable[Message], carriers: Carriers) -> None:
    """Publish the publications of one commit and do the rest, in order; remote calls begin first.

    Where one of them breaks, the others are done all the same.

    Raises:
        Exception: what broke first.
    """
    others = start_calls(messages, carriers)
    carrier = carriers()
    failure: Exception | None = None
    for message in others:
        try:
            if isinstance(message, Publication):
                carrier.publish(message)
            elif do_after_commit(message):
                carrier.kick()
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure


def do_after_commit(work: Wake | Unlock) -> bool:
    """Do what no carrier takes, in a transaction of its own; say whether something is due now."""
    if isinstance(work, Wake):
        lifecycle.wake_run(work.run_id, work.step)
        return True
    return locks.wake_next(work.keys)


def start_calls(messages: Iterable[Message], carriers: Carriers) -> list[Publication | Wake | Unlock]:
    """Start the remote calls among the messages; return the other messages.

    A call that nobody makes is a failed attempt of its run once its lease is over. So calls start before a broker is
    asked for anything, which may take seconds.
    """
    others: list[Publication | Wake | Unlock] = []
    for message in messages:
        if not isinstance(message, RemoteCalls):
            others.append(message)
            continue
        try:
            remote_threads.start_remote_calls(message, partial(carry, carriers=carriers))
        except Exception:
            # Perhaps the process may have no more threads. The other messages must not be lost with the calls.
            logger.exception("sagas: %d call(s) could not be made", len(message.calls))
    return others
