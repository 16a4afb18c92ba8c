"""Perform one operation of a cohort: what a delivery does, and how it goes on where it was interrupted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

from django.db import Error

from sagas import store
from sagas.conf import config
from sagas.db import ConnectionLost, is_transient
from sagas.decisions import plan
from sagas.decisions.messages import Link, Message
from sagas.decisions.plan import Stand
from sagas.definition.participants import Location, Phase
from sagas.engine.cohort import REDELIVER_AFTER, Interrupted, Performed, perform_cohort, record_failure
from sagas.engine.delivery import Delivery, continue_chain, delivery_of, redeliver, sort_by_stand
from sagas.engine.poison import halves
from sagas.postgresql import sessions
from sagas.redis import compensation_guard

logger = logging.getLogger(__name__)

#: Sessions that a run may lose in a row while the server itself went away each time. After that the run may be what
#: ends the server.
CRASHES = 10


class CutOff(Exception):
    """This operation was cut off in the middle, again and again: its session was lost."""


def perform(link: Link, ids: Sequence[UUID], *, worker: str = "", token: int = 0, interruptions: int = 0) -> Performed:
    """Perform ``link`` for those of the runs that stand at it.

    Args:
        link: the operation.
        ids: the cohort; repeats are ignored.
        worker: name of the worker, for the log.
        token: see ``Chain.token``.
        interruptions: how often the cohort was cut off before; see ``Chain.interruptions``.

    Returns:
        The runs that go on, and what to publish.

    Raises:
        ConnectionLost: the database went away; what was committed is not known. ``recover`` says how to go on.
        TimeUp: there was not enough time for so many. Deliver the same again, in halves.
        UnknownSaga: this process does not know the saga.
        UnknownStep: the saga has no such step, or the step has no such operation, or this process lacks it.
    """
    delivery = delivery_of(link, worker)
    performed = Performed()
    ids = sorted(set(ids))
    # A call of a remote participant is only begun here. A child is asked for the same again and again, at once if it is
    # quick. Neither is a duplicate.
    if link.phase is not Phase.UNDO or delivery.action.location in {Location.CHILD, Location.REMOTE}:
        perform_cohort(delivery, ids, performed, token=token, interruptions=interruptions)
        return performed
    guarded = compensation_guard.take(link.step, token, ids)
    try:
        ids = [*guarded.going, *_not_done(delivery, guarded.done, performed)]
        perform_cohort(delivery, ids, performed, token=token, interruptions=interruptions)
    finally:
        guarded.give_back(set(performed.done))
    performed.survivors.sort()
    return performed


def _not_done(delivery: Delivery, ids: Sequence[UUID], performed: Performed) -> list[UUID]:
    """Of runs whose undo is done as Redis remembers, return those for which the database says otherwise.

    The runs are read without locks: it does no harm to continue the chain of a run that has moved on since.
    """
    if not ids:
        return []
    try:
        rows = store.runs.read(ids)
        here, behind = sort_by_stand(delivery, rows)
    except Error as error:
        if is_transient(error):
            raise ConnectionLost from error
        raise
    for place, some in behind.items():
        going, following = continue_chain(delivery, place, some)
        performed.survivors += going
        performed.messages += following
    known = {row.id for row in rows}
    performed.unknown += [run_id for run_id in ids if run_id not in known]
    return [row.id for row in here]


def any_run_at(link: Link, ids: Sequence[UUID]) -> bool:
    """Whether one of these runs stands at this operation now, whether or not this process can perform it."""
    definition = store.definitions.find(link.saga, link.version, link.shape)
    index = definition.index(link.step)
    return any(plan.stand(definition, row.place, index, link.phase) is Stand.HERE for row in store.runs.read(ids))


def redeliver_in_halves(link: Link, ids: Sequence[UUID], *, token: int = 0, interruptions: int = 0) -> list[Message]:
    """Split a cohort that was delivered again: one of its runs may have killed the worker."""
    return [
        redeliver(link, half, 0.0, token=token, interruptions=interruptions + 1) for half in halves(sorted(set(ids)))
    ]


def recover(
    link: Link,
    ids: Sequence[UUID],
    error: ConnectionLost,
    *,
    worker: str = "",
    token: int = 0,
    interruptions: int = 0,
) -> Performed:
    """Say how a delivery goes on whose session was lost: what was committed is not known, and the next one finds out.

    If its runs were locked, one of them may be the cause: its participant computes for longer than the server lets a
    transaction idle, or it breaks the session. So the halves of the cohort are delivered, until that run is alone.
    Alone it has as many tries as a message that kills its workers. If the database itself went away, that counts as
    no attempt; only a run that is there at every crash is given up in the end.

    Args:
        link: the operation.
        ids: the cohort.
        error: what ``perform`` raised.
        worker: as for ``perform``.
        token: as for ``perform``.
        interruptions: as for ``perform``.
    """
    if not isinstance(error, Interrupted):
        return Performed(messages=[redeliver(link, ids, REDELIVER_AFTER, token=token, interruptions=interruptions)])
    performed = error.performed
    if error.left:
        waiting = redeliver(link, error.left, REDELIVER_AFTER, token=token, interruptions=interruptions)
        performed.messages.append(waiting)
    if not error.held:
        return performed
    # Asked on a new session, also where the old one looks as if it were open.
    loss = sessions.Loss(outlived=True, idle=True) if error.session_only else sessions.examine_loss(error.lasted)
    count = interruptions + 1
    if len(error.held) == 1:
        tries = config().deliveries if loss.outlived else max(CRASHES, config().deliveries)
        if (loss.outlived and (error.idle or loss.idle)) or count >= tries:
            return _give_up_lost(link, error, performed, worker=worker, token=token, count=count)
    if loss.outlived:
        logger.warning(
            "sagas: a database session was lost in %s.%s.%s of %d run(s), for the %d. time in a row: %s",
            *(link.saga, link.step, link.operation, len(error.held), count),
            "they are delivered again in halves" if len(error.held) > 1 else "it is delivered again",
        )
    for half in halves(sorted(error.held)):
        performed.messages.append(redeliver(link, half, REDELIVER_AFTER, token=token, interruptions=count))
    return performed


def _give_up_lost(
    link: Link, error: Interrupted, performed: Performed, *, worker: str, token: int, count: int
) -> Performed:
    """Count as a fault of a run that it was alone each time the session was lost."""
    (run_id,) = error.held
    why = CutOff(
        f"cut off {count} time(s) in a row in the middle, the last after {error.lasted:.1f} s: the participant closes "
        "the connection, leaves it idle for longer than idle_in_transaction_session_timeout, or does what ends the "
        f"session ({error})"
    )
    logger.error("sagas: run %s is taken for what cuts off %s.%s.%s", run_id, link.saga, link.step, link.operation)
    try:
        given_up = give_up(link, run_id, why, worker=worker)
    except ConnectionLost:
        given_up = Performed(messages=[redeliver(link, [run_id], REDELIVER_AFTER, token=token, interruptions=count)])
    performed.messages += given_up.messages
    performed.survivors = sorted([*performed.survivors, *given_up.survivors])
    return performed


def give_up(link: Link, run_id: UUID, error: Exception, *, worker: str = "") -> Performed:
    """Count as a fault of a run that it keeps killing its worker, without calling the participant again.

    Raises:
        ConnectionLost: the database went away, or another session has locked the run.
    """
    performed = Performed()
    try:
        record_failure(delivery_of(link, worker), run_id, error, performed)
    except Error as second:
        if is_transient(second):
            raise ConnectionLost from second
        raise
    return performed
