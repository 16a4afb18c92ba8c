"""The statements that a test's block sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection
from django.test.utils import CaptureQueriesContext


class SentStatements(CaptureQueriesContext):
    """What was sent; but not what a session does once for many: a statement is prepared anew every few seconds."""

    @property
    def captured_queries(self) -> list[dict[str, str]]:
        sent = super().captured_queries
        return [query for query in sent if not query["sql"].startswith(("PREPARE ", "DEALLOCATE "))]


@contextmanager
def asserting(holds: Callable[[int], bool], expected: str) -> Iterator[SentStatements]:
    """Assert something of the number of statements that the block sends."""
    with SentStatements(connection) as sent:
        yield sent
    assert holds(len(sent)), f"{len(sent)} statements, not {expected}:\n" + "\n".join(q["sql"] for q in sent)
