"""Deadlines that one process gathers: the message of one costs as much as a step of a small cohort.

It costs RabbitMQ and another worker as much again when it comes back. So a process that has published one a moment ago
adds what begins meanwhile to its next one. What it has gathered is lost with it, and nobody misses it: a run whose
deadline no message brings is due in the database ``SAGAS["GRACE"]`` seconds later.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from uuid import UUID

from sagas import runtime
from sagas.conf import config
from sagas.decisions.messages import Deadline

#: Seconds between two messages of the same deadline.
GATHER = 0.2


@dataclass(slots=True)
class Gathered:
    """The runs of one deadline that go out with its next message.

    Attributes:
        ids: the runs.
        since: when the first of them came, by ``time.monotonic()``.
        sent_at: when the last message went out.
    """

    ids: list[UUID] = field(default_factory=list)
    since: float = math.inf
    sent_at: float = -math.inf


def add(deadline: Deadline) -> list[Deadline]:
    """Gather a deadline; return what is to be published now."""
    if deadline.delay is not None:
        # It has come too early, and waits for the rest of its time.
        return [deadline]
    kind = replace(deadline, ids=())
    gathered = runtime.memory.deadlines.setdefault(kind, Gathered())
    # Before it comes to them: what has just begun is in time, however late the others are.
    _leave_late_to_the_tick(gathered)
    gathered.since = min(gathered.since, time.monotonic())
    gathered.ids += deadline.ids
    return _take(kind, gathered)


def take(*, at_once: bool) -> list[Deadline]:
    """What is to be published now: all of it, or what has been gathered for long enough."""
    return [
        # A copy: another thread may add a kind meanwhile.
        due
        for kind, gathered in list(runtime.memory.deadlines.items())
        for due in _take(kind, gathered, at_once=at_once)
    ]


def _take(kind: Deadline, gathered: Gathered, *, at_once: bool = False) -> list[Deadline]:
    _leave_late_to_the_tick(gathered)
    now, size = time.monotonic(), config().cohort
    is_full = at_once or len(gathered.ids) >= size
    if not gathered.ids or (now < gathered.sent_at + GATHER and not is_full):
        return []
    ids = sorted(gathered.ids)
    gathered.ids, gathered.since, gathered.sent_at = [], math.inf, now
    return [replace(kind, ids=tuple(ids[start : start + size])) for start in range(0, len(ids), size)]


def _leave_late_to_the_tick(gathered: Gathered) -> None:
    """Forget runs that have waited so long that the tick judges them first.

    The time of a message begins when it is published: theirs would come after the tick.
    """
    if time.monotonic() > gathered.since + GATHER + config().grace:
        gathered.ids, gathered.since = [], math.inf
