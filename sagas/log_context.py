"""What a line of the log is about: the saga, the step, the runs and the trace of what this process does now.

The engine binds it, and knows no logging library: a processor or a filter of the project adds ``fields()`` to a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import NamedTuple
from uuid import UUID

from sagas import trace_context

__all__ = ["fields"]

#: A line names so many runs of a cohort.
RUNS = 10


class _Bound(NamedTuple):
    saga: str
    step: str
    run_ids: Sequence[UUID]


_bound: ContextVar[_Bound | None] = ContextVar("sagas_log_context", default=None)


@contextmanager
def of(saga: str, step: str, run_ids: Sequence[UUID]) -> Iterator[None]:
    """Lines of this block are about these runs."""
    token = _bound.set(_Bound(saga, step, run_ids))
    try:
        yield
    finally:
        _bound.reset(token)


def of_run(run_id: UUID) -> AbstractContextManager[None]:
    """Lines of this block are about one run of the cohort."""
    outer = _bound.get()
    return of(outer.saga if outer else "", outer.step if outer else "", (run_id,))


def fields() -> dict[str, object]:
    """The fields of a line that is written here and now; only those that are known.

    ``run_id`` is there for a single run; for a cohort ``run_ids``, the first ten of them, and ``runs``, their number.
    """
    found: dict[str, object] = {}
    trace = trace_context.current()
    if trace is not None:
        found["trace_id"] = trace.trace_id.hex
    bound = _bound.get()
    if bound is None:
        return found
    found |= {name: value for name, value in (("saga", bound.saga), ("step", bound.step)) if value}
    if len(bound.run_ids) == 1:
        found["run_id"] = str(bound.run_ids[0])
    else:
        found |= {"run_ids": [str(run_id) for run_id in bound.run_ids[:RUNS]], "runs": len(bound.run_ids)}
    return found
