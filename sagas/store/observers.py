"""Functions that are told, after the commit, what was written of runs: traces and metrics are made of it.

As a hook's, the call may be lost: the process may die between the commit and the call. What nobody observes costs one
comparison a statement.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagas import runtime
from sagas.db import after_commit
from sagas.decisions.plan import Move
from sagas.store.runs import Row

if TYPE_CHECKING:
    from sagas.store.moves import Entry

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Written:
    """What one statement has written of runs of one saga.

    Attributes:
        rows: the runs, as they were locked: before the statement.
        entry: what their log rows share; ``None`` if they were moved with nothing to log.
        change: where they went from and to; ``None`` if they were not moved.
        at: when, by this process's clock, in nanoseconds of Unix time.
    """

    rows: Sequence[Row]
    entry: Entry | None
    change: Move | None
    at: int


Observer = Callable[[Written], object]


def observe(observer: Observer) -> None:
    """Have a function called after each commit with what was written. A function that is registered stays so, once."""
    if observer not in runtime.declared.observers:
        runtime.declared.observers.append(observer)


def tell(rows: Sequence[Row], entry: Entry | None = None, change: Move | None = None, *, ago: float = 0.0) -> None:
    """Tell the observers once the current transaction is committed, and not if it is rolled back.

    Args:
        rows: the runs.
        entry: what was logged of them.
        change: how they were moved.
        ago: how many seconds ago the logged operation ended.
    """
    if runtime.declared.observers:
        after_commit(_tell_all, Written(rows, entry, change, time.time_ns() - int(ago * 1e9)))


def _tell_all(written: Written) -> None:
    for observer in list(runtime.declared.observers):
        try:
            observer(written)
        except Exception:
            name = getattr(observer, "__qualname__", repr(observer))
            logger.exception("sagas: the observer %s failed for %d run(s)", name, len(written.rows))
