"""Rolls back what is played on the real databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import transaction

from sagas import runtime
from sagas.testing.clock import Clock


@contextmanager
def rolled_back(databases: Sequence[str], clock: Clock | None = None) -> Iterator[None]:
    """Roll back what happens inside the block in these databases, and set the clock back."""
    began = clock.now if clock else None
    recorded = set(runtime.memory.recorded)
    try:
        with ExitStack() as stack:
            for database in databases:
                stack.enter_context(_rolled_back_in(database))
            yield
    finally:
        # Definitions that were recorded inside are rolled back in any case.
        runtime.memory.recorded.intersection_update(recorded)
    if clock and began:
        clock.move_back_to(began)


@contextmanager
def _rolled_back_in(database: str) -> Iterator[None]:
    atomic: Any = transaction.atomic(using=database)
    # Django marks the transaction around a TestCase in this way, so that ``durable`` blocks are allowed in it.
    atomic._from_testcase = True
    with atomic:
        try:
            yield
        finally:
            transaction.set_rollback(True, using=database)
