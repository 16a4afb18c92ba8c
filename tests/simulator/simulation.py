"""One schedule, played: a time of our own, and faults that strike whoever does something in it.

Everything that a process does is an *activity*: a delivery, a tick, a caller's request. Between its statements, around
its commits, before its publishes and its calls of Redis are *points*, counted from 1; a fault strikes an activity at a
point of it. A stalled activity stands still with its locks, while the time goes on and others act.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from uuid import UUID

from django.db import DatabaseError
from kombu.exceptions import OperationalError as BrokerError

from tests.simulator.chance import Chance
from tests.simulator.clock import seconds
from tests.simulator.session import Blocked, Conflict, Crash, CutOff, Session
from tests.simulator.trace import Item, Schedule
from tests.simulator.waiting import WAITS_FOR_FAMILY, WAITS_FOR_LOCK

#: PostgreSQL ends a transaction of which it has heard nothing for so long (``drinkgroup.settings``).
IDLE_LIMIT = 30.0
#: How many processes may stand still within each other.
DEPTH = 2
#: An honest schedule is over long before: what is not, never will be.
HORIZON = 86_400.0
LIMIT = 3000
#: So long it is played that parent and children wait for each other while one waits for a person; and that a run waits
#: for a key which such a one has.
PATIENCE = 6000.0
PATIENCE_IN_LINE = 300.0

_PLACES = {
    "committed": "after COMMIT",
    "acked": "before the ack",
    "publish": "before a publish",
    "redis": "before a command of Redis",
}


_NEXT = (
    "SELECT LEAST(min(due_at), (SELECT min(decided_at) FROM sagas_shareddecision WHERE settled_at IS NULL)) "
    "FROM sagas_run AS run WHERE due_at IS NOT NULL"
)
_NEXT_BUT_IN_LINE = f"{_NEXT} AND NOT {WAITS_FOR_LOCK}"
_NEXT_BUT_PATIENT = f"{_NEXT_BUT_IN_LINE} AND NOT {WAITS_FOR_FAMILY}"


class Stranded(Exception):
    """Something never comes to its end."""


@dataclass(slots=True)
class Activity:
    """Something that a process does.

    Attributes:
        name: see ``Parcel``; what faults name it by.
        do: does it.
        died: called when its process has died on the way.
        broke: called when it raised; returns whether that may be.
        carried: whether the broker has it, which may lose it.
    """

    name: str
    do: Callable[[], None]
    died: Callable[[], None] = lambda: None
    broke: Callable[[Exception], bool] = lambda _: False
    carried: bool = False


@dataclass(slots=True)
class _Running:
    name: str
    strikes: list[Item]
    began: float
    point: int = 0
    dead: bool = False
    struck: bool = False
    commits: int = 0
    #: Whether it is a delivery that is to perform one link only.
    alone: bool = False


@dataclass(slots=True)
class Tally:
    """What happened in a simulation, in numbers."""

    activities: int = 0
    points: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    #: The same with where they struck, as "crash before COMMIT".
    places: Counter[str] = field(default_factory=Counter)
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Points by activity.
    points_of: Counter[str] = field(default_factory=Counter)


class Simulation:
    """Plays one schedule.

    Args:
        schedule: what is to happen.
        sessions: one for each process that may act while others stand still.
        likely: weights of the faults that are drawn on the way.
    """

    def __init__(self, schedule: Schedule, sessions: Sequence[Session]) -> None:
        self.schedule = schedule
        self.sessions = sessions
        self.now = 0.0
        self.depth = 0
        self.running: list[_Running] = []
        self.tally = Tally()
        #: What is wrong, as (code, sentence).
        self.complaints: list[tuple[str, str]] = []
        #: The faults that have struck.
        self.struck: list[Item] = []
        #: What was done, for people who read a failure.
        self.story: list[str] = []
        self.random = Random(f"{schedule.seed}|engine")
        self.names: dict[UUID, str] = {}
        #: The id of the next run, by how deep its starter stands in others that stand still.
        self.next_ids: dict[int, UUID] = {}
        self.chance = Chance(schedule)
        #: Dispatches what is due.
        self.ticks: Callable[[], None] = lambda: None
        #: Told which activity begins or goes on, and when it has begun.
        self.enters: Callable[[str, float], None] = lambda *_: None
        self._heap: list[tuple[float, int, Activity]] = []
        self._order = count()
        #: Runs with the operation at which a process died that performed it without a message.
        self.died_at: set[tuple[UUID, str, str]] = set()
        self._numbers: Counter[str] = Counter()
        self._tick_at = 1.0
        self._idle = 1.0
        self._blocked: list[Activity] = []

    # -- time ---------------------------------------------------------------------------------------------------------

    def post(self, at: float, activity: Activity) -> None:
        """Have something done at a time."""
        heapq.heappush(self._heap, (at, next(self._order), activity))

    def run(self, end: float = math.inf) -> None:
        """Let the time pass until ``end``; or until nothing is on its way and nothing due.

        Raises:
            Stranded: that never happens.
        """
        while True:
            at = self._heap[0][0] if self._heap else math.inf
            if self._tick_before(min(at, end)):
                continue
            if at > end or at == math.inf:
                break
            _, _, activity = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            self.perform(activity)
        if end < math.inf:
            self.now = max(self.now, end)

    def drop_carried(self) -> None:
        """Forget what the broker has."""
        self._heap = [entry for entry in self._heap if not entry[2].carried]
        heapq.heapify(self._heap)

    def _tick_before(self, at: float) -> bool:
        """Have the tick dispatch what is due, if that is before ``at``. Ticks that would find nothing are left out."""
        if self._tick_at > at:
            return False
        due = self._next_due()
        tick = max(self._tick_at, math.ceil(due)) if due is not None else math.inf
        if tick > at or tick == math.inf:
            if at < math.inf:
                self._tick_at = math.floor(at) + 1.0
            return False
        if tick > HORIZON:
            msg = f"a run is due at {due:g} s only"
            raise Stranded(msg)
        self.now = max(self.now, float(tick))
        self.ticks()
        # What is still due is locked by somebody who stands still, or is left to other processes.
        still = self._next_due()
        self._idle = min(self._idle * 2, 60.0) if still is not None and still <= self.now else 1.0
        self._tick_at = math.floor(self.now) + self._idle
        return True

    def _next_due(self) -> float | None:
        session = self.sessions[self.depth]
        ((due,),) = session.query(_NEXT)
        if due is not None and seconds(due) > PATIENCE_IN_LINE:
            # They look again and again, for as long as a person has the other.
            ((due,),) = session.query(_NEXT_BUT_PATIENT if seconds(due) > PATIENCE else _NEXT_BUT_IN_LINE)
        return None if due is None else seconds(due)

    # -- activities and faults ----------------------------------------------------------------------------------------

    def perform(self, activity: Activity) -> None:
        """Do something now, and let strike what strikes it."""
        self.tally.activities += 1
        if self.tally.activities > LIMIT:
            msg = f"still busy after {LIMIT} activities"
            raise Stranded(msg)
        session = self.sessions[self.depth]
        running = _Running(activity.name, self.chance.strikes(activity.name), self.now)
        self.running.append(running)
        self.tell(activity.name)
        self.enters(running.name, running.began)
        try:
            with session.entered():
                activity.do()
        except Crash:
            session.reset()
            activity.died()
        except Blocked:
            session.reset()
            self._blocked.append(activity)
        except Stranded:
            session.reset()
            raise
        except Exception as error:
            session.reset()
            if not ((running.struck and isinstance(error, DatabaseError | BrokerError)) or activity.broke(error)):
                self.complain("raised", f"{activity.name} raised {type(error).__name__}: {error}")
        finally:
            self.tally.points_of[activity.name] = running.point
            self.running.pop()

    def waits_for_locks(self) -> bool:
        """Whether the activity that runs can be done again from its beginning when a lock is free, or fails."""
        if not self.running[-1].commits:
            return True
        self.running[-1].struck = True
        return False

    def point(self, what: str) -> None:
        """Something is about to happen in the activity that runs: a fault may strike."""
        if not self.running:
            return
        running = self.running[-1]
        if running.dead:
            raise Crash
        running.point += 1
        self.tally.points += 1
        running.commits += what == "committed"
        if not running.strikes:
            return
        for item in running.strikes:
            if self.chance.hits(item, running.point, what):
                running.strikes.remove(item)
                self._strike(item.having(at=running.point), running, what)
                return

    def _strike(self, item: Item, running: _Running, what: str) -> None:
        if item.verb == "stall" and self.depth == DEPTH:
            return
        self.note(item, " ".join(what.split()[: 1 if "SAVEPOINT" in what else 3]))
        running.struck = True
        session = self.sessions[self.depth]
        match item.verb:
            case "crash":
                running.dead = True
                raise Crash
            case "stall":
                self._stall(item.number("for"), session)
            case "conflict":
                raise Conflict("deadlock detected")
            case "cut":
                raise CutOff("server closed the connection unexpectedly")
            case "nack":
                raise BrokerError("refused")

    def _stall(self, duration: float, session: Session) -> None:
        """Stand still, as a process that gets no processor, or waits for its memory; the others go on."""
        end = self.now + duration
        ended = session.in_transaction() and duration > IDLE_LIMIT
        # Lists of what the others meet: theirs is not ours.
        running, self.running = self.running, []
        blocked, self._blocked = self._blocked, []
        self.depth += 1
        try:
            if ended:
                self.run(self.now + IDLE_LIMIT)
                session.end_transactions()
            self.run(end)
        finally:
            self.depth -= 1
            self.running = running
            for activity in self._blocked:
                self.post(self.now, activity)
            self._blocked = blocked
            if running:
                self.enters(running[-1].name, running[-1].began)

    def kill(self, culprit: str) -> None:
        """The process that acts is killed by what it does, as it will be whenever it does it."""
        running = self.running[-1]
        running.struck = running.dead = True
        self.tally.faults["poison"] += 1
        self.tell(f"! {culprit} kills who performs it")
        raise Crash

    def note(self, item: Item, where: str = "") -> None:
        """A fault has struck."""
        self.struck.append(item)
        self.tally.faults[item.verb] += 1
        if where:
            first = where.split(maxsplit=1)[0]
            self.tally.places[f"{item.verb} {_PLACES.get(first, f'before {first}')}"] += 1
        self.tell(f"! {item}{f'  -- {where}' if where else ''}")

    def tell(self, what: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{self.now:9.3f} {'  ' * self.depth}{what}")

    def complain(self, code: str, sentence: str) -> None:
        """Something is wrong."""
        self.complaints.append((code, sentence))

    def numbered(self, label: str) -> str:
        """A name of its own, for one of those that are called so."""
        self._numbers[label] += 1
        return f"{label}#{self._numbers[label]}"

    # -- what the engine draws ----------------------------------------------------------------------------------------

    def new_id(self) -> UUID:
        """What ``uuid7`` gives: the id that a run is to have, whatever was drawn before it; else any."""
        return self.next_ids.pop(self.depth, None) or self.any_id()

    def uniform(self, low: float, high: float) -> float:
        """What ``random.uniform`` gives: the jitter of a retry."""
        return self.random.uniform(low, high)

    def any_id(self) -> UUID:
        """What ``uuid4`` gives."""
        return UUID(int=self.random.getrandbits(128))
