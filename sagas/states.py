"""The life of a run: its states, the one table of the moves between them, and the names of the carriers.

A trigger in the database has the same table (migration ``0002_guards``), so nobody can commit a wrong move.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from sagas.errors import IllegalTransition


class State(StrEnum):
    """Where a run stands. The names are the stored values."""

    PENDING = "PENDING"
    EXECUTING = "EXECUTING"
    AWAITING_CONFIRM = "AWAITING_CONFIRM"
    CONFIRMING = "CONFIRMING"
    COMPENSATING = "COMPENSATING"
    ESCALATED = "ESCALATED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


#: A run in such a state has ended.
FINAL: Final = frozenset({State.SUCCEEDED, State.FAILED})
#: The engine moves a run in such a state automatically: the run has a ``due_at``.
LIVE: Final = frozenset({State.PENDING, State.EXECUTING, State.AWAITING_CONFIRM, State.CONFIRMING, State.COMPENSATING})
#: A run in such a state may still be confirmed, and may still be cancelled.
UNDECIDED: Final = frozenset({State.PENDING, State.EXECUTING, State.AWAITING_CONFIRM})

TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.PENDING: frozenset({State.EXECUTING, State.COMPENSATING, State.ESCALATED}),
    State.EXECUTING: frozenset(
        {
            State.AWAITING_CONFIRM,
            State.CONFIRMING,
            State.SUCCEEDED,
            State.COMPENSATING,
            State.ESCALATED,
        }
    ),
    State.AWAITING_CONFIRM: frozenset({State.CONFIRMING, State.COMPENSATING, State.ESCALATED}),
    # The confirmation is the pivot: from here the run only goes forward.
    State.CONFIRMING: frozenset({State.SUCCEEDED, State.ESCALATED}),
    State.COMPENSATING: frozenset({State.FAILED, State.ESCALATED}),
    # A person resumes it in the state from which it came, or ends it.
    State.ESCALATED: LIVE | FINAL,
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
}


def check_transition(before: State, after: State) -> None:
    """Raise ``IllegalTransition`` unless a run may go from ``before`` to ``after`` (or stay)."""
    if before is not after and after not in TRANSITIONS[before]:
        msg = f"a run in {before} cannot become {after}"
        raise IllegalTransition(msg)


class BarrierOutcome(StrEnum):
    """The outcome of an operation in another database, as its barrier row has it."""

    DONE = "DONE"
    REJECTED = "REJECTED"
    #: It has begun; its outcome is reported later.
    ACCEPTED = "ACCEPTED"
    #: Its undo came first, so it never happens.
    VOID = "VOID"


#: How a saga's cohorts travel: as Celery chains, or by each step's events. ``SAGAS["CARRIERS"]`` may say otherwise.
ORCHESTRATION: Final = "orchestration"
CHOREOGRAPHY: Final = "choreography"
CARRIERS: Final = (ORCHESTRATION, CHOREOGRAPHY)

#: How many transactions a saga's steps take: one each, or one for all that follow each other in one phase.
ORDINARY: Final = "ordinary"
COMPRESSED: Final = "compressed"
LIFECYCLES: Final = (ORDINARY, COMPRESSED)
