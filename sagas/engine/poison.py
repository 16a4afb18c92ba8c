"""Bisection: find the one run for which work on many runs fails, so that the others go on.

A claim fails for a run whose deadline the application cannot compute, whose request does not load any more, or whose
number the database refuses. It would fail again at every claim, and stop all other runs. So that run is escalated.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from django.db import DataError, Error, IntegrityError, transaction

from sagas import store
from sagas.db import ConnectionLost
from sagas.decisions import plan
from sagas.decisions.messages import Message
from sagas.decisions.reasons import ReasonKind, error_text, write_reason
from sagas.engine.compensation import escalate
from sagas.failure_log import exc_info_of
from sagas.store.locked_runs import LockedRun

logger = logging.getLogger(__name__)

#: Savepoints in one transaction: past 64 PostgreSQL slows down.
SAVEPOINTS = 50

T = TypeVar("T")


def halves(cohort: Sequence[T]) -> list[Sequence[T]]:
    """The two halves of a cohort, the first one not smaller; one part if there is only one run."""
    middle = (len(cohort) + 1) // 2
    return [half for half in (cohort[:middle], cohort[middle:]) if half]


class Parts(Generic[T]):
    """What is left of a cohort, in parts. A part for which work fails is replaced by its halves.

    Every bisection works through such parts: that of a claim in savepoints of one transaction, that of a step in a
    transaction for each part.
    """

    def __init__(self, cohort: Sequence[T], size: int) -> None:
        """Cut ``cohort`` into parts of ``size`` runs."""
        self._parts = deque(cohort[start : start + size] for start in range(0, len(cohort), size))

    def __bool__(self) -> bool:
        return bool(self._parts)

    def take(self) -> Sequence[T]:
        """Remove and return the first part."""
        return self._parts.popleft()

    def put_back(self, part: Sequence[T]) -> None:
        """Make this the first part."""
        self._parts.appendleft(part)

    def halve(self, part: Sequence[T]) -> None:
        """Make the halves of this part the first ones."""
        self._parts.extendleft(reversed(halves(part)))

    def rest(self) -> list[T]:
        """All runs that are left."""
        return [run for part in self._parts for run in part]

    def clear(self) -> None:
        """Leave nothing to do."""
        self._parts.clear()


def is_systemic(error: Exception) -> bool:
    """Whether an error is caused by no run: a collision, a lost connection, a schema that is not migrated yet.

    Of the errors of a database only a refused value is caused by a run. Otherwise a deployment in the wrong order would
    escalate every run that there is.
    """
    if isinstance(error, Error):
        return not isinstance(error, DataError | IntegrityError)
    return isinstance(error, ConnectionLost | MemoryError)


def bisect(
    rows: Sequence[store.runs.Row], work: Callable[[Sequence[store.runs.Row]], list[Message]]
) -> tuple[list[Message], list[store.runs.Row]]:
    """Do ``work`` for locked runs in savepoints. Where it fails, do it for halves; escalate a run that fails alone.

    Returns:
        What must be published after the commit, and the runs that were not worked on because no savepoints were left.
    """
    messages: list[Message] = []
    parts = Parts(rows, max(1, len(rows)))
    kept = 0
    while parts and kept < SAVEPOINTS:
        part = parts.take()
        try:
            with transaction.atomic():
                following = work(part)
        except Exception as error:
            if is_systemic(error) or transaction.get_rollback():
                raise
            if len(part) > 1:
                parts.halve(part)
                continue
            _escalate(part[0], error)
        else:
            messages += following
        kept += 1
    return messages, parts.rest()


def _escalate(row: store.runs.Row, error: Exception) -> None:
    logger.error(
        "sagas: run %s of %s breaks the claim, a person is called: %s: %s",
        row.id,
        row.saga,
        type(error).__name__,
        _redacted(row, error_text(error)),
        exc_info=exc_info_of(error, partial(_redacted, row)),
    )
    step, operation = _next(row)
    reason = write_reason(ReasonKind.UNREADABLE, step, type(error).__name__, _redacted(row, error_text(error)))
    try:
        with transaction.atomic():
            escalate(row, store.moves.event_entry("escalate", step=step), reason, operation=operation)
    except Exception as second:
        if is_systemic(second) or transaction.get_rollback():
            raise
        # The escalation fails too. A lease, which doubles each time, keeps the run from coming first at every claim.
        logger.exception("sagas: run %s cannot be escalated", row.id)
        store.claims.lease([row.id], begin=False)


def _next(row: store.runs.Row) -> tuple[str, str]:
    """Step and operation that come next for the run; empty where they cannot be determined."""
    try:
        onward = plan.next_chains(LockedRun.of(row).definition, row.place)
    except Exception:
        return "", ""
    return (onward[0][0].step, onward[0][0].operation) if onward else ("", "")


def _redacted(row: store.runs.Row, text: str) -> str:
    """An error's text without personal data of the run: people will read it."""
    try:
        return LockedRun.of(row).hide(text)
    except Exception:
        return ""
