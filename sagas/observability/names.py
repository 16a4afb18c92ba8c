"""The names of spans and of their attributes, in one place: no convention for workflows exists yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagas.store.moves import Entry

#: The instrumentation scope of the engine's spans.
SCOPE = "sagas"

# Attributes ---------------------------------------------------------------------------------------------------------

#: The stored name of the saga, as "orders.PlaceOrder".
SAGA = "sagas.saga"
#: The run's id, a UUID with hyphens. Also the key of the baggage that remote participants get.
RUN_ID = "sagas.run.id"
#: The step's persisted name; the confirmation's in a confirmation or a deadline.
STEP = "sagas.step"
#: What was done, as in the run's log: "forward", "compensate", "try", "confirm", "cancel", "confirmation", "expire", …
OPERATION = "sagas.operation"
#: The attempt at the operation, from 1.
ATTEMPT = "sagas.attempt"
#: How it ended, as in the run's log: "DONE", "REJECTED", "FAULT", "ACCEPTED"; "EVENT" where nothing was performed.
OUTCOME = "sagas.outcome"
#: The runs for which one transaction has performed the operation.
COHORT_SIZE = "sagas.cohort.size"
#: The state in which the run is afterwards, if it has changed.
STATE = "sagas.state"
#: The class of the error, in the call of another system; OpenTelemetry's own name.
ERROR_TYPE = "error.type"

# Spans --------------------------------------------------------------------------------------------------------------

#: The start of a run outside any trace: the trace begins with it.
START = "start"


def operation(entry: Entry) -> str:
    """What was done at a step, or happened to the run, as the run's log calls it."""
    if entry.outcome == "EVENT":
        return f"{entry.operation} {entry.step}".rstrip()
    return f"{entry.step}.{entry.operation}"


def wait(awaited: str) -> str:
    """A wait for an answer or a confirmation, from when the run came to it until something happened."""
    return f"await {awaited}"


def call(step: str, what: str) -> str:
    """A call of another system, while it is made."""
    return f"call {step}.{what}"
