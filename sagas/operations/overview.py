"""The overview: what is under way, what stands still, and who is at work. It is read, and nothing is changed.

Each server is asked on its own, so that one that is away does not hide what the others show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sagas import store
from sagas.conf import config
from sagas.db import describe_error
from sagas.decisions import plan
from sagas.definition import registry
from sagas.errors import UnknownSaga
from sagas.redaction import redact
from sagas.requirements import extras, software
from sagas.states import State
from sagas.store.overview import Called, Ended, OpenBreaker, Standing, WorkerSeen

if TYPE_CHECKING:
    from sagas.messaging.gauges import Depth


@dataclass(frozen=True, slots=True)
class Place:
    """Runs of a saga that stand at the same operation.

    Attributes:
        at: step and operation that come next, of a fork those of its branches; or the confirmations that are waited
            for, without an operation. Empty where this process does not know the saga.
        oldest: when the first of them was started.
        overdue: since when one of them is due that nobody claims; ``None`` if none is.
        retried: how many have failed here, and are tried again.
        lapsed: how many were claimed, and were not moved within their lease.
    """

    saga: str
    state: State
    at: tuple[tuple[str, str], ...]
    number: int
    oldest: datetime
    overdue: datetime | None
    retried: int
    lapsed: int


@dataclass(frozen=True, slots=True)
class Broker:
    """What RabbitMQ has.

    Attributes:
        queues: those of steps, then the one of dead letters.
        error: why there is nothing of them; empty if RabbitMQ has answered.
    """

    queues: Sequence[Depth] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """All of it.

    Attributes:
        at: the database's time.
        states: runs by state, of all sagas; escalated ones, too.
        capped: whether more runs are under way than are counted.
        unassigned: open escalations that are nobody's.
        ended: runs of the last hour, by saga and state; counted some seconds later.
        broker: ``None`` if there is none.
        outbox: since when the oldest event waits that is not published; ``None`` if none does.
        dead_events: events that a listener could not take.
    """

    at: datetime
    states: dict[State, int]
    places: Sequence[Place]
    capped: bool
    escalations: Sequence[Called]
    unassigned: int
    breakers: Sequence[OpenBreaker]
    ended: Sequence[Ended]
    workers: Sequence[WorkerSeen]
    broker: Broker | None
    outbox: datetime | None
    dead_events: int

    def assigned_to(self, person: str) -> int:
        """How many open escalations are a person's."""
        return sum(called.number for called in self.escalations if called.assignee == person)


def look() -> Overview:
    """Look at the database, then at RabbitMQ."""
    sagas = sorted({definition.name for definition in registry.all_definitions()})
    seen = store.overview.look(sagas, silent=store.workers.SILENT)
    places = list(_places(seen.standings))
    states: dict[State, int] = {}
    for place in places:
        states[place.state] = states.get(place.state, 0) + place.number
    if escalated := sum(called.number for called in seen.called):
        states[State.ESCALATED] = escalated
    return Overview(
        at=seen.at,
        states={state: states[state] for state in State if state in states},
        places=places,
        capped=seen.capped,
        escalations=seen.called,
        unassigned=sum(called.number for called in seen.called if not called.assignee),
        breakers=seen.breakers,
        ended=seen.ended,
        workers=seen.workers,
        broker=_broker(),
        outbox=seen.outbox,
        dead_events=seen.dead_events,
    )


def _places(standings: Iterable[Standing]) -> Iterable[Place]:
    """Put together what stands at one operation, of several versions and shapes, too."""
    found: dict[tuple[str, State, tuple[tuple[str, str], ...]], Place] = {}
    for one in standings:
        state = State(one.state)
        key = (one.saga, state, _operations(one, state))
        known = found.get(key)
        if known is None:
            found[key] = Place(*key, one.number, one.oldest, one.overdue, one.retried, one.lapsed)
        else:
            found[key] = Place(
                *key,
                known.number + one.number,
                min(known.oldest, one.oldest),
                min(filter(None, (known.overdue, one.overdue)), default=None),
                known.retried + one.retried,
                known.lapsed + one.lapsed,
            )
    order = list(State)
    return sorted(found.values(), key=lambda place: (place.saga, order.index(place.state), place.at))


def _operations(one: Standing, state: State) -> tuple[tuple[str, str], ...]:
    try:
        definition = store.definitions.find(one.saga, one.version, one.shape)
    except UnknownSaga:
        return ()
    if state is State.AWAITING_CONFIRM:
        return tuple((confirmation.name, "") for confirmation in definition.confirmations)
    chains = plan.next_chains(definition, plan.Place(state, one.cursor, one.fork))
    return tuple((links[0].step, links[0].operation) for links in chains)


def _broker() -> Broker | None:
    if config().broker is None:
        return None
    if extras.celery() or any(software.broker()):
        return Broker(error="Celery is not installed, or CELERY_BROKER_URL names no RabbitMQ")
    # Without a broker none of these packages need be installed.
    from kombu.exceptions import OperationalError  # noqa: PLC0415

    from sagas.messaging import gauges, topology  # noqa: PLC0415
    from sagas.messaging.publisher import is_from_broker  # noqa: PLC0415

    try:
        return Broker(gauges.depths([*config().queues, topology.DEAD]))
    except (OperationalError, OSError) as error:
        if not is_from_broker(error):
            raise
        return Broker(error=redact(describe_error(error)))
