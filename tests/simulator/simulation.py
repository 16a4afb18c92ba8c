"""One schedule, played: time, messages and faults of our own around the engine's real code and a real PostgreSQL.

Everything that a process does is an *activity*: a delivery, a tick, a caller's request. Between its statements, around
its commits, before its publishes and its calls of Redis are *points*, counted from 1; a fault strikes an activity at a
point of it. A stalled activity stands still with its locks, while the time goes on and others act.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from django.db import DatabaseError
from kombu.exceptions import OperationalError as BrokerError

from sagas import dispatch, kick, tasks
from sagas.conf import config
from sagas.messages import Chain, Link
from tests.simulator import outside
from tests.simulator.clock import seconds
from tests.simulator.outside import Parcel
from tests.simulator.session import Blocked, Conflict, Crash, CutOff, Session
from tests.simulator.trace import STRIKES, TRANSIT, Item, Schedule

#: Seconds that a message takes when nothing holds it up.
LATENCY = 0.002
#: After so many seconds a message comes again whose worker has died.
REDELIVERED = 0.05
#: How often a message is delivered before RabbitMQ sets it aside: ``x-delivery-limit``.
DELIVERY_LIMIT = 20
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

#: Where in the code a fault may strike.
_APPLICABLE: dict[str, Callable[[str], bool]] = {
    "crash": lambda _: True,
    "stall": lambda _: True,
    "nack": lambda what: what == "publish",
    "conflict": lambda what: not what.startswith(("redis", "publish", "acked", "COMMIT", "committed")),
    "cut": lambda what: not what.startswith(("redis", "publish", "acked")),
}

_PLACES = {
    "committed": "after COMMIT",
    "acked": "before the ack",
    "publish": "before a publish",
    "redis": "before a command of Redis",
}


_NEXT_BUT_PATIENT = """
SELECT min(due_at) FROM sagas_run AS run WHERE due_at IS NOT NULL
AND NOT (state = 'PENDING' AND EXISTS (SELECT FROM sagas_lock WHERE run_id = run.id)
    AND EXISTS (SELECT FROM sagas_lock JOIN sagas_run AS holder ON run_id = holder.id WHERE holder.state = 'ESCALATED'))
AND NOT (%s AND EXISTS (SELECT FROM sagas_run AS other WHERE other.state = 'ESCALATED'
    AND (other.id = run.parent_id OR other.parent_id IN (run.id, run.parent_id))))
"""


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
    committed: bool = False


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
        self.here = frozenset(schedule.settings.get("here", "").split(",")) - {""}
        self.random = Random(f"{schedule.seed}|engine")
        self.redis = outside.Redis(lambda: self.now, self.point, self._kicked)
        self.names: dict[UUID, str] = {}
        #: The id of the next run, by how deep its starter stands in others that stand still.
        self.next_ids: dict[int, UUID] = {}
        self.broker_away_until = -1.0
        #: Queues whose messages are lost on the way, until when.
        self.leaks: dict[str, float] = {}
        #: Told which activity begins or goes on, and when it has begun.
        self.enters: Callable[[str, float], None] = lambda *_: None
        self._heap: list[tuple[float, int, Activity]] = []
        self._order = count()
        self._numbers: Counter[str] = Counter()
        self._tick_at = 1.0
        self._idle = 1.0
        self._is_kicked = False
        self._blocked: list[Activity] = []
        self._faults: dict[str, list[Item]] = defaultdict(list)
        for item in schedule.items:
            if item.at is None:
                self._faults[item.subject].append(item)
        self._budget = Random(f"{schedule.seed}|budget").choice((1, 2, 3, 5, 8, 12)) if schedule.drawn else 0

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
        name = self.numbered("tick")
        if not self._is_lost(name):
            self.perform(Activity(name, lambda: self._dispatch(tick=True), broke=_may_break))
        # What is still due is locked by somebody who stands still, or is left to other processes.
        still = self._next_due()
        self._idle = min(self._idle * 2, 60.0) if still is not None and still <= self.now else 1.0
        self._tick_at = math.floor(self.now) + self._idle
        return True

    def _next_due(self) -> float | None:
        session = self.sessions[self.depth]
        ((due,),) = session.query("SELECT min(due_at) FROM sagas_run WHERE due_at IS NOT NULL")
        if due is not None and seconds(due) > PATIENCE_IN_LINE:
            # They look again and again, for as long as a person has the other.
            ((due,),) = session.query(_NEXT_BUT_PATIENT, [seconds(due) > PATIENCE])
        return None if due is None else seconds(due)

    # -- activities and faults ----------------------------------------------------------------------------------------

    def perform(self, activity: Activity) -> None:
        """Do something now, and let strike what strikes it."""
        self.tally.activities += 1
        if self.tally.activities > LIMIT:
            msg = f"still busy after {LIMIT} activities"
            raise Stranded(msg)
        session = self.sessions[self.depth]
        running = _Running(activity.name, self._strikes(activity.name), self.now)
        self.running.append(running)
        self._tell(activity.name)
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
        if not self.running[-1].committed:
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
        running.committed = running.committed or what == "committed"
        if not running.strikes:
            return
        for item in running.strikes:
            wanted = item.number("at")
            hits = wanted == running.point or (self.schedule.drawn and wanted < running.point)
            if hits and _APPLICABLE[item.verb](what):
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
        self._tell(f"! {culprit} kills who performs it")
        raise Crash

    def note(self, item: Item, where: str = "") -> None:
        """A fault has struck."""
        self.struck.append(item)
        self.tally.faults[item.verb] += 1
        if where:
            first = where.split(maxsplit=1)[0]
            self.tally.places[f"{item.verb} {_PLACES.get(first, f'before {first}')}"] += 1
        self._tell(f"! {item}{f'  -- {where}' if where else ''}")

    def _tell(self, what: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{self.now:9.3f} {'  ' * self.depth}{what}")

    def complain(self, code: str, sentence: str) -> None:
        """Something is wrong."""
        self.complaints.append((code, sentence))

    def _strikes(self, name: str) -> list[Item]:
        if not self.schedule.drawn:
            return [item for item in self._faults.get(name, ()) if item.verb in STRIKES]
        if self._budget <= 0:
            return []
        random = Random(f"{self.schedule.seed}|{name}")
        if random.random() >= self.schedule.drawn:
            return []
        self._budget -= 1
        verb = random.choices(("crash", "stall", "conflict", "cut", "nack"), (40, 30, 8, 12, 10))[0]
        item = Item(verb, name, None, (("at", str(random.randint(1, 16))),))
        if verb == "stall":
            item = item.having(**{"for": _duration(random)})
        return [item]

    # -- messages -----------------------------------------------------------------------------------------------------

    def called(self, ids: Sequence[UUID]) -> str:
        """A cohort's name: those of its runs."""
        return "+".join(sorted(self.names.get(run_id, "?") for run_id in ids))

    def send(self, parcel: Parcel) -> None:
        """Give a message to the broker."""
        self.point("publish")
        if self.now < self.broker_away_until:
            self.running[-1].struck = True
            raise BrokerError("away")
        parcel.name = self.numbered(parcel.label)
        if self.now < self.leaks.get(parcel.queue, -1.0):
            self.tally.faults["leak"] += 1
            self._tell(f"! {parcel.name} is lost: {parcel.queue} leaks")
            return
        after = LATENCY + parcel.delay
        for item in self._transit(parcel.name):
            self.note(item)
            match item.verb:
                case "lose":
                    return
                case "double":
                    copy = Parcel(**{name: getattr(parcel, name) for name in Parcel.__slots__})
                    copy.name += "~2"
                    self._deliver_after(after + item.number("after"), copy)
                case "delay":
                    after += item.number("by")
        self._deliver_after(after, parcel)

    def _transit(self, name: str) -> list[Item]:
        if not self.schedule.drawn:
            return [item for item in self._faults.get(name, ()) if item.verb in TRANSIT]
        if self._budget <= 0:
            return []
        random = Random(f"{self.schedule.seed}|{name}|transit")
        if random.random() >= self.schedule.drawn * 1.5:
            return []
        self._budget -= 1
        verb = random.choices(TRANSIT, (35, 40, 25))[0]
        match verb:
            case "double":
                return [Item(verb, name, None, (("after", _duration(random)),))]
            case "delay":
                return [Item(verb, name, None, (("by", _duration(random)),))]
        return [Item(verb, name)]

    def _deliver_after(self, after: float, parcel: Parcel) -> None:
        name = f"{parcel.name}!{parcel.deliveries}" if parcel.deliveries else parcel.name
        deliver = {"step": self._step, "event": self._event, "deadline": self._deadline, "dispatch": self._dispatched}
        activity = Activity(
            name,
            lambda: deliver[parcel.kind](parcel),
            lambda: self._again(parcel),
            partial(_may_fail, parcel),
            carried=True,
        )
        self.post(self.now + after, activity)

    def _again(self, parcel: Parcel) -> None:
        """Its worker has died before the ack."""
        parcel.deliveries += 1
        if parcel.deliveries <= DELIVERY_LIMIT:
            self._deliver_after(REDELIVERED, parcel)

    def lose_messages(self) -> None:
        """The broker starts again, empty."""
        self._heap = [entry for entry in self._heap if not entry[2].carried]
        heapq.heapify(self._heap)

    def _task(self, name: str, parcel: Parcel) -> Any:
        """What a task of Celery's finds as ``self``."""
        headers: dict[str, Any] = {tasks.QUEUE_HEADER: parcel.queue}
        if parcel.issue:
            headers[dispatch.ISSUE] = str(parcel.issue)
        if parcel.deliveries:
            headers["x-delivery-count"] = parcel.deliveries
        request = SimpleNamespace(
            id=parcel.name, hostname="simulated", headers=headers, delivery_info={}, chain=list(parcel.rest)
        )
        app = SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from=self.here)))
        return SimpleNamespace(name=name, request=request, app=app)

    def _step(self, parcel: Parcel) -> None:
        task = self._task(dispatch.STEP_TASK, parcel)
        survivors = tasks.step.run.__func__(task, [str(run_id) for run_id in parcel.ids], **parcel.kwargs)
        if survivors and task.request.chain:
            ids = [UUID(run_id) for run_id in survivors]
            self.send(outside.step_parcel(parcel.rest, ids, self.called(ids)))
        self.point("acked")

    def _event(self, parcel: Parcel) -> None:
        task = self._task(dispatch.EVENT_TASK, parcel)
        tasks.event.run.__func__(task, [str(run_id) for run_id in parcel.ids], **parcel.kwargs)
        self.point("acked")

    def _deadline(self, parcel: Parcel) -> None:
        tasks.cancel.run.__func__(self._task(dispatch.CANCEL_TASK, parcel), **parcel.kwargs)
        self.point("acked")

    def _dispatched(self, parcel: Parcel) -> None:
        self._dispatch(tick=False)
        self.point("acked")

    def _dispatch(self, *, tick: bool) -> None:
        task = self._task(dispatch.DISPATCH_TASK, Parcel("dispatch", "tick", name="tick"))
        tasks.dispatch_task.run.__func__(task, tick=tick)

    # -- what the engine is given in place of Celery and Redis --------------------------------------------------------

    def publish_chain(self, message: Chain) -> None:
        """``dispatch._publish_chain``."""
        self.send(outside.chain_parcel(message, self.called(message.ids)))

    def send_task(self, name: str, args: list[Any], kwargs: dict[str, Any], **where: Any) -> None:
        """``dispatch._send``."""
        for parcel in outside.task_parcels(name, args, kwargs, where, self.called):
            self.send(parcel)

    def ask_for_dispatch(self, _app: object, *, tick: bool, delay: float = 0.0) -> None:
        """``dispatch.ask_for_dispatch``."""
        self.send(Parcel("dispatch", "dispatch", delay))

    def pass_on(
        self, name: str, args: list[Any], kwargs: dict[str, Any], *, queue: str, chain: Any, delay: float
    ) -> None:
        """``dispatch.pass_on``: another worker may have the code for it."""
        ids = tuple(map(UUID, args[0]))
        rest: tuple[Link, ...] = tuple(chain or ())
        kind = "step" if name == dispatch.STEP_TASK else "event"
        what = kwargs.get("step") or kwargs.get("event")
        self.send(Parcel(kind, f"passed:{what}({self.called(ids)})", delay, ids, kwargs, rest, queue=queue))

    def new_id(self) -> UUID:
        """What ``uuid7`` gives: the id that a run is to have, whatever was drawn before it; else any."""
        return self.next_ids.pop(self.depth, None) or self.any_id()

    def uniform(self, low: float, high: float) -> float:
        """What ``random.uniform`` gives: the jitter of a retry."""
        return self.random.uniform(low, high)

    def any_id(self) -> UUID:
        """What ``uuid4`` gives."""
        return UUID(int=self.random.getrandbits(128))

    def set_aside(self, what: str, ids: Sequence[UUID], why: str) -> None:
        """``dispatch.set_aside``: all runs of a simulation exist."""
        self.complain("unknown", f"{what}: {why}")

    def _kicked(self) -> None:
        """A worker's main process waits for kicks, and asks for a dispatch unless one is on its way."""
        if not self._is_kicked and not self._is_lost(name := self.numbered("kick")):
            self._is_kicked = True
            self.post(self.now + LATENCY, Activity(name, self._answer_kick, broke=_may_break))

    def _is_lost(self, name: str) -> bool:
        lost = [item for item in self._transit(name) if item.verb == "lose"]
        for item in lost:
            self.note(item)
        return bool(lost)

    def _answer_kick(self) -> None:
        self._is_kicked = False
        if kick.ask():
            self.send(Parcel("dispatch", "dispatch"))

    def numbered(self, label: str) -> str:
        self._numbers[label] += 1
        return f"{label}#{self._numbers[label]}"


def _may_break(error: Exception) -> bool:
    """What a worker outlives: a refusing broker. The message is gone, and the lease finds its runs."""
    return isinstance(error, BrokerError)


def _may_fail(parcel: Parcel, error: Exception) -> bool:
    """What was passed on for a lease, and nobody had the code, is set aside: its runs are found by the tick."""
    passed: int = parcel.kwargs.get("passed", 0)
    return _may_break(error) or (isinstance(error, tasks.Poison) and passed >= config().lease)


def _duration(random: Random) -> str:
    """Seconds: very short, short, about a lease, longer than a deadline, very long."""
    low, high = random.choice(((0.001, 0.02), (0.05, 2), (8, 12), (25, 40), (60, 300)))
    return f"{random.uniform(low, high):.3g}"
