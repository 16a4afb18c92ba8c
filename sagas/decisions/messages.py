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

    ``queue`` is where it is performed; ``operation`` is only for people who read the broker. ``shape`` is the number
    of the definition's shape that the runs follow; 0 for that of the code which reads it.
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

    ``delay`` (seconds) holds the first link back in a delay queue. ``event`` is what led here, where the cohort
    travels by events and it is known. ``issue`` says for which issue of the first link's operation it is: what is
    published again, for whatever reason, has a higher one; see ``store.runs.Row.issue``. ``interruptions`` says how
    often in a row its cohort was cut off in the middle, by a lost session, a lapsed lease or a time limit.
    """

    links: tuple[Link, ...]
    ids: tuple[UUID, ...]
    delay: float = 0.0
    event: str = ""
    issue: int = 0
    interruptions: int = 0


@dataclass(frozen=True, slots=True)
class Deadline:
    """Look at these runs again when ``within`` seconds are over: is the confirmation there?

    ``delay`` (seconds), where given, replaces ``within``: a deadline that was judged early is armed again.
    """

    saga: str
    version: int
    confirmation: str
    within: float
    ids: tuple[UUID, ...]
    delay: float | None = None


@dataclass(frozen=True, slots=True)
class Kick:
    """Something is due after ``delay`` seconds: ask for a dispatch then."""

    delay: float = 0.0


#: What a carrier takes to those who perform it.
Publication = Chain | Deadline | Kick


@dataclass(frozen=True, slots=True)
class Wake:
    """A run waits at a step for something that has happened: it is due now."""

    run_id: UUID
    step: str


@dataclass(frozen=True, slots=True)
class Unlock:
    """Runs have left the lines at these business keys: those who are first now may begin."""

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
