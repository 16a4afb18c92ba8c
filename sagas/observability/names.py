"""The names of spans and of their attributes, in one place: no convention for workflows exists yet.

What a convention has a name for (``error.type``) has that name.
"""

from __future__ import annotations

#: The instrumentation scope of the engine's spans.
SCOPE = "sagas"

# Attributes ---------------------------------------------------------------------------------------------------------

#: The stored name of the saga, as "orders.PlaceOrder".
SAGA = "sagas.saga"
#: The run's id, a UUID with hyphens. Also the key of the baggage that remote participants get.
RUN_ID = "sagas.run.id"
#: The step's persisted name; the confirmation's in a confirmation or a deadline.
STEP = "sagas.step"
#: What was done, as in the run's log: "action", "compensation", "confirm", "cancel", "deadline", …
OPERATION = "sagas.operation"
#: The attempt at the operation, from 1.
ATTEMPT = "sagas.attempt"
#: How the operation ended, as in the run's log: "DONE", "REJECTED", "FAULT", …; "EVENT" where nothing was performed.
OUTCOME = "sagas.outcome"
#: The runs for which one transaction has performed the operation.
COHORT_SIZE = "sagas.cohort.size"
#: The state in which the run is afterwards, if it has changed.
STATE = "sagas.state"
#: OpenTelemetry's attribute for the class of an error.
ERROR_TYPE = "error.type"
