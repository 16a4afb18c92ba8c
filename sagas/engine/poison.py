"""Find the run that is to blame where work on many locked runs breaks, and hand it to a person.

A deadline that the application computes, a request that loads no more, a number that the database refuses: what breaks
for one run breaks at every claim again, and would stop all others for ever.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from django.db import DataError, Error, IntegrityError, transaction

from sagas import store
from sagas.db import ConnectionLost
from sagas.decisions import plan
from sagas.decisions.messages import Message
from sagas.decisions.reasons import ReasonKind, error_text, write_reason
from sagas.engine.compensation import escalate, event
from sagas.failure_log import exc_info_of
from sagas.store.locked_runs import LockedRun

logger = logging.getLogger(__name__)

#: Savepoints that are kept in one transaction: past 64 PostgreSQL slows down.
SAVEPOINTS = 50


def is_nobodys(error: Exception) -> bool:
    """Whether no run is to blame: two transactions met, the database went away, or it was not migrated yet.

    Of what a database says, only that it refuses a value is about a run: else a deploy in the wrong order would call a
    person for every run that there is.
    """
    if isinstance(error, Error):
        return not isinstance(error, DataError | IntegrityError)
    return isinstance(error, ConnectionLost | MemoryError)


def bisect(
    rows: Sequence[store.runs.Row], work: Callable[[Sequence[store.runs.Row]], list[Message]]
) -> tuple[list[Message], list[store.runs.Row]]:
    """Do ``work`` for locked runs in savepoints: where it breaks for half of them, until the run to blame is alone.

    That one is escalated.

    Returns:
        What must be published after the commit, and the runs that it did not come to: there are enough savepoints.
    """
    messages: list[Message] = []
    parts = deque([list(rows)] if rows else [])
    kept = 0
    while parts and kept < SAVEPOINTS:
        part = parts.popleft()
        try:
            with transaction.atomic():
                following = work(part)
        except Exception as error:
            if is_nobodys(error) or transaction.get_rollback():
                raise
            if len(part) > 1:
                middle = (len(part) + 1) // 2
                parts.extendleft([part[middle:], part[:middle]])
                continue
            _hand_over(part[0], error)
        else:
            messages += following
        kept += 1
    return messages, [row for part in parts for row in part]


def _hand_over(row: store.runs.Row, error: Exception) -> None:
    logger.error(
        "sagas: run %s of %s breaks the claim, a person is called: %s: %s",
        row.id,
        row.saga,
        type(error).__name__,
        _told(row, error_text(error)),
        exc_info=exc_info_of(error, partial(_told, row)),
    )
    step, operation = _next(row)
    reason = write_reason(ReasonKind.UNREADABLE, step, type(error).__name__, _told(row, error_text(error)))
    try:
        with transaction.atomic():
            escalate(row, event("escalate", step=step), reason, operation=operation)
    except Exception as second:
        if is_nobodys(second) or transaction.get_rollback():
            raise
        # Not even that: it is left alone for a lease, ever longer, so that it does not come first each time.
        logger.exception("sagas: run %s cannot be escalated", row.id)
        store.claims.lease([row.id], begin=False)


def _next(row: store.runs.Row) -> tuple[str, str]:
    """What comes next for it, where that can be said."""
    try:
        onward = plan.onward(LockedRun.of(row).definition, row.place)
    except Exception:
        return "", ""
    return (onward[0][0].step, onward[0][0].operation) if onward else ("", "")


def _told(row: store.runs.Row, text: str) -> str:
    """An error's text, without what is personal in the run's data: people will read it."""
    try:
        return LockedRun.of(row).hide(text)
    except Exception:
        return ""
