"""Why a run is undone, or a step is not done: what operators read of it, and what customers may. Pure.

A reason is stored as JSON. Its ``detail`` is for operators: it may be an exception's text, or an operator's note. What
somebody wrote for the customer is its ``message``. Only what ``public_reason`` makes of a reason is for customers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from sagas import limits
from sagas.errors import Rejected
from sagas.validation import printable


class ReasonKind(StrEnum):
    """Every kind of reason. The strings are stored: add, and never rename."""

    #: A step said no.
    REJECTED = "rejected"
    #: A step broke.
    FAULT = "fault"
    #: A confirmation did not come in time, or steps took too long.
    TIMEOUT = "timeout"
    #: Somebody did not want it any more.
    CANCELLED = "cancelled"
    #: A confirmation was said not to come.
    REFUSED = "refused"
    #: A person has ended the run.
    RESOLVED = "resolved"
    #: A step broke, or waits, behind an open breaker.
    BREAKER = "breaker"
    #: No worker makes any progress with it.
    STUCK = "stuck"
    #: The engine cannot say what comes next for it.
    UNREADABLE = "unreadable"
    #: Its open escalation was deleted.
    LOST = "lost"


#: Kinds of which customers learn no more than that something broke.
_INSIDE = frozenset({ReasonKind.FAULT, ReasonKind.BREAKER, ReasonKind.STUCK, ReasonKind.UNREADABLE, ReasonKind.LOST})
#: What customers read where nothing was written for them.
_SAID = {
    ReasonKind.REJECTED: "It was not possible.",
    ReasonKind.FAULT: "Something broke on our side.",
    ReasonKind.TIMEOUT: "It took too long.",
    ReasonKind.CANCELLED: "It was cancelled.",
    ReasonKind.REFUSED: "It was refused.",
    ReasonKind.RESOLVED: "Somebody has ended this by hand.",
}
#: The kinds that customers meet.
PUBLIC_KINDS = tuple(_SAID)
#: Stands in a time-out's detail between what took too long and what had broken before.
LAST_ATTEMPT = "; the last attempt: "


def public_reason(reason: Mapping[str, Any]) -> dict[str, str]:
    """What a customer may read of a stored reason: ``kind``, ``step``, ``code``, and a ``detail`` meant for them.

    Of what broke inside they learn that it did. A rejection's sentence is written for customers, by whoever wrote the
    participant; of any other reason they read its ``message``, or else a sentence for its kind.
    """
    kind = reason.get("kind", "")
    known = ReasonKind(kind) if kind in list(ReasonKind) else ReasonKind.FAULT
    if known in _INSIDE:
        return {
            "kind": ReasonKind.FAULT.value,
            "step": reason.get("step", ""),
            "code": "Fault",
            "detail": _SAID[ReasonKind.FAULT],
        }
    return {
        "kind": known.value,
        "step": reason.get("step", ""),
        "code": reason.get("code", ""),
        "detail": reason.get("message") or _meant_for_them(known, reason.get("detail", "")) or _SAID[known],
    }


def _meant_for_them(kind: ReasonKind, detail: str) -> str:
    if kind is ReasonKind.REJECTED:
        return detail
    # The engine's own words, up to what had broken.
    return detail.partition(LAST_ATTEMPT)[0] if kind is ReasonKind.TIMEOUT else ""


def write_reason(kind: ReasonKind, step: str, code: str, detail: str, *, message: str = "", **more: object) -> str:
    """Write a reason as JSON text.

    Args:
        kind: what kind of reason it is.
        step: the step or the confirmation; "" where it is none.
        code: a word for programs.
        detail: for operators.
        message: for customers, where ``detail`` is not.
        more: what only some kinds have to say.
    """
    told = {"message": _stored(message)} if message else {}
    said = {"kind": kind, "step": step, "code": _stored(code), "detail": _stored(detail)}
    return json.dumps({**said, **told, **more})


def write_rejection(answer: Rejected, step: str, hide: Callable[[str], str]) -> str:
    """Write the reason of a rejection. Its note, if it has one, is for operators."""
    detail = hide(answer.detail)
    if not answer.note:
        return write_reason(ReasonKind.REJECTED, step, answer.code, detail)
    return write_reason(ReasonKind.REJECTED, step, answer.code, hide(answer.note), message=detail)


def error_text(error: BaseException) -> str:
    """The text of an exception. An exception that raises when its text is made must not break the caller."""
    try:
        return str(error)
    except Exception as second:
        return f"(its text cannot be made: {type(second).__name__})"


def _stored(text: str) -> str:
    """What PostgreSQL can store of a text, and people will read."""
    return printable(text.replace("\x00", "\\0"))[: limits.DETAIL]
