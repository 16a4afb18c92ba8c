"""Play something on the real database, and take it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import transaction

from sagas import store
from sagas.testing.clock import Clock


@contextmanager
def rehearsal(databases: Sequence[str], clock: Clock | None = None) -> Iterator[None]:
    """Take back what happens inside, on these databases, and on the clock."""
    began = clock.now if clock else None
    recorded = set(store.definitions._recorded)
    try:
        with ExitStack() as stack:
            for database in databases:
                stack.enter_context(_taken_back(database))
            yield
    finally:
        # Whatever was put on record inside is not there any more, however it has ended.
        store.definitions._recorded.intersection_update(recorded)
    if clock and began:
        clock.go_back_to(began)


@contextmanager
def _taken_back(database: str) -> Iterator[None]:
    atomic: Any = transaction.atomic(using=database)
    # As Django marks the transaction that is around a TestCase: what is durable otherwise may be taken back in it.
    atomic._from_testcase = True
    with atomic:
        try:
            yield
        finally:
            transaction.set_rollback(True, using=database)
