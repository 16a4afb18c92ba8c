"""Reads runs for APIs, the admin and people, without personal data. Nothing is written or locked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sagas import store
from sagas.decisions import progress
from sagas.decisions.progress import StepState
from sagas.decisions.reasons import PUBLIC_KINDS, public_reason
from sagas.definition.confirmations import why_no_key
from sagas.definition.personal_data import HIDDEN, Marks, mask
from sagas.definition.saga import Saga
from sagas.errors import RunNotFound, UnknownSaga
from sagas.models import Confirmation, Lock, Log, Run
from sagas.states import State
from sagas.store import outbox
from sagas.store.claims import backlog_age
from sagas.store.shared_decisions import Decision
from sagas.validation import parse_run_id, why_unstorable

__all__ = [
    "PUBLIC_KINDS",
    "Decision",
    "LogView",
    "OutboxView",
    "PlaceInLine",
    "RunView",
    "StepState",
    "StepView",
    "backlog_age",
    "count_undecided",
    "lock_line",
    "locks_of_run",
    "log_after",
    "outbox_view",
    "personal_marks",
    "public_reason",
    "run_view",
    "shared_decision",
    "timeline",
    "version_of",
    "visible_request",
    "visible_results",
]

#: The members of the log entry's data that a step's error has.
_ERROR = ("kind", "code", "detail", "message")


@dataclass(slots=True)
class StepView:
    """The progress of a step of a run.

    Attributes:
        name: the step's name.
        state: a ``StepState``: "waiting", "done", "waiting for its report", "skipped", …
        started_at: when its first operation began.
        finished_at: when an operation of it last ended, with whatever outcome.
        attempts: the number of attempts of its operations.
        failed: the number of failed attempts of the present operation, since the run was last resumed.
        error: why it was rejected or fails, as ``{"kind", "code", "detail"}``; for operators.
    """

    name: str
    state: str = StepState.WAITING
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: int = 0
    failed: int = 0
    error: dict[str, Any] | None = None

    @property
    def public_error(self) -> dict[str, str] | None:
        """What a customer may read of the error."""
        return None if self.error is None else public_reason(self.error)


@dataclass(slots=True)
class RunView:
    """A run, with its steps in the order of the definition. Its ``reason`` is for operators."""

    id: UUID
    saga: str
    business_key: str
    state: State
    created_at: datetime
    started_at: datetime | None
    deadline: datetime | None
    finished_at: datetime | None
    reason: dict[str, Any] | None
    steps: list[StepView] = field(default_factory=list)
    confirmations: dict[str, datetime] = field(default_factory=dict)
    #: The confirmation that comes by a decision for many runs, and the key of this decision; '' if there is none.
    decision_name: str = ""
    decision_key: str = ""

    @property
    def public_reason(self) -> dict[str, str] | None:
        """What a customer may read of the reason."""
        return None if self.reason is None else public_reason(self.reason)


def run_view(run_id: UUID) -> RunView:
    """Read one run with its steps; ``RunNotFound`` if there is none."""
    run = _find(run_id)
    if run is None:
        msg = f"there is no run {run_id!s:.80}"
        raise RunNotFound(msg)
    return view_of(run, _timeline(run), Confirmation.objects.filter(run_id=run.id).order_by("received_at"))


def view_of(run: Run, entries: Sequence[Log], confirmations: Iterable[Confirmation]) -> RunView:
    """The view of a run that was read already, with its log and its confirmations, both oldest first."""
    view = RunView(
        id=run.id,
        saga=run.saga,
        business_key=run.business_key,
        state=State(run.state),
        created_at=run.created_at,
        started_at=run.started_at,
        deadline=run.deadline,
        finished_at=run.finished_at,
        reason=run.reason,
        decision_name=run.decision_name or "",
        decision_key=run.decision_key or "",
    )
    try:
        definition = store.definitions.find(run.saga, run.version, run.shape)
        names, skipped = list(definition.declared_steps), [name for _, name in definition.skipped]
    except UnknownSaga:
        # Neither the code nor the database has the definition; the log has the steps that were performed.
        names = list(dict.fromkeys(entry.step for entry in entries if entry.step and entry.outcome != "EVENT"))
        skipped = []
    # An escalated run that was being undone has a reason.
    back = view.state in {State.COMPENSATING, State.FAILED} or (view.state is State.ESCALATED and bool(view.reason))
    steps = progress.of_steps(names, entries, view.state, turned_back=back, skipped=skipped)
    view.steps = [
        StepView(
            name,
            step.state.value,
            step.started_at,
            step.finished_at,
            step.attempts,
            step.failed,
            {key: step.error[key] for key in _ERROR if key in step.error} if step.error else None,
        )
        for name, step in steps.items()
    ]
    view.confirmations = {confirmation.name: confirmation.received_at for confirmation in confirmations}
    return view


def shared_decision(saga: type[Saga[Any]], name: str, key: str) -> Decision | None:
    """Read the decision for all runs of a key; ``None`` if it is not made. See ``sagas.decide``."""
    return None if why_no_key(key) else store.shared_decisions.find(saga.definition.name, name, key)


def count_undecided(saga: type[Saga[Any]], name: str, key: str) -> int:
    """Count the undecided runs of a key that have not got its decision. It counts all of them."""
    return 0 if why_no_key(key) else store.shared_decisions.count_undecided(saga.definition.name, name, key)


@dataclass(frozen=True, slots=True)
class PlaceInLine:
    """A run's place in the line at a business key.

    Attributes:
        key: the key.
        run_id: the run.
        ahead: the number of runs before it; with 0 it holds the key.
        since: when it joined the line.
    """

    key: str
    run_id: UUID
    ahead: int
    since: datetime


def lock_line(key: str) -> list[PlaceInLine]:
    """List the runs that hold a business key or wait for it, in order. A parent and its children hold it together."""
    found: list[PlaceInLine] = []
    tickets: list[int] = []
    # A key that cannot be stored has no line.
    locks = Lock.objects.none() if why_unstorable(str(key)) else Lock.objects.filter(key=str(key))
    for lock in locks.order_by("ticket", "id"):
        tickets.append(lock.ticket)
        found.append(PlaceInLine(key, lock.run_id, tickets.index(lock.ticket), lock.since))
    return found


def locks_of_run(run_id: UUID) -> list[PlaceInLine]:
    """List the business keys that a run holds or waits for; none for a run that has ended."""
    return [
        PlaceInLine(lock.key, run_id, Lock.objects.filter(key=lock.key, ticket__lt=lock.ticket).count(), lock.since)
        for lock in (Lock.objects.filter(run_id=run_id).order_by("key") if _find(run_id) is not None else ())
    ]


def _find(run_id: UUID) -> Run | None:
    """The run of this id; ``None`` also for an invalid id."""
    try:
        return Run.objects.filter(pk=parse_run_id(run_id)).first()
    except RunNotFound:
        return None


def timeline(run_id: UUID) -> Sequence[Log]:
    """List the log of a run, oldest first, without personal data; empty if there is no such run."""
    run = _find(run_id)
    return _timeline(run) if run else []


def _timeline(run: Run) -> Sequence[Log]:
    entries = list(Log.objects.filter(run_id=run.pk).select_related("performer").order_by("id"))
    hide_personal(run, entries)
    return entries


def hide_personal(run: Run, entries: Iterable[Log]) -> None:
    """Hide what is personal in the data of log entries that were read already."""
    marks = personal_marks(run)
    for entry in entries:
        entry.data = mask(entry.data, marks.of(entry.step), HIDDEN) if entry.outcome == "DONE" else entry.data


@dataclass(frozen=True, slots=True)
class LogView:
    """An entry of a run's log, without its data: it tells nothing that is personal.

    Attributes:
        sequence: grows from entry to entry of a run, with gaps.
        at: when it was written, by the database's clock.
        step: the name of the step; empty for an event in the life of the run.
        operation: the operation of the step, or the name of the event.
        outcome: a ``LogOutcome``.
        attempt: which attempt of the operation it was.
    """

    sequence: int
    at: datetime
    step: str
    operation: str
    outcome: str
    attempt: int


def log_after(run_id: UUID, sequence: int, *, limit: int = 500) -> list[LogView]:
    """List what was written into a run's log after an entry, oldest first.

    Entries of a run are written under its lock: whatever is committed later has a greater ``sequence``.
    """
    entries = Log.objects.filter(run_id=run_id, id__gt=sequence).order_by("id")[:limit]
    return [LogView(*row) for row in entries.values_list("id", "at", "step", "operation", "outcome", "attempt")]


def version_of(run_id: UUID) -> str | None:
    """A short text that is another one after each change of a run or of its log; ``None`` if there is no such run."""
    try:
        run = parse_run_id(run_id)
        return store.runs.find_versions([run]).get(run)
    except RunNotFound:
        return None


@dataclass(frozen=True, slots=True)
class OutboxView:
    """The events that wait in the outbox.

    Attributes:
        count: their number.
        age: seconds for which the oldest one has waited; 0 if there is none.
    """

    count: int
    age: float


def outbox_view() -> OutboxView:
    """Read how many events wait to be published, and for how long. The database counts all rows."""
    return OutboxView(*outbox.waiting())


# A run's data without what is marked as personal --------------------------------------------------------------


class StoredRun(Protocol):
    """A row of a run: the model's, or the engine's own."""

    saga: str
    version: int
    shape: int
    request: Any
    results: Any


def personal_marks(run: StoredRun) -> Marks:
    """The paths of personal data in a run; none if neither the code nor the database knows its saga."""
    try:
        return store.definitions.find(run.saga, run.version, run.shape).marks
    except UnknownSaga:
        return Marks()


def visible_request(run: StoredRun) -> Any:
    """The request of a run, without personal data."""
    return mask(run.request, personal_marks(run).request, HIDDEN)


def visible_results(run: StoredRun) -> Mapping[str, Any]:
    """The results of a run's steps, without personal data."""
    marks = personal_marks(run)
    return {name: mask(result, marks.of(name), HIDDEN) for name, result in run.results.items()}
