"""Why a run is undone or a step was not done: what operators read, and what customers may read. Pure.

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
    """The kinds of reasons. The values are stored: add some, but never rename one."""

    #: A participant has rejected.
    REJECTED = "rejected"
    #: A participant has failed.
    FAULT = "fault"
    #: A confirmation did not come in time, or a step took too long.
    TIMEOUT = "timeout"
    #: The run was cancelled.
    CANCELLED = "cancelled"
    #: A confirmation was declined.
    REFUSED = "refused"
    #: A person has ended the run.
    RESOLVED = "resolved"
    #: A step has failed or waits at an open breaker.
    BREAKER = "breaker"
    #: No worker makes progress with the run.
    STUCK = "stuck"
    #: The engine cannot compute what comes next for the run.
    UNREADABLE = "unreadable"
    #: The open escalation of the run was deleted.
    LOST = "lost"


#: Of these kinds customers learn only that something broke.
_INSIDE = frozenset({ReasonKind.FAULT, ReasonKind.BREAKER, ReasonKind.STUCK, ReasonKind.UNREADABLE, ReasonKind.LOST})
#: What customers read if nothing was written for them.
_SAID = {
    ReasonKind.REJECTED: "It was not possible.",
    ReasonKind.FAULT: "Something broke on our side.",
    ReasonKind.TIMEOUT: "It took too long.",
    ReasonKind.CANCELLED: "It was cancelled.",
    ReasonKind.REFUSED: "It was refused.",
    ReasonKind.RESOLVED: "Somebody has ended this by hand.",
}
#: The kinds that customers may see.
PUBLIC_KINDS = tuple(_SAID)
#: In the detail of a time-out it stands before the text of the last failed attempt.
LAST_ATTEMPT = "; the last attempt: "


def public_reason(reason: Mapping[str, Any]) -> dict[str, str]:
    """What a customer may read of a stored reason: ``kind``, ``step``, ``code``, and a ``detail`` for customers.

    The sentence of a rejection is written for customers by the participant's author. For another reason, customers
    read its ``message``, or a standard sentence for its kind. Of a failure they learn only that something broke.
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
    # The engine's own words, without the text of the last failed attempt.
    return detail.partition(LAST_ATTEMPT)[0] if kind is ReasonKind.TIMEOUT else ""


def write_reason(kind: ReasonKind, step: str, code: str, detail: str, *, message: str = "", **more: object) -> str:
    """Write a reason as JSON text.

    Args:
        kind: the kind.
        step: the step or the confirmation; "" if there is none.
        code: a word for programs.
        detail: a text for operators.
        message: a text for customers, if ``detail`` is not for them.
        more: members that only some kinds have.
    """
    texts = {"code": code, "detail": detail, **({"message": message} if message else {})}
    # Without what PostgreSQL cannot store, and not too long to be read.
    stored = {name: printable(text.replace("\x00", "\\0"))[: limits.DETAIL] for name, text in texts.items()}
    return json.dumps({"kind": kind, "step": step, **stored, **more})


def write_rejection(answer: Rejected, step: str, hide: Callable[[str], str]) -> str:
    """Write the reason of a rejection as JSON text. If the rejection has a note, the note is for operators."""
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
