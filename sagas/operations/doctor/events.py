"""Probes of the events that wait in the database for listeners of this project."""

from __future__ import annotations

from collections.abc import Iterator

from sagas import listeners, store
from sagas.operations.doctor.finding import Finding, Severity

#: Seconds after which an event that waits is reported.
LATE = 60.0


def queued() -> Iterator[Finding]:
    """Report events that were set aside, that wait for long, and those for listeners of which there is no code."""
    known = {listener.name for listener in listeners.all_listeners()}
    for name, (waiting, age, dead) in store.outbox.queued_by_listener().items():
        if dead:
            yield Finding(
                Severity.ERROR,
                f"{dead} event(s) were set aside, for the listener {name} could not take them.",
                remedy="Read the log, mend the listener, then: manage.py sagas dead --replay --all.",
            )
        if waiting and name not in known:
            yield Finding(
                Severity.WARNING,
                f"{waiting} event(s) wait for the listener {name}, of which this code has none.",
                remedy="Deploy the code that registers it by sagas.on_event, or delete its rows of sagas_queuedevent.",
            )
        elif waiting and age > LATE:
            yield Finding(
                Severity.WARNING,
                f"{waiting} event(s) wait for the listener {name}, the oldest for {age:.0f} s.",
                remedy="Check that manage.py sagas work runs, and read its log: a listener that fails is tried again. "
                "With a broker it is needed until none of these events waits.",
            )
