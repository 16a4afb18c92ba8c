"""What the children of a run are told: they are confirmed, or undone, with it.

Each in a transaction of its own that locks the child only, behind the commit of its parent. What is lost there is
found again: a live parent asks again, and a child looks itself at a parent that has ended.
"""

from __future__ import annotations

import logging
from uuid import UUID

from sagas import store
from sagas.engine import lifecycle
from sagas.errors import AlreadyDecided
from sagas.redis.kicks import kick
from sagas.states import State
from sagas.store.locked_runs import PARENT

logger = logging.getLogger(__name__)


def confirm(child: UUID) -> None:
    """Confirm it."""
    lifecycle.receive_confirmation(child, PARENT, {})
    kick()


def cancel(child: UUID, reason: str) -> None:
    """Undo it."""
    try:
        lifecycle.cancel_run(child, reason=reason, by="parent", by_parent=True)
    except AlreadyDecided as decided:
        if decided.state is not State.ESCALATED:
            raise
        # A person has it; the parent asks again until it is resolved.
    kick()


def follow(parent: UUID, outcome: State) -> None:
    """Have the children of a run that a person has ended end as it did."""
    for child in store.runs.children(parent):
        try:
            if outcome is State.SUCCEEDED:
                confirm(child)
            else:
                cancel(child, f"{parent} was ended by hand")
        except AlreadyDecided as decided:
            # Its siblings are told all the same. One that has gone the other way is for whoever ended its parent.
            if decided.state is not State.ESCALATED:
                logger.warning(
                    "sagas: %s was ended as %s, and its child %s is %s", parent, outcome, child, decided.state
                )
