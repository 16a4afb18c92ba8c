"""Counting: what was written of runs becomes counters and histograms, after the commit."""

from __future__ import annotations

from sagas.conf import Misconfigured, config
from sagas.metrics import catalogue
from sagas.metrics.instruments import Change, count_now
from sagas.store import observers
from sagas.store.observers import Written


def begin() -> None:
    """Have this process count, if metrics are on. Where they are off, nothing is called."""
    try:
        is_on = config().metrics
    except Misconfigured:
        return  # the system checks report it
    if is_on:
        observers.observe(count)


def count(written: Written) -> None:
    """Count what one statement has written: an operation of runs, and the state that they have entered."""
    change, entry, number = written.change, written.entry, len(written.rows)
    saga = written.rows[0].saga
    changes: list[Change] = []
    if change is not None and change.before.state is not change.after.state:
        changes.append((catalogue.TRANSITIONS, number, {"saga": saga, "state": change.after.state.value}))
    # An event is no operation of a step.
    if entry is not None and entry.outcome != "EVENT":
        labels = {"saga": saga, "step": entry.step, "operation": entry.operation}
        changes.append((catalogue.OPERATIONS, number, {**labels, "outcome": entry.outcome}))
        if entry.duration_us:
            changes.append((catalogue.STEP_DURATION, (entry.duration_us / 1e6,), labels))
            changes.append((catalogue.COHORT, (number,), labels))
    count_now(changes)
