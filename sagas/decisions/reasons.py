"""Why a run is undone, or a step is not done: what operators read of it, and what customers may. Pure.

A reason is stored as JSON. Its ``detail`` is for operators: it may be an exception's text, or an operator's note. Where
something was written for whoever the run concerns, that is its ``message``. Only what ``public`` makes of a reason is
for customers.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


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


#: Kinds of which customers learn no more than that something broke.
_INSIDE = frozenset({ReasonKind.FAULT, ReasonKind.BREAKER, ReasonKind.STUCK, ReasonKind.UNREADABLE})
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


def public(reason: Mapping[str, Any]) -> dict[str, str]:
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
