"""The engine's own counters and histograms. Its gauges are in ``sagas.observability.gauges``."""

from __future__ import annotations

from sagas.definition.participants import Operation
from sagas.metrics.instruments import ANY, Counter, Histogram
from sagas.states import State

_STATES = tuple(state.value for state in State)
_OPERATIONS = tuple(operation.value for operation in Operation)
_OUTCOMES = ("DONE", "REJECTED", "FAULT", "ACCEPTED", "INTENT")
_STEP = {"saga": ANY, "step": ANY, "operation": _OPERATIONS}

TRANSITIONS = Counter(
    "sagas_transitions_total", "Runs that have entered a state.", labels={"saga": ANY, "state": _STATES}
)
RUN_DURATION = Histogram(
    "sagas_run_duration_seconds",
    "From the start of a run to its end, by the database's clock; waits for customers are in it.",
    labels={"saga": ANY, "outcome": (State.SUCCEEDED.value, State.FAILED.value)},
)
OPERATIONS = Counter(
    "sagas_step_operations_total",
    "Operations of steps, counted by run, with their outcome.",
    labels={**_STEP, "outcome": _OUTCOMES},
)
STEP_DURATION = Histogram(
    "sagas_step_duration_seconds", "Time in a participant for the runs of one transaction together.", labels=_STEP
)
COHORT = Histogram(
    "sagas_cohort_size",
    "Runs that one transaction has performed an operation for.",
    labels=_STEP,
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 400, 800),
)
CLAIM_WAIT = Histogram(
    "sagas_claim_wait_seconds",
    "From the time at which a run was due until a dispatcher claimed it. Of COMPENSATING it is the lag of undoing.",
    labels={"saga": ANY, "state": _STATES},
)
STEP_WAIT = Histogram(
    "sagas_step_wait_seconds",
    "From the publishing of a message until a worker began with its runs, by the clocks of these two processes.",
    labels=_STEP,
)
DEADLINE_DRIFT = Histogram(
    "sagas_deadline_drift_seconds",
    "From a confirmation's deadline until it was judged, by RabbitMQ's message or by the tick.",
    labels={"saga": ANY, "outcome": ("broker", "tick")},
)
LAPSED = Counter("sagas_leases_lapsed_total", "Claims of runs whose last claim made no progress.", labels={"saga": ANY})
KICKS_LOST = Counter("sagas_kicks_lost_total", "Kicks that Redis did not take: the next tick finds the work.")
REDIS_AWAY = Counter("sagas_redis_away_total", "Times that Redis did not answer, and was left alone for a moment.")
REFUSED = Counter("sagas_admission_refused_total", "Starts that were refused because a run would begin too late.")
LOST = Counter("sagas_metrics_lost_total", "Flushes of which it is not known whether they were written.")
