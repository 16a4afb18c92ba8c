"""The usual mistakes of participants, and how to fix each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Usual(StrEnum):
    """The kinds of usual mistakes."""

    OUTSIDE = "an effect outside the transaction"
    COMMITS = "it commits by itself"
    CLOCK = "it reads the clock"
    NOT_KEYED = "it is not keyed"
    BY_RETURNED_ID = "it undoes by a returned id"
    #: For a confirm or an undo. The same mistake of a forward operation is NOT_KEYED.
    NOT_IDEMPOTENT = "it is not idempotent"
    #: For a confirm or an undo that raises, and for effects that the COMMIT would refuse.
    BREAKS = "it breaks"
    MANY_DISAGREES = "its many disagrees with its one-call form"


#: How to fix each kind.
_MENDED = {
    Usual.OUTSIDE: (
        "write in the step's own database only, which commits with the run. Another database of yours is a step with "
        "database=…, another system a remote participant; mail, and what else is to be done after the commit and must "
        "not be lost, goes out in a hook, or from an event"
    ),
    Usual.COMMITS: "leave the transaction to the engine: its commit is what makes the effect and the run's move one",
    Usual.CLOCK: (
        "ask the database, after your locks (SELECT clock_timestamp()), or take the time from the request: an attempt "
        "that is repeated, or waits for a lock, must not decide otherwise than the others"
    ),
    Usual.NOT_KEYED: (
        "write call.run_id and call.step (or call.key) beside the effect, with a unique constraint, so that a second "
        "one is refused or finds the first"
    ),
    Usual.BY_RETURNED_ID: (
        "find what to undo by call.run_id and call.step: if the answer was lost, there is no result to read it from"
    ),
    Usual.NOT_IDEMPOTENT: (
        "confirm or undo only what still stands: UPDATE … WHERE run_id = … AND state = 'held', and answer done if "
        "nothing does"
    ),
    Usual.BREAKS: (
        "leave nothing that the COMMIT refuses, and pass over no database error in a transaction that goes on; what "
        "confirms or undoes must succeed in the end, until then a person is called"
    ),
    Usual.MANY_DISAGREES: (
        "answer each call in its place, and as if those before it in the list had come before: sum what they ask of "
        "one row, and count it for the next"
    ),
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One usual mistake of one operation.

    Attributes:
        step: name of the step.
        operation: name of the operation.
        participant: ``module.name`` of the participant.
        usual: kind of the mistake.
        seen: what was observed.
    """

    step: str
    operation: str
    participant: str
    usual: Usual
    seen: str

    def __str__(self) -> str:
        """Describe the participant, the mistake, what was observed, and the fix."""
        return (
            f"{self.participant} ({self.step}.{self.operation}): {self.usual}\n"
            f"  seen: {self.seen}\n  mend it: {_MENDED[self.usual]}"
        )
