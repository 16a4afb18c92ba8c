"""What follows a commit of the engine: a carrier takes the publications, and this process does the rest.

A carrier brings publications to the processes that perform them. ``sagas.messaging`` has the one for Celery and
RabbitMQ, and ``sagas.local`` the one without a broker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol
from uuid import UUID

from django.db import Error, connection

from sagas.db import describe_error, is_lost
from sagas.decisions.messages import Message, Publication, RemoteCalls, Unlock, Wake
from sagas.engine import lifecycle, locks
from sagas.engine.outside import remote_threads
from sagas.escalations.notices import Notification

logger = logging.getLogger(__name__)


class CarrierAway(Exception):
    """The carrier takes nothing now: its broker is away or refuses. The text says why, in one line."""


class Carrier(Protocol):
    """Takes what follows one commit. Each method may raise ``CarrierAway``."""

    def publish(self, publication: Publication) -> None:
        """Publish it. What is not published is due in the database, and found there."""

    def kick(self) -> None:
        """Have what is due now claimed soon."""

    def notify(self, notice: Notification) -> None:
        """Have people notified of escalations, or of an error budget that burns."""

    def is_congested(self) -> bool:
        """Whether so much is on its way that new runs must wait in the database."""

    def set_aside(self, what: str, ids: Sequence[UUID], why: str) -> None:
        """Keep, where a person can see it, what cannot be performed."""


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


def carry_or_leave(messages: Sequence[Message], carriers: Carriers) -> None:
    """Do the same. What cannot be published or done is due in the database, and the tick finds it."""
    try:
        carry(messages, carriers)
    except CarrierAway as error:
        logger.warning("sagas: %d message(s) left to the tick: %s", len(messages), error)
    except Error as error:
        # Another run is to be woken, and it is locked, or the database is away.
        if is_lost(error):
            connection.close()
        logger.warning("sagas: some of %d message(s) left to the tick: %s", len(messages), describe_error(error))
    except Exception:
        # The runs that go on to the next link must not be lost with it.
        logger.exception("sagas: some of %d message(s) left to the tick", len(messages))


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
