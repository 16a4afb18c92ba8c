"""What a person should do about an escalation: a suggestion of the engine, which knows where the run stands. Pure.

Notices contain the suggestion. So it names steps and sagas, and quotes neither a request nor an error.
"""

from __future__ import annotations

import json

from sagas.decisions.reasons import ReasonKind
from sagas.states import State

#: Codes of the engine's own errors.
UNKNOWN_SAGA = "UnknownSaga"
NO_PROGRESS = "NoProgress"
BREAKER_OPEN = "BreakerOpen"
CHILD_ENDED = "ChildEnded"
ESCALATION_LOST = "EscalationLost"


def suggest(state: State, step: str, operation: str, error: str) -> str:
    """Suggest what to do.

    Args:
        state: where the run stood.
        step: the step that broke; "" where none did.
        operation: the operation that broke; "" where none did.
        error: why, as ``decisions.reasons.write_reason`` writes it: JSON text.
    """
    found = json.loads(error)
    kind, code = (found.get("kind", ""), found.get("code", "")) if isinstance(found, dict) else ("", "")
    what = f"{step}.{operation}" if step and operation else "the step at which it stands"
    if code == UNKNOWN_SAGA:
        return (
            "No worker knows this saga in this version. Deploy it, or mend the module that failed to be imported "
            "(manage.py check names it), then resume."
        )
    if code == NO_PROGRESS:
        return (
            "No worker has finished what was asked. See that workers run and consume this step's queue, that "
            "RabbitMQ takes messages, and that the participant does not hang; then resume."
        )
    if code == ESCALATION_LOST:
        return (
            "Somebody has deleted why this run needs a person. Its log says what broke last; see that this is mended, "
            f"then resume: it goes on in {state}."
        )
    if code == CHILD_ENDED:
        done, wanted = ("undone", "confirmed") if state is State.CONFIRMING else ("confirmed", "undone")
        return (
            f"The child run of {step} was ended by hand, and is {done}; this run wants it {wanted}, and a run that has "
            f"ended does not change: to resume this one only asks again. Bring the child's effects and all that is "
            "left of this run to one end by hand, then resolve this run as what that is."
        )
    if kind == ReasonKind.UNREADABLE:
        return (
            "The engine cannot say what comes next for this run: its request does not load any more, its deadline "
            "(until=) cannot be computed, or the database refuses what follows. Let the code read what was before "
            "(manage.py sagas doctor counts such runs), then resume."
        )
    if kind == ReasonKind.BREAKER:
        return (
            f"The participant of {what} breaks too often: its breaker is open, and whoever breaks there is escalated "
            "at once. Mend it. A probe that succeeds closes the breaker, and the runs that wait go on; then resume "
            "these."
        )
    if state is State.COMPENSATING:
        return (
            f"The undo of {what} keeps failing. Mend its cause, then resume: it goes on with this undo. "
            "Resolve as FAILED only if this step, and every step before it, has been undone by hand."
        )
    if state is State.CONFIRMING:
        return (
            f"The run is past its confirmation and only goes forward, and {what} keeps failing. Mend its cause, "
            "then resume. Resolve as SUCCEEDED only if all that is left has been confirmed by hand."
        )
    return f"Mend the cause of {what}, then resume."
