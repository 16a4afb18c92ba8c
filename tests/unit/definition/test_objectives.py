"""Service levels are declared with the saga, and a wrong declaration fails at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from sagas import Call, Objective, Saga, Step, runtime
from sagas.definition import registry
from sagas.errors import DefinitionError

SECOND = timedelta(seconds=1)


@dataclass
class Nothing:
    """A request."""


def do(call: Call[Nothing]) -> None:
    """Nothing."""


def declare(given: Any) -> type[Saga[Nothing]]:
    class Leveled(Saga[Nothing]):
        objectives = given
        work = Step(do, compensate=do, queue="work")

    return Leveled


@pytest.fixture(autouse=True)
def _apart() -> Any:
    with runtime.apart():
        yield


@pytest.mark.parametrize(
    ("name", "target", "within", "said"),
    [
        ("", 0.9, SECOND, "identifier"),
        ("two words", 0.9, SECOND, "identifier"),
        ("x" * 49, 0.9, SECOND, "48 characters"),
        ("settled", 0, SECOND, "between 0 and 1"),
        ("settled", 1, SECOND, "between 0 and 1"),
        ("settled", 99.9, SECOND, "between 0 and 1"),
        ("settled", True, SECOND, "between 0 and 1"),
        ("settled", math.nan, SECOND, "between 0 and 1"),
        ("settled", 0.9, timedelta(0), "positive"),
        ("settled", 0.9, 5, "within=5"),
    ],
)
def test_an_objective_that_nothing_can_meet_or_miss_is_refused(name: Any, target: Any, within: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Objective(name, target=target, within=within)


@pytest.mark.parametrize("given", [Objective("settled", 0.9, SECOND), ("settled",), None])
def test_objectives_that_are_no_tuple_of_them_are_refused(given: Any) -> None:
    with pytest.raises(DefinitionError, match="give a tuple of Objective"):
        declare(given)


def test_two_objectives_of_one_name_are_refused() -> None:
    with pytest.raises(DefinitionError, match="2 objectives are called 'settled'"):
        declare((Objective("settled", 0.9, SECOND), Objective("settled", 0.99, SECOND)))


def test_an_objective_is_no_part_of_a_sagas_shape() -> None:
    # Given a saga without any
    plain = declare(()).definition
    # When the same is declared with one
    leveled = declare((Objective("settled", 0.9, SECOND),)).definition
    # Then its runs are the same, and the saga has it
    assert leveled.shape.number == plain.shape.number
    assert [one.name for one in registry.objectives()[leveled.name]] == ["settled"]


def test_a_budget_is_spent_as_fast_as_its_share_of_bad_runs_says() -> None:
    objective = Objective("settled", target=0.99, within=SECOND)
    assert objective.budget(1000) == pytest.approx(10)
    assert objective.burn(good=99, bad=1) == pytest.approx(1)
    assert objective.burn(good=0, bad=5) == pytest.approx(100)
    assert math.isnan(objective.burn(good=0, bad=0))
