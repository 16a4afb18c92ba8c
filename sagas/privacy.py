"""What of a run's data people may see: all but what is marked as personal. Participants read the run itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sagas import store
from sagas.definition.personal_data import HIDDEN, Marks, blank
from sagas.errors import UnknownSaga


class Kept(Protocol):
    """A run as the database keeps it."""

    saga: str
    version: int
    shape: int
    request: Any
    results: Any


def marks_of(run: Kept) -> Marks:
    """What is personal in a run's data; nothing where neither the code nor the record knows its saga."""
    try:
        return store.definitions.find(run.saga, run.version, run.shape).marks
    except UnknownSaga:
        return Marks()


def request_of(run: Kept) -> Any:
    """A run's request, for people."""
    return blank(run.request, marks_of(run).request, HIDDEN)


def results_of(run: Kept) -> Mapping[str, Any]:
    """What a run's steps returned, for people."""
    marks = marks_of(run)
    return {name: blank(result, marks.of(name), HIDDEN) for name, result in run.results.items()}
