"""What is still ahead of a run: every operation to its end, from wherever it stands."""

from __future__ import annotations

import pytest

from sagas.decisions.ahead import operations_ahead
from sagas.decisions.plan import Place
from sagas.definition import registry
from sagas.states import LIVE, State
from tests.lab.sagas import Charged, Choosy, Lab


def ahead(saga: type, state: State, cursor: int, fork: int = 0) -> list[str]:
    found = operations_ahead(saga.definition, Place(state, cursor, fork))  # type: ignore[attr-defined]  # any saga
    return [f"{each.step} {each.operation}" for each in found]


FORWARD = ["one forward", "two forward", "three try", "four forward"]
CONFIRMS = ["one confirm", "three confirm"]


def test_a_run_that_has_not_begun_has_everything_ahead() -> None:
    assert ahead(Lab, State.PENDING, 0) == [*FORWARD, *CONFIRMS]


def test_a_run_that_waits_for_its_confirmation_has_what_this_begins_ahead() -> None:
    assert ahead(Lab, State.AWAITING_CONFIRM, 4) == CONFIRMS
    assert ahead(Lab, State.CONFIRMING, 2) == ["three confirm"]


def test_a_run_that_is_undone_has_its_steps_ahead_in_reverse_order() -> None:
    assert ahead(Lab, State.COMPENSATING, 3) == ["three cancel", "two compensate", "one compensate"]


def test_a_branch_that_is_done_is_not_ahead() -> None:
    assert ahead(Choosy, State.EXECUTING, 1, fork=0b10)[:1] == ["three try"]


def test_behind_the_pivot_it_goes_on_without_a_confirmation() -> None:
    behind = [f"{step.name} forward" for step in Charged.definition.steps[Charged.definition.before_pivot :]]
    assert behind
    assert ahead(Charged, State.PENDING, 0)[-len(behind) :] == behind


@pytest.mark.parametrize("definition", registry.all_definitions(), ids=lambda definition: definition.name)
def test_it_ends_for_every_saga_from_every_place(definition: object) -> None:
    for variant in definition.variants.values():  # type: ignore[attr-defined]  # of the registry
        for state in LIVE:
            for cursor in range(len(variant.steps) + 1):
                found = operations_ahead(variant, Place(state, cursor))
                assert len(found) <= 3 * len(variant.all_steps)
