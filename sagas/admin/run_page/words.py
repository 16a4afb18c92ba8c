"""The texts of drawings and the names of events, in the reader's language."""

from __future__ import annotations

from django.utils.translation import gettext, gettext_noop

from sagas.admin import present
from sagas.diagrams import drawing
from sagas.operations import summary

#: What ``sagas.diagrams`` says, which does not translate.
DRAWN = (
    gettext_noop("A row for each step, and time from left to right."),
    gettext_noop("The steps from left to right; those above each other are performed at the same time."),
    gettext_noop("What happened when"),
    gettext_noop("accepted, with a report to come"),
    gettext_noop("another saga"),
    gettext_noop("begun"),
    gettext_noop("begun, without a known answer"),
    gettext_noop("confirmation"),
    gettext_noop("deadline"),
    gettext_noop("now"),
    gettext_noop("operation"),
    gettext_noop("point of no return"),
    gettext_noop("step"),
    gettext_noop("still ahead"),
    gettext_noop("the way back"),
    gettext_noop("the way forward"),
    gettext_noop("times"),
    gettext_noop("took"),
    gettext_noop("under way"),
    gettext_noop("waits for a confirmation"),
    gettext_noop("waits for a person"),
    gettext_noop("waits for a report"),
    gettext_noop("waits for its next attempt"),
    gettext_noop("waits in the queue"),
    gettext_noop("what"),
)
#: Events in the life of a run, as the log names them.
EVENTS = {
    "start": gettext_noop("was accepted"),
    "confirmation": gettext_noop("confirmation came"),
    "expire": gettext_noop("deadline was over"),
    "timeout": gettext_noop("time was over"),
    "cancel": gettext_noop("was cancelled"),
    "refuse": gettext_noop("confirmation was declined"),
    "escalate": gettext_noop("was escalated"),
    "assign": gettext_noop("was assigned"),
    "acknowledge": gettext_noop("was acknowledged"),
    "resume": gettext_noop("was resumed"),
    "resolve": gettext_noop("was ended by hand"),
    "reopen": gettext_noop("escalation was opened again"),
    "erase": gettext_noop("personal data was erased"),
    "restored": gettext_noop("database was restored"),
    "late": gettext_noop("report came too late"),
    "not_yet": gettext_noop("was answered: not yet"),
}


def event(name: str) -> str:
    """What an event is called."""
    return gettext(EVENTS[name]) if name in EVENTS else name


def say(text: str) -> str:
    """A text of a drawing, or the name of an event or of an operation."""
    if not text:
        return ""
    return event(text) if text in EVENTS and text != "cancel" else gettext(text)


def of_drawings() -> drawing.Words:
    """How drawings say what they show."""
    return drawing.Words(say, present.span, present.moment)


def of_sentences() -> summary.Words:
    """How sentences write times."""
    return summary.Words(present.span, present.second, present.operation)
