"""What must happen behind a commit, as data: publications, which a carrier takes, and what the process does itself.

The engine returns them and does neither, so the same engine runs under Celery chains, under events, and in a simulator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sagas.definition.participants import Call, Phase


@dataclass(frozen=True, slots=True)
class Link:
    """One operation of one step, as a chain carries it.

    Attributes:
        saga: name of the saga.
        version: its version.
        step: name of the step.
        phase: forward, confirm or undo.
        queue: the queue whose workers perform it.
        operation: its name, for people who look into the broker.
        shape: number of the shape of the definition that the runs follow; 0 for the shape of the code that reads it.
    """

    saga: str
    version: int
    step: str
    phase: Phase
    queue: str
    operation: str
    shape: int = 0


@dataclass(frozen=True, slots=True)
class Chain:
    """A cohort on its way: its runs perform the links one after the other.

    Attributes:
        links: the operations, in their order.
        ids: the runs of the cohort.
        delay: seconds for which a delay queue holds the first link back.
        event: the event that led here, if the cohort travels by events and it is known.
        token: the fencing token of the first link, which is higher whenever it is published again. It is made and read
            in ``sagas.redis.compensation_guard``.
        interruptions: how often in a row a lost session, a lapsed lease or a time limit cut the cohort off.
        by_message: whether each link is performed for a message of its own: something of the cohort went wrong before,
            and RabbitMQ counts the deaths of workers by message. See ``sagas.delivery.short_path``.
    """

    links: tuple[Link, ...]
    ids: tuple[UUID, ...]
    delay: float = 0.0
    event: str = ""
    token: int = 0
    interruptions: int = 0
    by_message: bool = False


@dataclass(frozen=True, slots=True)
class Deadline:
    """When ``within`` seconds are over, undo those of the runs whose confirmation has not come.

    ``delay`` (seconds) replaces ``within`` in the message that is sent again because the first one came too early.
    """

    saga: str
    version: int
    confirmation: str
    within: float
    ids: tuple[UUID, ...]
    delay: float | None = None


@dataclass(frozen=True, slots=True)
class Kick:
    """Ask for a dispatch after ``delay`` seconds, when something is due."""

    delay: float = 0.0


#: What a carrier takes to the processes that perform it.
Publication = Chain | Deadline | Kick


@dataclass(frozen=True, slots=True)
class Wake:
    """A run waits at a step for something that has happened: it is due now."""

    run_id: UUID
    step: str


@dataclass(frozen=True, slots=True)
class Unlock:
    """Runs have given up these business keys: the first runs in the lines may begin."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoteCalls:
    """Calls of a remote participant whose INTENT is committed: they are made in threads.

    Attributes:
        link: the operation.
        calls: one a run.
        begun: the runs whose operation was begun before, so that it may have taken effect unreported.
        worker: name of the worker that makes the calls, for the log.
    """

    link: Link
    calls: tuple[Call[Any], ...]
    begun: frozenset[UUID]
    worker: str


#: What the process that has committed does itself.
AfterCommit = Wake | Unlock | RemoteCalls

Message = Publication | AfterCommit
