"""The engine's gauges: how things are now. One query of the database answers for all but those of service levels.

What it reads is what is under way: runs that are not ended, open escalations, the outbox, workers. Of each it reads no
more than ``store.gauges.MOST`` rows. So its cost does not grow with what is on record.
"""

from __future__ import annotations

from collections.abc import Mapping

from sagas import store
from sagas.decisions.reasons import ReasonKind
from sagas.definition import registry
from sagas.metrics.instruments import ANY, Gauge, Values
from sagas.observability import burn_gauges
from sagas.states import LIVE, State

_STATES = tuple(sorted(state.value for state in {*LIVE, State.ESCALATED}))

RUNS = Gauge("sagas_runs", "Runs that have not ended.", {"saga": ANY, "state": _STATES})
OLDEST = Gauge(
    "sagas_oldest_seconds", "Age of the oldest run in a state, from its start.", {"saga": ANY, "state": _STATES}
)
OVERDUE = Gauge(
    "sagas_overdue_seconds",
    "For how long the run has been due that nobody has claimed for longest. Of COMPENSATING it is the lag of undoing.",
    {"saga": ANY, "state": _STATES},
)
CAPPED = Gauge(
    "sagas_runs_capped", f"1 if more than {store.gauges.MOST:,} runs are under way: only the longest due are counted."
)
ESCALATIONS = Gauge(
    "sagas_escalations_open",
    "Runs that wait for a person, by why.",
    {"saga": ANY, "step": ANY, "outcome": tuple(kind.value for kind in ReasonKind)},
)
UNSEEN = Gauge("sagas_escalation_unseen_seconds", "Age of the oldest escalation that nobody has acknowledged.")
BREAKERS = Gauge(
    "sagas_breakers_open", "Participants that are not called, because they break.", {"saga": ANY, "step": ANY}
)
OUTBOX = Gauge("sagas_outbox_oldest_seconds", "Age of the event that has been due for longest, and is not published.")
DEAD = Gauge("sagas_dead_events", "Events that a listener could not take (without a broker).")
WORKERS = Gauge("sagas_workers", "Workers by whether they give signs of life.", {"state": ("alive", "silent")})
TICK = Gauge(
    "sagas_last_tick_seconds",
    "Since the last tick of the workers that consume a step's queue, the latest of them.",
    {"saga": ANY, "step": ANY},
)
DELIVERY = Gauge(
    "sagas_last_delivery_seconds",
    "Since the last message that the workers of a step's queue consumed.",
    {"saga": ANY, "step": ANY},
)


def look() -> dict[str, Values]:
    """All of them, by name."""
    found: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in _BY_KIND.values()}
    alone = {"capped": CAPPED, "unseen": UNSEEN, "outbox": OUTBOX, "dead": DEAD}
    for gauge in alone.values():
        found[gauge.name] = {(): 0.0}
    by_queue: dict[str, dict[str, float]] = {"ticked": {}, "delivered": {}}
    for one in store.gauges.look():
        kind, _, second, _, number = one
        if kind in by_queue:
            for queue in filter(None, second.split(",")):
                by_queue[kind][queue] = min(number, by_queue[kind].get(queue, number))
        elif kind in alone:
            found[alone[kind].name][()] = number
        else:
            _add(found, one)
    found[WORKERS.name] = {(state,): found[WORKERS.name].get((state,), 0.0) for state in ("alive", "silent")}
    for kind, gauge in (("ticked", TICK), ("delivered", DELIVERY)):
        found[gauge.name] = _by_step(by_queue[kind])
    return {**found, **burn_gauges.look()}


#: What of ``store.gauges`` is which gauge.
_BY_KIND = {
    "runs": RUNS.name,
    "oldest": OLDEST.name,
    "overdue": OVERDUE.name,
    "escalations": ESCALATIONS.name,
    "breaker": BREAKERS.name,
    "worker": WORKERS.name,
}


def _add(found: dict[str, dict[tuple[str, ...], float]], one: store.gauges.Found) -> None:
    kind, first, second, third, number = one
    match kind:
        case "escalations":
            labels: tuple[str, ...] = ESCALATIONS.admit({"saga": first, "step": second, "outcome": third})
        case "breaker":
            labels = (first.removesuffix(f".{second}"), second)
        case "worker":
            labels = (third,)
        case _:
            labels = (first, second)
    values = found[_BY_KIND[kind]]
    values[labels] = values.get(labels, 0.0) + number


def _by_step(by_queue: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    """Of each step that this process knows, the number of its queue: a pool of workers is who consumes that."""
    return {
        (definition.name, step.name): by_queue[step.queue]
        for definition in registry.all_definitions()
        for step in definition.all_steps
        if step.queue in by_queue
    }
