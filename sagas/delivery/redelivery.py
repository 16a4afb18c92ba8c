"""Perform an operation that may have been delivered before: a process may have died at it, or lost its session.

A cohort that was delivered again is split into halves, until the run is alone that ends its process. Alone it is given
up after ``SAGAS["DELIVERIES"]`` deaths: its operation counts as a fault.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from sagas import store
from sagas.conf import config
from sagas.db import ConnectionLost, describe_error
from sagas.decisions.messages import Chain, Link
from sagas.engine.cohort import Performed
from sagas.engine.performing import (
    give_up,
    go_on_where_they_stand,
    may_be_compressed,
    perform,
    recover,
    redeliver_in_halves,
    sort_along_chain,
)
from sagas.redis import compensation_guard

logger = logging.getLogger(__name__)


class WorkerKilled(Exception):
    """Processes died at this operation more than once, and left no error."""


@dataclass(frozen=True, slots=True)
class Past:
    """What has happened to a delivery before.

    Attributes:
        token: see ``Chain.token``.
        interruptions: see ``Chain.interruptions``.
        by_message: see ``Chain.by_message``.
        deaths: how often it was delivered before to a process that died, vanished or was cut off.
    """

    token: int = 0
    interruptions: int = 0
    by_message: bool = False
    deaths: int = 0

    @classmethod
    def of(cls, chain: Chain, *, deaths: int = 0) -> Past:
        """What a chain says of its first link."""
        return cls(chain.token, chain.interruptions, chain.by_message, deaths)

    @property
    def is_fresh(self) -> bool:
        """Whether nothing has happened."""
        return not (self.deaths or self.interruptions or self.by_message)


def perform_delivery(
    link: Link,
    ids: Sequence[UUID],
    past: Past,
    *,
    worker: str,
    held: bool = False,
    left: Mapping[UUID, store.runs.Row] = store.runs.NONE_LEFT,
) -> Performed:
    """Perform an operation; where the session is lost, say how the delivery goes on.

    Args:
        link: the operation.
        ids: the cohort.
        past: what has happened to the delivery before.
        worker: name of this worker, for the log.
        held: see ``performing.perform``.
        left: see ``performing.perform``.

    Raises:
        TimeUp: as ``performing.perform``.
        UnknownSaga: as ``performing.perform``.
        UnknownStep: as ``performing.perform``.
    """
    try:
        return _perform(link, ids, past, worker=worker, held=held, left=left)
    except ConnectionLost as error:
        # Whether it was committed is not known. The next delivery finds out, when the database is back.
        connection.close()
        logger.warning(
            "sagas: %d run(s) come again at %s.%s: %s", len(ids), link.saga, link.step, describe_error(error)
        )
        return recover(link, ids, error, worker=worker, token=past.token, interruptions=past.interruptions)


def _perform(
    link: Link, ids: Sequence[UUID], past: Past, *, worker: str, held: bool, left: Mapping[UUID, store.runs.Row]
) -> Performed:
    if not past.deaths:
        return perform(
            link, ids, worker=worker, token=past.token, interruptions=past.interruptions, held=held, left=left
        )
    # A process died or was cut off while it had this delivery. If one run is the cause, the halves show which.
    if len(ids) > 1:
        return Performed(messages=redeliver_in_halves(link, ids, token=past.token, interruptions=past.interruptions))
    ids, ahead = sort_along_chain(link, ids)
    if ahead:
        # The process died behind this link: what it may have died of has yet to be counted.
        return Performed(messages=go_on_where_they_stand(ahead))
    # The first process may have died at any operation of its one transaction.
    deaths = past.deaths - may_be_compressed(link)
    if deaths >= config().deliveries:
        why = WorkerKilled(f"{deaths} processes died at it, vanished, or did not end it in time")
        return give_up(link, ids[0], why, worker=worker)
    token = compensation_guard.token_after(past.token, past.deaths)
    performed = perform(link, ids, worker=worker, token=token, interruptions=past.interruptions)
    performed.troubled = True
    return performed
