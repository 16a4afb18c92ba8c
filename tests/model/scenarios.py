"""The sagas that are explored, and with what faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from sagas.definition.confirmations import Confirmation
from sagas.definition.definition import Definition
from sagas.definition.participants import Call
from sagas.definition.retry import Retry
from sagas.definition.steps import Step, Tcc
from sagas.states import FINAL
from tests.model import explorer, invariants
from tests.model.explorer import Explored, Kind
from tests.model.life import Life, is_at_rest
from tests.model.rules import RIGHT, Rules
from tests.model.world import World, describe

#: Twice: the first attempt and the last, with a wait between.
TWICE = Retry(attempts=2, delay=timedelta(seconds=1), jitter=0)
ONCE = Retry(attempts=1)


def _nobody(call: Call[Any]) -> None:
    """A participant: the model decides what it does."""


class _Resource:
    try_ = confirm = cancel = staticmethod(_nobody)


def _step(retry: Retry = TWICE, *, confirms: bool = False, undo: bool = True, database: str = "") -> Step:
    return Step(
        _nobody,
        confirm=_nobody if confirms else None,
        compensate=_nobody if undo else None,
        queue="orders",
        retry=retry,
        finish_retry=retry,
        database=database,
    )


def _tcc(retry: Retry = TWICE, *, database: str = "") -> Step:
    return Tcc(_Resource(), queue="inventory", retry=retry, finish_retry=retry, database=database)


def define(
    *steps: Step,
    confirmed: bool = True,
    refund: bool = False,
    shared: bool = False,
    fork: range | None = None,
    pivot: int | None = None,
) -> Definition:
    """A saga of these steps, called a, b, c, …"""
    confirmations: list[Confirmation] = []
    if confirmed:
        given = Confirmation(
            within=None if shared else timedelta(seconds=30),
            decided_by=(lambda request: request["group"]) if shared else None,
            compensate=_nobody if refund else None,
            queue="orders" if refund else "",
            finish_retry=TWICE,
        )
        given.__set_name__(Definition, "paid")
        confirmations.append(given)
    for letter, step in zip("abcdef", steps, strict=False):
        step.name = letter
    behind = len(steps) if pivot is None else pivot
    for step in steps[behind:]:
        step.place_behind_pivot()
    forks = (fork,) if fork else ()
    return Definition("model.Saga", 1, steps, tuple(confirmations), TypeAdapter(dict), forks, behind)


@dataclass(frozen=True)
class Scenario:
    """A saga, and what may happen to it besides the ordinary."""

    make: Callable[[], Definition]
    options: dict[str, Any] = field(default_factory=dict)

    def life(self, rules: Rules = RIGHT, **options: Any) -> Life:
        """The model, with these rules."""
        return Life(self.make(), rules, **self.options | options)

    def explore(self, rules: Rules = RIGHT, **options: Any) -> Explored[World]:
        """All that may happen; raises ``Violation`` where an invariant does not hold."""
        life = self.life(rules, **options)
        return explorer.explore(
            life.first,
            life.successors,
            partial(invariants.broken, life.definition),
            describe=partial(describe, life.definition),
        )

    def judge_rest(self, found: Explored[World]) -> None:
        """Whether every path goes on to an end, or to the write of a transaction that has read."""
        told = partial(describe, self.make())
        explorer.check_rest(found, lambda world: is_at_rest(world) or bool(world.working), describe=told)

    def judge(self, found: Explored[World]) -> None:
        """Whether every path ends; raises ``Violation`` where one does not."""
        self.judge_rest(found)
        told = partial(describe, self.make())
        explorer.check_ends(found, is_at_rest, describe=told)
        explorer.check_reaches(found, is_at_rest, {Kind.ENGINE}, describe=told)
        explorer.check_reaches(
            found, lambda world: world.row.place.state in FINAL, {Kind.ENGINE, Kind.PERSON}, describe=told
        )


SCENARIOS: dict[str, Scenario] = {
    "two steps, one of them TCC, a confirmation": Scenario(
        lambda: define(_step(confirms=True), _tcc()), {"foreign": True, "refuses": True}
    ),
    "three steps": Scenario(lambda: define(_step(), _tcc(ONCE), _step(ONCE, undo=False))),
    "compressed": Scenario(lambda: define(_step(), _tcc(ONCE), _step(ONCE), confirmed=False), {"compresses": True}),
    "compressed, with a confirmation": Scenario(
        lambda: define(_step(ONCE), _tcc(ONCE), _step(ONCE, confirms=True)), {"compresses": True}
    ),
    "no confirmation": Scenario(lambda: define(_step(), _tcc(), confirmed=False), {"foreign": True, "refuses": True}),
    "a refund": Scenario(lambda: define(_step(undo=False), _step(), refund=True)),
    "a group": Scenario(lambda: define(_step(ONCE), _tcc(ONCE), shared=True, refund=True), {"foreign": True}),
    "a pivot in the middle": Scenario(lambda: define(_step(), _tcc(), _step(undo=False), pivot=2)),
    "all steps before the pivot skipped": Scenario(
        lambda: define(_step(undo=False), _step(undo=False), refund=True, pivot=0), {"foreign": True, "refuses": True}
    ),
    "a fork": Scenario(lambda: define(_tcc(), _step(), fork=range(2)), {"refuses": True}),
    "a fork between steps": Scenario(
        lambda: define(_step(ONCE), _tcc(ONCE), _step(ONCE), _step(ONCE), fork=range(1, 3))
    ),
    "another database": Scenario(lambda: define(_step(ONCE), _tcc(database="there"))),
    "a fork here and there": Scenario(
        lambda: define(_step(ONCE, database="there"), _step(ONCE), fork=range(2), confirmed=False)
    ),
    "without a broker": Scenario(
        lambda: define(_step(ONCE, undo=False), _step(ONCE, undo=False), confirmed=False),
        {"works": True, "broker": False, "lease_limit": 4},
    ),
    "without a broker, a fork": Scenario(
        lambda: define(_step(TWICE, undo=False), _step(ONCE, undo=False), fork=range(2), confirmed=False),
        {"works": True, "broker": False, "lease_limit": 3, "deliveries": 1},
    ),
    "the short path": Scenario(
        lambda: define(_step(ONCE, undo=False), _step(ONCE, undo=False), confirmed=False), {"short_path": True}
    ),
    "the short path and back": Scenario(
        lambda: define(_step(ONCE), _step(ONCE, undo=False), confirmed=False), {"short_path": True}
    ),
}


def slower(scenario: Scenario, **options: Any) -> Scenario:
    """The same with other options."""
    return replace(scenario, options=scenario.options | options)
