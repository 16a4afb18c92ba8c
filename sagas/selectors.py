"""Read runs, for APIs, admin and people, without what is personal. Nothing is written or locked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sagas import store
from sagas.decisions import progress
from sagas.decisions.progress import StepState
from sagas.decisions.reasons import public_reason
from sagas.definition.personal_data import HIDDEN, Marks, mask
from sagas.errors import RunNotFound, UnknownSaga
from sagas.models import Confirmation, Lock, Log, Run
from sagas.states import State
from sagas.store import outbox
from sagas.validation import parse_run_id, why_unstorable

#: What a step's error has of its log row.
_ERROR = ("kind", "code", "detail", "message")


@dataclass(slots=True)
class StepView:
    """One step of a run, as far as it came.

    Attributes:
        name: the step.
        state: a ``StepState``: "waiting", "done", "waiting for its report", …
        started_at: when its first operation was begun or performed.
        finished_at: when an operation of it last ended, one way or the other.
        attempts: attempts of its operations.
        failed: attempts that have failed of the operation that is failing, since a person has last resumed the run.
        error: why it was rejected or is failing, as ``{"kind", "code", "detail"}``; for operators.
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
    """One run, with its steps in the order of the definition. Its ``reason`` is for operators."""

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
    )
    entries = _timeline(run)
    try:
        names = [step.name for step in store.definitions.find(run.saga, run.version, run.shape).steps]
    except UnknownSaga:
        # The definition is gone; what was performed is still on record.
        names = list(dict.fromkeys(entry.step for entry in entries if entry.step and entry.outcome != "EVENT"))
    # Escalated on its way back it has a reason; any other run has one from when it was turned back.
    back = view.state in {State.COMPENSATING, State.FAILED} or (view.state is State.ESCALATED and bool(view.reason))
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
        for name, step in progress.of_steps(names, entries, view.state, turned_back=back).items()
    ]
    view.confirmations = {
        confirmation.name: confirmation.received_at
        for confirmation in Confirmation.objects.filter(run_id=run_id).order_by("received_at")
    }
    return view


@dataclass(frozen=True, slots=True)
class InLine:
    """A run's place in the line at a business key.

    Attributes:
        key: the key.
        run_id: the run.
        ahead: how many stand before it; with 0 it holds the key.
        since: when it came.
    """

    key: str
    run_id: UUID
    ahead: int
    since: datetime


def line(key: str) -> list[InLine]:
    """Who holds a business key, and who waits for it, in order. Of a family with the key, all hold it."""
    found: list[InLine] = []
    tickets: list[int] = []
    # Nobody stands in line at what cannot be stored.
    locks = Lock.objects.none() if why_unstorable(str(key)) else Lock.objects.filter(key=str(key))
    for lock in locks.order_by("ticket", "id"):
        tickets.append(lock.ticket)
        found.append(InLine(key, lock.run_id, tickets.index(lock.ticket), lock.since))
    return found


def locks_of(run_id: UUID) -> list[InLine]:
    """The business keys that a run holds or waits for; none for a run that has ended."""
    return [
        InLine(lock.key, run_id, Lock.objects.filter(key=lock.key, ticket__lt=lock.ticket).count(), lock.since)
        for lock in (Lock.objects.filter(run_id=run_id).order_by("key") if _find(run_id) is not None else ())
    ]


def _find(run_id: UUID) -> Run | None:
    """The run of this id; ``None`` also for what no run can be called."""
    try:
        return Run.objects.filter(pk=parse_run_id(run_id)).first()
    except RunNotFound:
        return None


def timeline(run_id: UUID) -> Sequence[Log]:
    """List what happened to a run, oldest first, without what is personal; nothing where there is no such run."""
    run = _find(run_id)
    return _timeline(run) if run else []


def _timeline(run: Run) -> Sequence[Log]:
    entries = list(Log.objects.filter(run_id=run.pk).order_by("id"))
    marks = personal_marks(run)
    for entry in entries:
        entry.data = mask(entry.data, marks.of(entry.step), HIDDEN) if entry.outcome == "DONE" else entry.data
    return entries


@dataclass(frozen=True, slots=True)
class OutboxView:
    """What waits in the outbox.

    Attributes:
        count: how many events.
        age: seconds that the oldest has waited; 0 where none waits.
    """

    count: int
    age: float


def outbox_view() -> OutboxView:
    """Read how many events wait to be published, and how long the oldest has. It counts them, one by one."""
    return OutboxView(*outbox.waiting())


# What of a run's data people may read: all but what is marked as personal -------------------------------------


class StoredRun(Protocol):
    """A row of a run: the model's, or the engine's own."""

    saga: str
    version: int
    shape: int
    request: Any
    results: Any


def personal_marks(run: StoredRun) -> Marks:
    """What is personal in a run's data; nothing where neither the code nor the database knows its saga."""
    try:
        return store.definitions.find(run.saga, run.version, run.shape).marks
    except UnknownSaga:
        return Marks()


def visible_request(run: StoredRun) -> Any:
    """A run's request, without what is personal."""
    return mask(run.request, personal_marks(run).request, HIDDEN)


def visible_results(run: StoredRun) -> Mapping[str, Any]:
    """The results of a run's steps, without what is personal."""
    marks = personal_marks(run)
    return {name: mask(result, marks.of(name), HIDDEN) for name, result in run.results.items()}
