"""What the engine asks the outside to do: messages as data. Only ``sagas.messaging.publisher`` publishes them.

So the same engine runs under Celery chains, under another carrier, or under a simulator.
"""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Wake:
    """What this step of this run waits for has happened: let it look. Not for the broker: an update of one row."""

    run_id: UUID
    step: str


@dataclass(frozen=True, slots=True)
class Unlock:
    """The lines at these business keys have moved: let who is first begin. Not for the broker, as ``Wake``."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoteCalls:
    """Calls of a remote participant that were begun. Not for the broker: this process makes them, in threads.

    Attributes:
        link: the operation.
        calls: one a run.
        begun: the runs of which it had been begun before, so that it may have taken effect unreported.
        worker: who makes them, for the log.
    """

    link: Link
    calls: tuple[Call[Any], ...]
    begun: frozenset[UUID]
    worker: str


Message = Chain | Deadline | Kick | Wake | Unlock | RemoteCalls
Messages = Sequence[Message]
