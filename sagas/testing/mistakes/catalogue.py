"""The usual mistakes of participants, and how to fix each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MistakeKind(StrEnum):
    """The kinds of usual mistakes."""

    OUTSIDE_EFFECT = "an effect outside the transaction"
    COMMITS = "it ends the transaction"
    READS_CLOCK = "it reads the clock"
    NOT_KEYED = "it is not keyed"
    BY_RETURNED_ID = "it undoes by a returned id"
    #: For a confirm or an undo. The same mistake of a forward operation is NOT_KEYED.
    NOT_IDEMPOTENT = "it is not idempotent"
    #: For a confirm or an undo that raises, and for effects that the COMMIT would refuse.
    BREAKS = "it breaks"
    MANY_DISAGREES = "its many disagrees with its one-call form"


#: How to fix each kind.
_FIXES = {
    MistakeKind.OUTSIDE_EFFECT: (
        "write in the step's own database only: it is committed with the run. For another database declare a step with "
        "database=…, and for another system a remote participant. Send mail, and do other work that follows the "
        "commit and must not be lost, in a hook or in a consumer of an event"
    ),
    MistakeKind.COMMITS: "let the engine commit: one commit must contain both the effect and the run's new state",
    MistakeKind.READS_CLOCK: (
        "ask the database for the time after you have taken your locks (SELECT clock_timestamp()), or take the time "
        "from the request: an attempt that is repeated, or that waits for a lock, must decide as the first one"
    ),
    MistakeKind.NOT_KEYED: (
        "write call.run_id and call.step (or call.key) beside the effect, with a unique constraint, so that a second "
        "effect is refused, or finds the first"
    ),
    MistakeKind.BY_RETURNED_ID: (
        "find what to undo by call.run_id and call.step: if the answer was lost, no result contains the id"
    ),
    MistakeKind.NOT_IDEMPOTENT: (
        "confirm or undo only rows that are still held: UPDATE … WHERE run_id = … AND state = 'held', and return "
        "without an error if there are none"
    ),
    MistakeKind.BREAKS: (
        "leave no rows that the COMMIT would refuse, and do not ignore a database error in a transaction that goes "
        "on. A confirm or an undo must succeed in the end: the run is escalated to a person if it does not"
    ),
    MistakeKind.MANY_DISAGREES: (
        "return the answers in the order of the calls, and treat each call as if the calls before it in the list had "
        "already happened: add up what they take from one row, and count it for the next call"
    ),
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One usual mistake of one operation.

    Attributes:
        step: name of the step.
        operation: name of the operation.
        participant: ``module.name`` of the participant.
        kind: kind of the mistake.
        observed: what was observed.
    """

    step: str
    operation: str
    participant: str
    kind: MistakeKind
    observed: str

    def __str__(self) -> str:
        """Describe the participant, the mistake, what was observed, and the fix."""
        return (
            f"{self.participant} ({self.step}.{self.operation}): {self.kind}\n"
            f"  observed: {self.observed}\n  fix: {_FIXES[self.kind]}"
        )
