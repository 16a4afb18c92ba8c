"""The gauges of service levels: the runs of each window, the budget that is left, and incidents that are open.

They are what ``sagas.observability.burning`` judges, from the same counted minutes: Prometheus' rules say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from sagas import store
from sagas.decisions.burn_rates import PERIOD, WINDOWS, Runs
from sagas.definition import registry
from sagas.metrics.instruments import ANY, Gauge, Values

#: By window, as Prometheus writes it.
NAMES: Mapping[timedelta, str] = MappingProxyType(dict(zip(WINDOWS, ("5m", "30m", "1h", "6h", "3d"), strict=True)))

RUNS = Gauge(
    "sagas_objective_runs",
    "Runs that have ended in a window until now, by whether they met an objective.",
    {"saga": ANY, "outcome": ("good", "bad"), "objective": ANY, "window": tuple(NAMES.values())},
)
TARGET = Gauge("sagas_objective_target", "The share of good runs that is promised.", {"saga": ANY, "objective": ANY})
FLOOR = Gauge(
    "sagas_objective_floor",
    "The number of bad runs in the longer window below which nobody is alerted.",
    {"saga": ANY, "objective": ANY},
)
LEFT = Gauge(
    "sagas_objective_budget_left",
    "The share of the error budget of 30 days that is left; below 0 if the objective is missed.",
    {"saga": ANY, "objective": ANY},
)
BURNING = Gauge(
    "sagas_burn_incidents_open",
    "1 while the budget burns of an objective, of which people were told.",
    {"saga": ANY, "objective": ANY},
)


def look() -> dict[str, Values]:
    """All of them, by name; of an objective without runs nothing but what it promises."""
    runs: dict[tuple[str, ...], float] = {}
    target: dict[tuple[str, ...], float] = {}
    floor: dict[tuple[str, ...], float] = {}
    left: dict[tuple[str, ...], float] = {}
    burning: dict[tuple[str, ...], float] = {}
    declared = registry.objectives()
    at = store.service_levels.counted_until() if declared else None
    sagas = sorted(declared)
    windows = store.burn_rates.windows(at, sagas) if at is not None else {}
    months = store.burn_rates.totals(sagas, at - PERIOD, at) if at is not None else {}
    still_open = store.burn_rates.open_incidents() if declared else {}
    for saga, objectives in declared.items():
        for objective in objectives:
            key = saga, objective.name
            target[key], floor[key] = objective.target, objective.floor
            burning[key] = float(key in still_open)
            month = months.get(key, Runs())
            if month.good + month.bad:
                left[key] = 1 - objective.burn(month.good, month.bad)
            for length, found in windows.get(key, {}).items():
                runs[saga, "good", objective.name, NAMES[length]] = found.good
                runs[saga, "bad", objective.name, NAMES[length]] = found.bad
    return {RUNS.name: runs, TARGET.name: target, FLOOR.name: floor, LEFT.name: left, BURNING.name: burning}
