"""All SQL and all locks of the engine's tables. Nothing else opens a cursor on them.

One module a table, or a question that is asked of it: ``from sagas import store``, then ``store.runs.lock(…)``.
"""

from sagas.store import (
    barriers,
    breakers,
    claims,
    confirmations,
    definitions,
    escalations,
    families,
    gauges,
    locked_runs,
    locks,
    log,
    measurements,
    moves,
    outbox,
    overview,
    performers,
    retention,
    runs,
    service_levels,
    shared_decisions,
    shared_rows,
    workers,
)

__all__ = [
    "barriers",
    "breakers",
    "claims",
    "confirmations",
    "definitions",
    "escalations",
    "families",
    "gauges",
    "locked_runs",
    "locks",
    "log",
    "measurements",
    "moves",
    "outbox",
    "overview",
    "performers",
    "retention",
    "runs",
    "service_levels",
    "shared_decisions",
    "shared_rows",
    "workers",
]
