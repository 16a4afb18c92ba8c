"""Perform one operation of a cohort: what a delivery does, and how it goes on where it was interrupted."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from django.db import Error

from sagas import log_context, store
from sagas.conf import config
from sagas.db import ConnectionLost, is_transient
from sagas.decisions import plan
from sagas.decisions.messages import Link, Message
from sagas.decisions.plan import Stand
from sagas.definition.participants import Location, Phase
from sagas.engine import compressed
from sagas.engine.cohort import REDELIVER_AFTER, Interrupted, Performed, TimeUp, perform_cohort, record_failure
from sagas.engine.delivery import Delivery, continue_chain, delivery_of, redeliver, sort_by_stand, unknown_of
from sagas.engine.poison import halves
from sagas.postgresql import sessions
from sagas.redis import compensation_guard

logger = logging.getLogger(__name__)

#: Sessions that a run may lose in a row while the server itself went away each time. After that the run may be what
#: ends the server.
CRASHES = 10


class CutOff(Exception):
    """This operation was cut off in the middle, again and again: its session was lost."""


def perform(
    link: Link,
    ids: Sequence[UUID],
    *,
    worker: str = "",
    token: int = 0,
    interruptions: int = 0,
    held: bool = False,
    left: Mapping[UUID, store.runs.Row] = store.runs.NONE_LEFT,
) -> Performed:
    """Perform ``link`` for those of the runs that stand at it.

    Args:
        link: the operation.
        ids: the cohort; repeats are ignored.
        worker: name of the worker, for the log.
        token: see ``Chain.token``.
        interruptions: how often the cohort was cut off before; see ``Chain.interruptions``.
        held: whether this process means to go on with the runs that are done; see ``sagas.delivery.short_path``.
        left: the runs as this process has left them at the link before; see ``Performed.left``.

    Returns:
        The runs that go on, and what to publish.

    Raises:
        ConnectionLost: the database went away; what was committed is not known. ``recover`` says how to go on.
        TimeUp: there was not enough time for so many. Deliver the same again, in halves.
        UnknownSaga: this process does not know the saga.
        UnknownStep: the saga has no such step, or the step has no such operation, or this process lacks it.
    """
    ids = sorted(set(ids))
    with log_context.of(link.saga, link.step, ids):
        return _perform_guarded(
            delivery_of(link, worker, held=held), ids, token=token, interruptions=interruptions, left=left
        )


def _perform_guarded(
    delivery: Delivery, ids: list[UUID], *, token: int, interruptions: int, left: Mapping[UUID, store.runs.Row]
) -> Performed:
    """Perform it; an undo behind the guard in Redis."""
    performed = Performed()
    # A call of a remote participant is only begun here. A child is asked for the same again and again, at once if it is
    # quick. Neither is a duplicate.
    if delivery.phase is not Phase.UNDO or delivery.action.location in {Location.CHILD, Location.REMOTE}:
        _perform(delivery, ids, performed, token=token, interruptions=interruptions, left=left)
        return performed
    guarded = compensation_guard.take(delivery.step.name, token, ids)
    try:
        ids = [*guarded.going, *_not_done(delivery, guarded.done, performed)]
        if performed.troubled:
            delivery = replace(delivery, held=False)
        _perform(delivery, ids, performed, token=token, interruptions=interruptions, left=left)
    finally:
        guarded.give_back(set(performed.done))
    performed.survivors.sort()
    return performed


def _perform(
    delivery: Delivery,
    ids: Sequence[UUID],
    performed: Performed,
    *,
    token: int,
    interruptions: int,
    left: Mapping[UUID, store.runs.Row],
) -> None:
    """Perform the operation, with those that follow it where the saga is compressed and nothing went wrong before."""
    ordinary = list(ids)
    if ids and not interruptions and not compensation_guard.comes_again(token):
        links = compressed.links_of(delivery)
        if len(links) > 1:
            ordinary = _perform_compressed(delivery, links, ids, performed)
            if ordinary:
                # Something is wrong with one of them, or was before.
                performed.troubled = True
                delivery = replace(delivery, held=False)
    if ordinary:
        perform_cohort(delivery, ordinary, performed, token=token, interruptions=interruptions, left=left)


def _perform_compressed(
    delivery: Delivery, links: Sequence[Link], ids: Sequence[UUID], performed: Performed
) -> list[UUID]:
    """Perform all that follows in one transaction, in parts; return the runs that must go the ordinary way."""
    left: list[UUID] = []
    size = compressed.part_size(links, delivery.worker)
    for start in range(0, len(ids), size):
        part = ids[start : start + size]
        try:
            whole = compressed.perform_compressed(links, part, worker=delivery.worker)
        except TimeUp as error:
            raise TimeUp(performed) from error
        if whole is None:
            left += part
        else:
            performed.add(whole)
    return left


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
    # A repeat, as in ``cohort``: nobody has claimed these runs, so that nobody would count the process that they end.
    performed.troubled = bool(behind)
    for place, some in behind.items():
        going, following = continue_chain(delivery, place, some)
        performed.survivors += going
        performed.messages += following
    known = {row.id for row in rows}
    performed.unknown += unknown_of(delivery.definition.name, [run_id for run_id in ids if run_id not in known])
    return [row.id for row in here]


def any_run_at(link: Link, ids: Sequence[UUID]) -> bool:
    """Whether one of these runs stands at this operation now, whether or not this process can perform it."""
    definition = store.definitions.find(link.saga, link.version, link.shape)
    index = definition.index(link.step)
    return any(plan.stand(definition, row.place, index, link.phase) is Stand.HERE for row in store.runs.read(ids))


def is_due_at(link: Link, ids: Sequence[UUID]) -> bool:
    """Whether one of these runs would be performed by a delivery of this operation now. Nothing is locked."""
    here, _ = sort_by_stand(delivery_of(link, ""), store.runs.read(ids))
    return bool(here)


def sort_by_waits(links: Sequence[Link], ids: Sequence[UUID]) -> list[Link]:
    """Operations that may be performed at the same time, those last of which a run has waited: they came later."""
    waited = store.runs.ends_of_waits(store.runs.read(ids))
    return sorted(links, key=lambda link: waited.get(link.step, 0.0))


def may_be_compressed(link: Link) -> bool:
    """Whether a delivery of this operation to which nothing has happened performs others in the same transaction."""
    return len(compressed.links_of(delivery_of(link, ""))) > 1


def redeliver_in_halves(link: Link, ids: Sequence[UUID], *, token: int = 0, interruptions: int = 0) -> list[Message]:
    """Split a cohort that was delivered again: one of its runs may have killed the worker.

    The runs that have gone on along the chain are delivered where they stand: there the worker may have died.
    """
    here, ahead = sort_along_chain(link, ids)
    messages: list[Message] = [
        redeliver(link, half, 0.0, token=token, interruptions=interruptions + 1) for half in halves(here)
    ]
    return messages + go_on_where_they_stand(ahead)


def sort_along_chain(link: Link, ids: Sequence[UUID]) -> tuple[list[UUID], dict[Link, list[UUID]]]:
    """Of a cohort that was delivered again, return the runs that have gone on along its chain, by where they stand.

    The runs are read without locks: each delivery that follows compares them again.

    Returns:
        All other runs; and those that stand at a later link of the chain, by that link.
    """
    definition = store.definitions.find(link.saga, link.version, link.shape)
    index = definition.index(link.step)
    ids = sorted(set(ids))
    if plan.is_fork(definition, index, link.phase) or config().is_choreographed(definition.name, definition.carrier):
        return ids, {}
    later = plan.links_from(definition, index, link.phase)[1:]
    try:
        places = store.runs.by_place(store.runs.read(ids))
    except Error as error:
        if is_transient(error):
            raise ConnectionLost from error
        raise
    ahead: dict[Link, list[UUID]] = {}
    for place, rows in places.items():
        for behind in later:
            if plan.stand(definition, place, definition.index(behind.step), behind.phase) is Stand.HERE:
                some = [row.id for row in rows if (row.saga, row.version) == (link.saga, link.version)]
                ahead.setdefault(behind, []).extend(some)
    moved = {run_id for some in ahead.values() for run_id in some}
    return [run_id for run_id in ids if run_id not in moved], ahead


def go_on_where_they_stand(ahead: Mapping[Link, Sequence[UUID]]) -> list[Message]:
    """Deliver runs at these links, in halves: one of them may have killed the worker there."""
    return [
        redeliver(link, half, 0.0, interruptions=1)
        for link, some in ahead.items()
        for half in (halves(sorted(some)) if some else [])
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
        waiting = redeliver(link, ids, REDELIVER_AFTER, token=token, interruptions=interruptions)
        return Performed(messages=[waiting], troubled=True)
    performed = error.performed
    performed.troubled = True
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
            "sagas: a database session was lost in %s.%s.%s of %d run(s), the %d. interruption in a row: %s",
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
        f"interrupted {count} time(s) in a row, the last time cut off in the middle after {error.lasted:.1f} s: the "
        "participant closes the connection, leaves it idle for longer than idle_in_transaction_session_timeout, or "
        f"does what ends the session ({error})"
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
