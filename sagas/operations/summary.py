"""One sentence about a run: what happened, and what is next. Pure: no clock, no SQL.

The reader's language is Django's, as anywhere in a page. Everything that a sentence says is in a ``Situation``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sagas.decisions.ahead import Ahead
from sagas.decisions.reasons import ReasonKind
from sagas.states import State

#: The most characters of an error in a sentence.
_SHORT = 160


@dataclass(frozen=True, slots=True)
class Words:
    """How times and operations are written.

    Attributes:
        span: a length of time.
        clock: a moment.
        operation: the name of an operation of a step.
    """

    span: Callable[[timedelta], str]
    clock: Callable[[datetime], str]
    operation: Callable[[str], str] = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known of a run, by its row, its log and its definition.

    Attributes:
        state: its state.
        age: since it was accepted; of one that has ended, how long it took.
        reason: why it is or was undone, as it is stored.
        done: how many operations of the present phase are done.
        count: how many it has.
        ahead: what is left to do, next things first; empty if nothing is, or if its saga is not known here.
        together: how many of these are performed at the same time.
        failed: attempts of what comes next that have failed.
        attempts: how many it may have; 0 if that is not known here.
        error: the last of their errors.
        next_attempt_at: when it is tried again.
        calling_since: since when a participant in another system is being called.
        accepted_since: since when it has accepted, and owes its report.
        deadline: when the next missing confirmation is too late.
        missing: the confirmations that have not come.
        confirmations: the names of all of them.
        is_child: whether it is a step of another run, which decides about it.
        held_up: what holds it up besides, as a clause.
        stopped_at: of an escalated run, the step and the operation.
        escalation: why it was escalated, as a stored reason.
        assignee: who sees to it.
        resolved_by: who has ended it by hand.
        note: what they wrote.
        is_known: whether its saga is declared here, or on record.
        has_undone: whether anything was undone.
    """

    state: State
    age: timedelta
    reason: Mapping[str, Any] | None = None
    done: int = 0
    count: int = 0
    ahead: tuple[Ahead, ...] = ()
    together: int = 1
    failed: int = 0
    attempts: int = 0
    error: str = ""
    next_attempt_at: datetime | None = None
    calling_since: datetime | None = None
    accepted_since: datetime | None = None
    deadline: datetime | None = None
    missing: tuple[str, ...] = ()
    confirmations: tuple[str, ...] = ()
    is_child: bool = False
    held_up: str = ""
    stopped_at: tuple[str, str] = ("", "")
    escalation: Mapping[str, Any] | None = None
    assignee: str = ""
    resolved_by: str = ""
    note: str = ""
    is_known: bool = True
    has_undone: bool = False


def summarise(situation: Situation, words: Words) -> str:
    """The sentence."""
    happened, following = _happened(situation, words), _following(situation, words)
    return _("%(happened)s; %(following)s.") % {"happened": happened, "following": following}


# What happened ------------------------------------------------------------------------------------------------------


def _happened(situation: Situation, words: Words) -> str:
    match situation.state:
        case State.PENDING:
            return _("It was accepted %(span)s ago and has not begun") % {"span": words.span(situation.age)}
        case State.EXECUTING:
            told = ngettext(
                "%(done)d of %(count)d step is done", "%(done)d of %(count)d steps are done", situation.count
            )
            return told % {"done": situation.done, "count": situation.count}
        case State.AWAITING_CONFIRM:
            return _("All steps before its confirmation are done")
        case State.CONFIRMING:
            told = _("It only goes forward now, and %(done)d of %(count)d operations of that are done")
            return told % {"done": situation.done, "count": situation.count}
        case State.COMPENSATING:
            told = _("%(cause)s, so it is being undone: %(done)d of %(count)d is undone")
            return told % {"cause": cause(situation), "done": situation.done, "count": situation.count}
        case State.ESCALATED:
            return _stopped(situation, words)
        case State.SUCCEEDED:
            return _ended_by_hand(situation) or _("It succeeded after %(span)s") % {"span": words.span(situation.age)}
        case State.FAILED:
            return _ended_by_hand(situation) or _failed(situation)


def _failed(situation: Situation) -> str:
    if situation.has_undone:
        return _("%(cause)s, and everything that was done is undone") % {"cause": cause(situation)}
    return _("%(cause)s, and there was nothing to undo") % {"cause": cause(situation)}


def _ended_by_hand(situation: Situation) -> str:
    if not situation.resolved_by:
        return ""
    told = {"person": situation.resolved_by, "note": _cut(situation.note)}
    if situation.state is State.SUCCEEDED:
        return _("%(person)s has ended it as succeeded (%(note)s)") % told
    return _("%(person)s has ended it as failed (%(note)s)") % told


def _stopped(situation: Situation, words: Words) -> str:
    step, operation = situation.stopped_at
    place = " ".join(filter(None, (step, words.operation(operation) if operation else "")))
    why = cause(situation, situation.escalation)
    return _("It stopped at %(place)s: %(why)s") % {"place": place, "why": why} if place else why


def cause(situation: Situation, reason: Mapping[str, Any] | None = None) -> str:
    """Why a run is undone, or has stopped, as a clause."""
    reason = reason or situation.reason or {}
    step = str(reason.get("step") or "")
    detail = _cut(str(reason.get("detail") or reason.get("code") or ""))
    told = {"step": step or _("a step"), "detail": detail, "code": str(reason.get("code") or "")}
    match reason.get("kind"):
        case ReasonKind.REJECTED:
            return _("%(step)s said no (%(detail)s)") % told
        case ReasonKind.FAULT:
            return _("%(step)s kept failing (%(code)s: %(detail)s)") % told
        case ReasonKind.TIMEOUT if step in situation.confirmations:
            return _("%(step)s did not come in time") % told
        case ReasonKind.TIMEOUT if step:
            return _("%(step)s took too long") % told
        case ReasonKind.TIMEOUT:
            return _("Its steps took too long")
        case ReasonKind.CANCELLED:
            return _("It was cancelled (%(detail)s)") % told if detail else _("It was cancelled")
        case ReasonKind.REFUSED:
            return _("%(step)s was declined (%(detail)s)") % told
        case ReasonKind.RESOLVED:
            return _("A person has ended it (%(detail)s)") % told
        case ReasonKind.BREAKER:
            return _("%(step)s failed while its breaker was open (%(detail)s)") % told
        case ReasonKind.STUCK:
            return _("No worker made progress with it")
        case ReasonKind.UNREADABLE:
            return _("The engine cannot tell what comes next (%(detail)s)") % told
        case ReasonKind.LOST:
            return _("Its escalation was deleted and opened again")
    return _("It was turned back")


# What is next -------------------------------------------------------------------------------------------------------


def _following(situation: Situation, words: Words) -> str:
    if situation.state in {State.SUCCEEDED, State.FAILED}:
        return _("nothing is left to do")
    if situation.state is State.ESCALATED:
        if situation.assignee:
            return _("%(person)s sees to it, and nothing moves until a person resumes or resolves it") % {
                "person": situation.assignee
            }
        return _("it waits for a person, and nobody has taken it")
    if not situation.is_known:
        return _("what comes next is not known here, because its saga is not declared")
    if situation.state is State.AWAITING_CONFIRM:
        return _awaiting(situation, words)
    return _next_operation(situation, words)


def _awaiting(situation: Situation, words: Words) -> str:
    missing = _joined(situation.missing)
    if not missing and situation.is_child:
        return _("it waits for the run that it is a step of")
    if situation.deadline is None:
        return _("it waits for %(missing)s") % {"missing": missing or _("its confirmation")}
    told = _("it waits for %(missing)s until %(time)s, and is undone if that does not come")
    return told % {"missing": missing or _("its confirmation"), "time": words.clock(situation.deadline)}


def _next_operation(situation: Situation, words: Words) -> str:
    if not situation.ahead:
        return situation.held_up or _("a worker ends it when it looks at it next")
    firsts = situation.ahead[: situation.together]
    place = _joined(tuple(f"{each.step} {words.operation(each.operation)}" for each in firsts))
    told = {
        "place": place,
        "error": _cut(situation.error),
        "failed": situation.failed,
        "attempts": situation.attempts,
        "time": words.clock(situation.next_attempt_at) if situation.next_attempt_at else "",
    }
    if situation.held_up:
        return _("before %(place)s it %(held_up)s") % {"place": place, "held_up": situation.held_up}
    if situation.accepted_since is not None:
        since = words.clock(situation.accepted_since)
        return _("%(place)s was accepted at %(time)s, and its report is to come") % {"place": place, "time": since}
    if situation.calling_since is not None:
        since = words.clock(situation.calling_since)
        return _("%(place)s has been under way in another system since %(time)s") % {"place": place, "time": since}
    if situation.failed and situation.next_attempt_at is not None and situation.attempts:
        return (
            _("%(place)s has failed %(failed)d of %(attempts)d times (%(error)s) and is tried again at %(time)s") % told
        )
    if situation.failed and situation.next_attempt_at is not None:
        return _("%(place)s has failed %(failed)d times (%(error)s) and is tried again at %(time)s") % told
    if situation.failed:
        return _("%(place)s has failed %(failed)d times (%(error)s) and is tried again soon") % told
    return _("next is %(place)s") % told


def _joined(names: tuple[str, ...]) -> str:
    """Names in a row."""
    if len(names) < 2:
        return "".join(names)
    return _("%(some)s and %(last)s") % {"some": _(", ").join(names[:-1]), "last": names[-1]}


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else f"{line[: _SHORT - 1]}…"
