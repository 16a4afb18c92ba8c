"""Formats values for people: states, times, durations, and rows of the log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_noop, ngettext
from django.utils.translation import gettext_lazy as _

from sagas import store
from sagas.decisions import plan
from sagas.decisions.progress import StepState
from sagas.definition.participants import Operation
from sagas.errors import UnknownSaga
from sagas.models import Escalation, LogOutcome, Run
from sagas.states import State

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise as StrOrPromise

#: Shown where there is no value.
NONE = "–"

#: The most characters of a text in a row of a list.
_SHORT = 300

#: Of each state of a run or of a step, and of each outcome: the class of its label, and the word for it.
_WORDS: Mapping[str, tuple[str, StrOrPromise]] = {
    State.PENDING: ("still", _("PENDING")),
    State.EXECUTING: ("busy", _("EXECUTING")),
    State.AWAITING_CONFIRM: ("held", _("AWAITING_CONFIRM")),
    State.CONFIRMING: ("busy", _("CONFIRMING")),
    State.COMPENSATING: ("undo", _("COMPENSATING")),
    State.ESCALATED: ("alarm", _("ESCALATED")),
    State.SUCCEEDED: ("good", _("SUCCEEDED")),
    State.FAILED: ("bad", _("FAILED")),
    StepState.WAITING: ("still", _("waiting")),
    StepState.CALLING: ("busy", _("being called")),
    StepState.ACCEPTED: ("held", _("waiting for its report")),
    StepState.DONE: ("good", _("done")),
    StepState.HELD: ("held", _("held")),
    StepState.CONFIRMED: ("good", _("confirmed")),
    StepState.REJECTED: ("bad", _("rejected")),
    StepState.FAILING: ("alarm", _("failing")),
    StepState.FAILED: ("bad", _("failed")),
    StepState.COMPENSATED: ("undo", _("compensated")),
    StepState.RESOLVED: ("still", _("ended by hand")),
    StepState.SKIPPED: ("still", _("skipped")),
    "open": ("alarm", _("open")),
    "closed": ("good", _("closed")),
    LogOutcome.DONE: ("good", _("DONE")),
    LogOutcome.REJECTED: ("bad", _("REJECTED")),
    LogOutcome.FAULT: ("alarm", _("FAULT")),
    LogOutcome.ACCEPTED: ("held", _("ACCEPTED")),
    LogOutcome.INTENT: ("busy", _("INTENT")),
    LogOutcome.EVENT: ("still", _("EVENT")),
}
#: The operations of a step.
_OPERATIONS: Mapping[str, StrOrPromise] = {
    Operation.FORWARD: _("forward"),
    Operation.TRY: _("try"),
    Operation.CONFIRM: _("confirm"),
    Operation.CANCEL: _("cancel"),
    Operation.COMPENSATE: _("compensate"),
}


def tone(word: str) -> str:
    """The class of a label without its prefix: one of a few, each with a colour and a shape of its own."""
    return _WORDS[word][0] if word in _WORDS else "still"


def word(stored: str) -> str:
    """A stored state or outcome in the reader's language."""
    return str(_WORDS[stored][1]) if stored in _WORDS else stored


def operation(stored: str) -> str:
    """A stored operation in the reader's language."""
    return str(_OPERATIONS.get(stored, stored))


def place(step: str, stored: str) -> str:
    """A step with its operation, or whichever there is."""
    return " ".join(filter(None, (step, operation(stored))))


def label(stored: str) -> SafeString:
    """Format a state or an outcome as a label. It has a word and a shape, too: not everybody sees colours."""
    return format_html('<span class="saga-label saga-{}">{}</span>', tone(stored), word(stored))


def short(text: str) -> str:
    """Cut a text that is too long for a row of a list, and end it with an ellipsis."""
    return cut(text, _SHORT)


def cut(text: str, most: int) -> str:
    """Cut a text that has more than so many characters, and end it with an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


#: The larger and the smaller unit of a duration in seconds, and how they are written.
_UNITS = (
    (86400, 3600, gettext_noop("%(more)d d %(less)d h")),
    (3600, 60, gettext_noop("%(more)d h %(less)d min")),
    (60, 1, gettext_noop("%(more)d min %(less)d s")),
)


def span(length: timedelta) -> str:
    """Format a duration with its two largest units."""
    seconds = length.total_seconds()
    if seconds < 1:
        return gettext("%(number)s ms") % {"number": f"{seconds * 1000:.0f}"}
    if seconds < 60:
        return gettext("%(number)s s") % {"number": f"{seconds:.1f}"}
    whole = int(seconds)
    size, smaller, told = next(unit for unit in _UNITS if whole >= unit[0])
    return gettext(told) % {"more": whole // size, "less": whole % size // smaller}


def took(microseconds: int) -> str:
    """Format the time in a participant; ``NONE`` where nothing was measured."""
    return gettext("%(number)s ms") % {"number": f"{microseconds / 1000:.1f}"} if microseconds else NONE


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
        return next((place(e.step, e.operation) or word(e.state) for e in escalations), NONE)
    try:
        definition = store.definitions.find(run.saga, run.version, run.shape)
    except UnknownSaga:
        return NONE if run.finished_at else gettext("unknown saga")
    if run.state == State.AWAITING_CONFIRM:
        names = [confirmation.name for confirmation in definition.confirmations]
        return gettext("waits for %(what)s") % {"what": ", ".join(names) or gettext("the run that it is a step of")}
    # For parallel steps, every branch that is not done.
    chains = plan.next_chains(definition, plan.Place(State(run.state), run.cursor, run.fork))
    return ", ".join(place(links[0].step, links[0].operation) for links in chains) or NONE


def taken(escalation: Escalation) -> str:
    """Name the assignee of an escalation, or else who has acknowledged it, or else how many notices were sent."""
    if escalation.assignee:
        return escalation.assignee
    if escalation.acknowledged_at:
        return gettext("seen by %(person)s") % {"person": escalation.acknowledged_by}
    if not escalation.notify_at:
        return NONE
    told = ngettext("nobody; %(count)d notice sent", "nobody; %(count)d notices sent", escalation.sent)
    return told % {"count": escalation.sent}
