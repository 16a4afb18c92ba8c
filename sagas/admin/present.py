"""Make text of facts, for people: labels, times, spans of time, and what stands in the log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sagas.decisions import plan
from sagas.decisions.progress import StepState
from sagas.errors import UnknownSaga
from sagas.models import Escalation, Log, Outcome, Run
from sagas.states import State
from sagas.store import definitions as versions

#: What there is not.
NONE = "–"

#: Characters of a text that a row of a list has room for.
_SHORT = 300

#: Colour of every word that is shown as a label: states of runs and steps, and outcomes.
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
    "open": "alarm",
    "closed": "good",
    Outcome.DONE: "good",
    Outcome.REJECTED: "bad",
    Outcome.FAULT: "alarm",
    Outcome.ACCEPTED: "held",
    Outcome.INTENT: "busy",
    Outcome.EVENT: "still",
}


def label(word: str) -> SafeString:
    """Write a state or an outcome on its colour. The word is there too: not all see colours."""
    return format_html('<span class="saga-label saga-{}">{}</span>', _COLOURS.get(word, "still"), word)


def short(text: str) -> str:
    """Cut what is too long for a row of a list, and show that there is more."""
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def span(length: timedelta) -> str:
    """Write a length of time, with its two largest units."""
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
    """Write a time of day with milliseconds, and the date before it."""
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if at else NONE


def second(at: datetime | None) -> str:
    """Write a time of day, and the date before it: enough for a list."""
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S") if at else NONE


def pretty(data: object) -> str:
    """Write JSON over several lines; nothing for ``None``."""
    return "" if data is None else json.dumps(data, indent=2, ensure_ascii=False, default=str)


def age(run: Run) -> str:
    """How long a run took, or how old it is."""
    return span((run.finished_at or timezone.now()) - run.created_at)


def standing(run: Run, escalations: Iterable[Escalation]) -> str:
    """Name the step a run stands at, and the operation that comes next, or what it waits for.

    Args:
        run: the run.
        escalations: its open ones.
    """
    if run.state == State.ESCALATED:
        return next((f"{e.step} {e.operation}".strip() or e.state for e in escalations), NONE)
    try:
        definition = versions.find(run.saga, run.version, run.shape)
    except UnknownSaga:
        return NONE if run.finished_at else "unknown saga"
    if run.state == State.AWAITING_CONFIRM:
        names = [confirmation.name for confirmation in definition.confirmations]
        return f"waits for {', '.join(names) or 'the run that it is a step of'}"
    # Of a fork, every branch that is not done.
    chains = plan.onward(definition, plan.Place(State(run.state), run.cursor, run.fork))
    return ", ".join(f"{links[0].step} {links[0].operation}" for links in chains) or NONE


def taken(escalation: Escalation) -> str:
    """Say who sees to an escalation, or whether anybody has seen it."""
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
        at: time of day; the page tells the date elsewhere.
        since: time since the run was accepted.
        entry: the log's row.
        outcome: as a label.
        took: time in the participant; none for an event.
        data: result or error, over several lines.
    """

    at: str
    since: str
    entry: Log
    outcome: SafeString
    took: str
    data: str


def lines(run: Run, log: Iterable[Log]) -> list[Line]:
    """Write a run's log."""
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
