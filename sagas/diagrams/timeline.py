"""What a run has done when, as intervals: attempts, waits by what is waited for, and events. Read off its log. Pure.

A row of the log is written when something ended, or when a call of another system began. So an attempt begins as long
before its row as its participant took, or at the row that says that it was begun. What lies between two attempts is a
wait, and what came before it tells for what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from heapq import heapify, heappop, heappush
from typing import Protocol

from sagas.decisions.ahead import Ahead
from sagas.states import State


class Lane(StrEnum):
    """Where something is drawn: with the run, on its way forward, or on its way back."""

    RUN = "run"
    FORWARD = "forward"
    BACK = "back"


class WaitKind(StrEnum):
    """For what a run waits."""

    #: For a worker, behind other runs.
    QUEUE = "queue"
    #: For its next attempt, after a failure.
    BACKOFF = "backoff"
    #: For the report of a participant that has accepted the operation.
    REPORT = "report"
    #: For a confirmation.
    CONFIRMATION = "confirmation"
    #: For a person.
    PERSON = "person"


#: The outcome of an attempt that has not ended; the others are those of the log.
RUNNING = "RUNNING"
_BACK = frozenset({"cancel", "compensate"})
#: Events that end the wait for confirmations.
_DECIDES = frozenset({"confirmation", "expire", "refuse", "cancel", "timeout"})


class Entry(Protocol):
    """A row of the log."""

    step: str
    operation: str
    outcome: str
    attempt: int
    at: datetime
    duration_us: int

    @property
    def performed_by(self) -> str:
        """Who performed it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of an operation. Its ``outcome`` is that of the log, or ``RUNNING``."""

    step: str
    operation: str
    number: int
    start: datetime
    end: datetime
    outcome: str

    @property
    def lane(self) -> Lane:
        """The way forward or back."""
        return lane_of(self.operation)


@dataclass(frozen=True, slots=True)
class Wait:
    """A time in which nothing was done. ``step`` is "" if the whole run waits. An open one has not ended."""

    kind: WaitKind
    step: str
    lane: Lane
    start: datetime
    end: datetime
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """An event in the life of the run, such as a confirmation or a cancellation."""

    name: str
    step: str
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Escalated:
    """For how long a run waited for a person; ``end`` is ``None`` while it does."""

    start: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the log does not say of a run.

    Attributes:
        state: of the run.
        created_at: when it was accepted.
        finished_at: when it ended.
        now: the present.
        deadline: when the next missing confirmation is too late; ``None`` if the run is decided.
        steps: the names of its steps in order, with those that take confirmations back.
        before_pivot: those that must be done before it waits for confirmations.
        ahead: what it still has to do.
        skipped: those of the steps that it leaves out.
        next_attempts: by step, when an operation that has failed is tried again.
        escalated: when it waited for people.
    """

    state: State
    created_at: datetime
    finished_at: datetime | None
    now: datetime
    deadline: datetime | None = None
    steps: tuple[str, ...] = ()
    before_pivot: frozenset[str] = frozenset()
    ahead: tuple[Ahead, ...] = ()
    skipped: frozenset[str] = frozenset()
    next_attempts: Mapping[str, datetime] = field(default_factory=dict)
    escalated: tuple[Escalated, ...] = ()

    @property
    def end(self) -> datetime:
        """When the picture ends: when the run did, or now."""
        return self.finished_at or max(self.now, self.created_at)


@dataclass(frozen=True, slots=True)
class Timeline:
    """All of it, each in the order of time."""

    attempts: tuple[Attempt, ...]
    waits: tuple[Wait, ...]
    marks: tuple[Mark, ...]

    def longest(self, kind: WaitKind) -> timedelta:
        """The time that the run has waited so, in all."""
        return sum((wait.end - wait.start for wait in self.waits if wait.kind is kind), timedelta())


def lane_of(operation: str) -> Lane:
    """The way on which an operation is."""
    return Lane.BACK if operation in _BACK else Lane.FORWARD


def build(facts: Facts, entries: Iterable[Entry]) -> Timeline:
    """Read a log, oldest first."""
    attempts, reports, marks = _read(facts, entries)
    waits = [*reports, *_waits_for_people(facts), *_waits_for_confirmations(facts, attempts, marks)]
    waits += _waits_between(facts, attempts, marks, waits)
    waits += _waits_now(facts, attempts, marks, waits)
    return Timeline(
        tuple(sorted(attempts, key=lambda attempt: (attempt.start, attempt.end))),
        tuple(sorted((w for w in waits if w.end > w.start), key=lambda wait: (wait.start, wait.end))),
        tuple(marks),
    )


def _read(facts: Facts, entries: Iterable[Entry]) -> tuple[list[Attempt], list[Wait], list[Mark]]:
    attempts: list[Attempt] = []
    reports: list[Wait] = []
    marks: list[Mark] = []
    called: dict[tuple[str, str], Entry] = {}
    accepted: dict[tuple[str, str], Entry] = {}

    def end_call(key: tuple[str, str], at: datetime, outcome: str) -> None:
        begun = called.pop(key)
        attempts.append(Attempt(*key, begun.attempt, begun.at, max(at, begun.at), outcome))

    for entry in entries:
        key = entry.step, entry.operation
        if entry.outcome == "EVENT":
            for other in [other for other in called if entry.operation == "not_yet" and other[0] == entry.step]:
                end_call(other, entry.at, "INTENT")
            marks.append(Mark(entry.operation, entry.step, entry.at, entry.performed_by))
            continue
        if key in called:
            # A second call: the answer to the first one was never learnt.
            end_call(key, entry.at, entry.outcome)
        elif key in accepted and entry.outcome != "INTENT":
            since = accepted[key].at
            reports.append(Wait(WaitKind.REPORT, entry.step, lane_of(entry.operation), since, entry.at))
            attempts.append(Attempt(*key, entry.attempt, entry.at, entry.at, entry.outcome))
        elif entry.outcome != "INTENT":
            start = max(entry.at - timedelta(microseconds=entry.duration_us), facts.created_at)
            attempts.append(Attempt(*key, entry.attempt, min(start, entry.at), entry.at, entry.outcome))
        accepted.pop(key, None)
        if entry.outcome == "INTENT":
            called[key] = entry
        elif entry.outcome == "ACCEPTED":
            accepted[key] = entry
    for key in list(called):
        end_call(key, facts.end, RUNNING if facts.finished_at is None else "INTENT")
    for (step, operation), entry in accepted.items():
        still = facts.finished_at is None
        reports.append(Wait(WaitKind.REPORT, step, lane_of(operation), entry.at, facts.end, is_open=still))
    return attempts, reports, marks


def _waits_for_people(facts: Facts) -> list[Wait]:
    return [
        Wait(WaitKind.PERSON, "", Lane.RUN, each.start, each.end or facts.end, is_open=each.end is None)
        for each in facts.escalated
    ]


def _waits_for_confirmations(facts: Facts, attempts: Sequence[Attempt], marks: Sequence[Mark]) -> list[Wait]:
    """From the end of the last step before the pivot to what decided the run, or until now."""
    done = {
        a.step: a.end for a in attempts if a.lane is Lane.FORWARD and a.operation != "confirm" and a.outcome == "DONE"
    }
    if not facts.before_pivot <= done.keys() or not done:
        return []
    since = max(done[step] for step in facts.before_pivot) if facts.before_pivot else facts.created_at
    if facts.state is State.AWAITING_CONFIRM:
        return [Wait(WaitKind.CONFIRMATION, "", Lane.RUN, since, facts.end, is_open=True)]
    decided = [mark.at for mark in marks if mark.name in _DECIDES and mark.at > since]
    # The last of the confirmations, or what turned the run back.
    return [Wait(WaitKind.CONFIRMATION, "", Lane.RUN, since, decided[-1])] if decided else []


def _waits_between(
    facts: Facts, attempts: Sequence[Attempt], marks: Sequence[Mark], known: Sequence[Wait]
) -> list[Wait]:
    """The time before each attempt, from whatever ended last before it."""
    # What has ended; of attempts only earlier ones, for one without a length ends where it begins.
    ends = [facts.created_at, *(mark.at for mark in marks), *(wait.end for wait in known)]
    heapify(ends)
    waits: list[Wait] = []
    last: dict[tuple[str, str], Attempt] = {}
    before = facts.created_at
    for attempt in sorted(attempts, key=lambda one: (one.start, one.end)):
        while ends and ends[0] <= attempt.start:
            before = heappop(ends)
        heappush(ends, attempt.end)
        earlier = last.get((attempt.step, attempt.operation))
        last[attempt.step, attempt.operation] = attempt
        kind, since = WaitKind.QUEUE, before
        if earlier is not None and earlier.outcome in {"FAULT", "INTENT"}:
            since = max(earlier.end, before if _was_resumed(marks, earlier, attempt) else earlier.end)
            kind = WaitKind.QUEUE if since > earlier.end else WaitKind.BACKOFF
        if not any(wait.step == attempt.step and wait.start < attempt.start <= wait.end for wait in known):
            waits.append(Wait(kind, attempt.step, attempt.lane, since, attempt.start))
    return waits


def _was_resumed(marks: Sequence[Mark], earlier: Attempt, later: Attempt) -> bool:
    return any(mark.name in {"resume", "escalate"} and earlier.end <= mark.at <= later.start for mark in marks)


def _waits_now(facts: Facts, attempts: Sequence[Attempt], marks: Sequence[Mark], known: Sequence[Wait]) -> list[Wait]:
    """The wait of a run that nothing performs at present, and that waits for nothing that is known already."""
    is_busy = any(attempt.outcome == RUNNING for attempt in attempts) or any(wait.is_open for wait in known)
    if facts.finished_at is not None or facts.state is State.ESCALATED or is_busy:
        return []
    last = max([facts.created_at, *(a.end for a in attempts), *(mark.at for mark in marks)])
    backoffs = [
        Wait(WaitKind.BACKOFF, step, lane_of(_next_at(facts, step)), last, facts.end, is_open=True)
        for step, at in facts.next_attempts.items()
        if at > facts.now
    ]
    if backoffs or not facts.ahead:
        return backoffs
    first = facts.ahead[0]
    return [Wait(WaitKind.QUEUE, first.step, lane_of(first.operation), last, facts.end, is_open=True)]


def _next_at(facts: Facts, step: str) -> str:
    return next((each.operation for each in facts.ahead if each.step == step), "")
