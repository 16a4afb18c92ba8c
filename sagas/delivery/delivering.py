"""What a process does with one delivery: it performs an operation, judges a deadline, or leaves it to other code."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from enum import Enum, auto
from uuid import UUID

from sagas import store
from sagas.conf import config
from sagas.decisions.messages import Chain, Link
from sagas.delivery.carrier import CarrierAway, Carriers, carry_or_leave, start_calls
from sagas.delivery.redelivery import Past, perform_delivery
from sagas.delivery.short_path import ShortPath
from sagas.engine import lifecycle
from sagas.engine.cohort import TimeUp
from sagas.engine.delivery import redeliver, travels_by_events

logger = logging.getLogger(__name__)


def deliver(
    link: Link, ids: Sequence[UUID], later: Sequence[Link], *, past: Past, path: ShortPath, carriers: Carriers
) -> list[UUID]:
    """Perform an operation, and those that follow it as far as the short path goes; carry what follows.

    Args:
        link: the operation.
        ids: the cohort.
        later: what is left of its chain.
        past: what has happened to the delivery before.
        path: how far this process goes on itself.
        carriers: make what takes the publications.

    Returns:
        The runs that go on to the next link of their chain, where they have not been carried there.

    Raises:
        TimeUp: the soft time limit is over; what was done is carried. Deliver the same again, and count: then it is
            split into halves.
        UnknownSaga: this process does not know the saga.
        UnknownStep: the saga has no such step, or the step has no such operation, or this process lacks it.
    """
    held = past.is_fresh and path.may_go_on(later)
    try:
        performed = perform_delivery(link, ids, past, worker=path.worker, held=held)
    except TimeUp as error:
        carry_or_leave(error.performed.messages, carriers)
        raise
    if performed.unknown:
        _set_aside(f"{link.saga}.{link.step}.{link.phase}", performed.unknown, carriers)
    if not later or not (held or (performed.troubled and not past.by_message)):
        # The later links of this chain are as they should be.
        carry_or_leave(performed.messages, carriers)
        return performed.survivors
    # Calls start at once, as the steps that follow may take long, and may end the process.
    messages = start_calls(performed.messages, carriers)
    carry_or_leave([*path.go_on(later, performed, held=held), *messages], carriers)
    return []


def deliver_chain(
    chain: Chain,
    *,
    deaths: int = 0,
    worker: str,
    carriers: Carriers,
    queues: Collection[str] = (),
    leave: Callable[[Sequence[UUID]], object] = lambda _: None,
) -> None:
    """Perform the first operation of a chain, and those that follow, where no message goes to another process.

    If this process dies behind one of the first links, the run's lease lapses, and its death is counted. So a chain of
    choreographed runs is not taken for its event, to which other branches of a fork react too: they have chains of
    their own, and have ended nothing.

    Args:
        chain: the cohort on its way. Its delay is over.
        deaths: how many processes have died at it.
        worker: name of this worker, for the log.
        carriers: make what takes the publications.
        queues: those whose operations this process performs; of all if there are none.
        leave: called with the runs that go on at other queues.
    """
    first = chain.links[0]
    if queues and first.queue not in queues:
        leave(chain.ids)
        return
    later = () if travels_by_events(chain) else chain.links[1:]
    path = ShortPath(worker, queues, to_the_end=True)
    survivors = deliver(first, chain.ids, later, past=Past.of(chain, deaths=deaths), path=path, carriers=carriers)
    if survivors and later:
        # Something has happened to these runs: each link is delivered for itself.
        following = Chain(later, tuple(survivors), by_message=True)
        deliver_chain(following, worker=worker, carriers=carriers, queues=queues, leave=leave)


def deliver_for_itself(link: Link, ids: Sequence[UUID], carriers: Carriers) -> None:
    """Have an operation come in a message of its own, at whose deliveries nothing else can be the cause of a death."""
    carry_or_leave([redeliver(link, ids, 0.0)], carriers)


def _set_aside(what: str, unknown: Sequence[UUID], carriers: Carriers) -> None:
    """Note that runs do not exist. The other runs of the cohort go on even if the carrier refuses the note."""
    why = f"{len(unknown)} run(s) that do not exist"
    logger.error("sagas: %s for %s: set aside", why, what)
    try:
        carriers().set_aside(what, unknown, why)
    except CarrierAway as error:
        logger.warning("sagas: no note of them was left: %s", error)


def judge_deadline(saga: str, version: int, confirmation: str, ids: Sequence[UUID], carriers: Carriers) -> None:
    """Undo those of the runs whose confirmation has not come before its deadline; carry what follows.

    Raises:
        SagaError: no such deadline can be judged here; see ``lifecycle.expire_unconfirmed``.
    """
    messages = lifecycle.expire_unconfirmed(saga, version, confirmation, ids, by="message")
    carry_or_leave(messages, carriers)


class Foreign(Enum):
    """What becomes of a delivery for which this process lacks the code."""

    #: Its runs have ended or wait for a person: a process with the code would drop it, too.
    DROP = auto()
    #: During a rolling deploy another process has the code.
    PASS_ON = auto()
    #: Its runs do not exist; or it was passed on for a lease: by now the tick has found the runs, and counts.
    SET_ASIDE = auto()


def judge_foreign(ids: Sequence[UUID], saga: str, version: int, *, passed: int) -> Foreign:
    """Say what becomes of a delivery for which this process lacks the code.

    Args:
        ids: the cohort.
        saga: name of the saga.
        version: its version.
        passed: how often it was passed on before, once a second.
    """
    awaiting = store.definitions.are_awaiting(ids, saga, version)
    if awaiting is False:
        return Foreign.DROP
    if awaiting is None or passed + 1 > config().lease:
        return Foreign.SET_ASIDE
    return Foreign.PASS_ON
