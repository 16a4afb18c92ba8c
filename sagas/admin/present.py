"""Formats values for people: states, times, durations, and rows of the log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sagas import store
from sagas.decisions import plan
from sagas.decisions.progress import StepState
from sagas.errors import UnknownSaga
from sagas.models import Escalation, Log, LogOutcome, Run
from sagas.states import State

#: Shown where there is no value.
NONE = "–"

#: The most characters of a text in a row of a list.
_SHORT = 300

#: CSS class of each label: states of runs and steps, and outcomes.
_COLOURS = {
    State.PENDING: "still",
    State.EXECUTING: "busy",
    State.AWAITING_CONFIRM: "held",
    State.CONFIRMING: "busy",
    State.COMPENSATING: "undo",
    State.ESCALATED: "alarm",
    State.SUCCEEDED: "good",
    State.FAILED: "bad",
    StepState.WAITING: "still",
    StepState.CALLING: "busy",
    StepState.ACCEPTED: "held",
    StepState.DONE: "good",
    StepState.HELD: "held",
    StepState.CONFIRMED: "good",
    StepState.REJECTED: "bad",
    StepState.FAILING: "alarm",
    StepState.FAILED: "bad",
    StepState.COMPENSATED: "undo",
    StepState.RESOLVED: "still",
    StepState.SKIPPED: "still",
    "open": "alarm",
    "closed": "good",
    LogOutcome.DONE: "good",
    LogOutcome.REJECTED: "bad",
    LogOutcome.FAULT: "alarm",
    LogOutcome.ACCEPTED: "held",
    LogOutcome.INTENT: "busy",
    LogOutcome.EVENT: "still",
}


def label(word: str) -> SafeString:
    """Format a state or an outcome as a coloured label. The word stays: not everybody sees colours."""
    return format_html('<span class="saga-label saga-{}">{}</span>', _COLOURS.get(word, "still"), word)


def short(text: str) -> str:
    """Cut a text that is too long for a row of a list, and end it with an ellipsis."""
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def span(length: timedelta) -> str:
    """Format a duration with its two largest units."""
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {name}"
    return f"{whole} s"


def moment(at: datetime | None) -> str:
    """Format a date and time with milliseconds."""
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if at else NONE


def second(at: datetime | None) -> str:
    """Format a date and time with seconds, for lists."""
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S") if at else NONE


def pretty(data: object) -> str:
    """Format a value as indented JSON; ``None`` as an empty text."""
    return "" if data is None else json.dumps(data, indent=2, ensure_ascii=False, default=str)


def age(run: Run) -> str:
    """Format how long a finished run took, or how old an unfinished one is."""
    return span((run.finished_at or timezone.now()) - run.created_at)


def standing(run: Run, escalations: Iterable[Escalation]) -> str:
    """Name the run's next step and operation, or what the run waits for.

    Args:
        run: the run.
        escalations: its open escalations.
    """
    if run.state == State.ESCALATED:
        return next((f"{e.step} {e.operation}".strip() or e.state for e in escalations), NONE)
    try:
        definition = store.definitions.find(run.saga, run.version, run.shape)
    except UnknownSaga:
        return NONE if run.finished_at else "unknown saga"
    if run.state == State.AWAITING_CONFIRM:
        names = [confirmation.name for confirmation in definition.confirmations]
        return f"waits for {', '.join(names) or 'the run that it is a step of'}"
    # For parallel steps, every branch that is not done.
    chains = plan.next_chains(definition, plan.Place(State(run.state), run.cursor, run.fork))
    return ", ".join(f"{links[0].step} {links[0].operation}" for links in chains) or NONE


def taken(escalation: Escalation) -> str:
    """Name the assignee of an escalation, or else who has acknowledged it, or else how many notices were sent."""
    if escalation.assignee:
        return escalation.assignee
    if escalation.acknowledged_at:
        return f"seen by {escalation.acknowledged_by}"
    return (
        f"nobody; {escalation.sent} notice{'' if escalation.sent == 1 else 's'} sent" if escalation.notify_at else NONE
    )


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a timeline.

    Attributes:
        at: time of day. The page shows the date separately.
        since: time since the run was started.
        entry: the row of the log.
        outcome: the outcome as a label.
        took: time in the participant; ``NONE`` for an event.
        data: result or error as indented JSON.
    """

    at: str
    since: str
    entry: Log
    outcome: SafeString
    took: str
    data: str


def lines(run: Run, log: Iterable[Log]) -> list[Line]:
    """Format a run's log."""
    return [
        Line(
            at=moment(entry.at).partition(" ")[2],
            since=f"+{span(max(entry.at - run.created_at, timedelta()))}",
            entry=entry,
            outcome=label(entry.outcome),
            took=f"{entry.duration_us / 1000:.1f} ms" if entry.duration_us else NONE,
            data=pretty(entry.data),
        )
        for entry in log
    ]
