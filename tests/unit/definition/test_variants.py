"""What a run follows that leaves out steps: which steps, forks and pivot it has, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import new_class
from typing import Any

import pytest

from sagas import Parallel, Rejected, Retry, Saga, Step, Tcc, runtime
from sagas.decisions import choreography
from sagas.definition.definition import Definition
from sagas.definition.shapes import Shape
from sagas.definition.variants import choose_variant, variant_without
from sagas.errors import DefinitionError, InvalidRequest, UnknownStep
from tests.lab.sagas import Choosy, Experiment, Lab, mark

ALL = ("one", "two", "three", "four")


def without(*steps: str) -> Definition:
    return variant_without(Choosy.definition, steps)


def names(definition: Definition) -> tuple[str, ...]:
    return tuple(step.name for step in definition.steps)


def chosen(**request: Any) -> Definition:
    return choose_variant(Choosy.definition, Choosy.definition.dump(Experiment(**request)))


def make(**steps: Any) -> type[Saga[Any]]:
    body = {"name": "lab.Made", "__module__": __name__, **steps}
    # Forgotten at once: the other tests of this process know only the sagas that there are.
    with runtime.apart():
        runtime.declared.definitions.pop(("lab.Made", 1), None)
        return new_class("Made", (Saga[Experiment],), exec_body=lambda namespace: namespace.update(body))


def conditional(when: Any) -> Step:
    return Step(mark, compensate=mark, queue="orders", when=when)


def test_a_request_chooses_the_steps_of_its_run() -> None:
    assert chosen() is Choosy.definition
    assert names(chosen(skip=("two",))) == ("one", "three", "four")
    assert chosen(skip=("two",)).skipped == ((1, "two"),)
    assert names(chosen(skip=ALL)) == ()
    # The same request chooses the same object each time
    assert chosen(skip=("two",)) is chosen(skip=("two",)) is without("two")


def test_positions_move_up_where_steps_are_left_out() -> None:
    assert (without().forks, without().pivot) == ((range(1, 3),), 3)
    assert (without("one").forks, without("one").pivot) == ((range(2),), 2)
    # One branch that is left is no fork
    assert (without("three").forks, without("three").pivot) == ((), 2)
    assert (without("two", "three").forks, without("two", "three").pivot) == ((), 1)
    assert (without("four").forks, without("four").pivot) == ((range(1, 3),), 3)
    assert without(*ALL).pivot == 0
    made = make(a=conditional(lambda _: True), b=conditional(lambda _: True)).definition
    assert variant_without(made, ["a"]).pivot == sys.maxsize


def test_each_set_of_skipped_steps_has_a_shape_of_its_own() -> None:
    variants = Choosy.definition.variants
    assert len(variants) == 2 ** len(ALL)
    assert {frozenset(names(one)) | {name for _, name in one.skipped} for one in variants.values()} == {frozenset(ALL)}
    assert all(one.declared_steps == ALL for one in variants.values())
    # Which is read as it was written
    for number, variant in variants.items():
        read = Shape.read(json.loads(variant.shape.dump()))
        assert (read.number, read.skipped) == (number, variant.skipped)


def test_a_shape_without_conditions_is_what_it_was() -> None:
    # Runs of it are on their way: its number is that of before there were conditions
    stored = json.loads(Lab.definition.shape.dump())
    del stored["skipped"]
    assert Shape.read(stored).number == Lab.definition.shape.number
    assert list(Lab.definition.variants) == [Lab.definition.shape.number]


def test_steps_are_shared_by_all_variants() -> None:
    assert without("one").steps[0] is Choosy.definition.steps[1]


def test_queues_are_bound_for_runs_that_skip_steps() -> None:
    bound = choreography.bindings(Choosy.definition)
    events = {
        queue: {key.rpartition(".")[2] for bound_queue, key in bound if bound_queue == queue} for queue, _ in bound
    }
    # What leads to the first step of all leads to those that may be the first
    assert "ChoosyStarted" in events["orders"] & events["coupons"] & events["inventory"]
    # And what is last before the pivot, or confirmed last, differs
    assert {"ChoosyConfirmed", "OneConfirmed", "ThreeConfirmed"} <= events["delivery"]


@pytest.mark.parametrize("when", [1, "yes", object()])
def test_what_is_no_function_is_refused(when: Any) -> None:
    with pytest.raises(DefinitionError, match="give a function of the request"):
        conditional(when)


def test_a_coroutine_function_is_refused() -> None:
    async def when(_: object) -> bool:
        return True

    with pytest.raises(DefinitionError, match="is not async"):
        conditional(when)


def test_the_pivot_cannot_be_skipped() -> None:
    with pytest.raises(DefinitionError, match=r"pivot.*cannot have when="):
        Step(mark, queue="orders", pivot=True, when=lambda _: True)


def test_too_many_conditions_are_refused() -> None:
    with pytest.raises(DefinitionError, match="7 steps with when=; a saga has at most 6"):
        make(**{letter: conditional(lambda _: True) for letter in "abcdefg"})


def failing(_: object) -> bool:
    msg = "Ms Ada's flat has no lift"
    raise LookupError(msg)


@pytest.mark.parametrize(
    ("when", "why"),
    [(failing, "LookupError"), (lambda _: None, "NoneType"), (lambda _: 1, "int"), (lambda _: "", "str")],
)
def test_a_condition_that_does_not_answer_refuses_the_request(when: Callable[[object], bool], why: str) -> None:
    made = make(a=conditional(when), b=Step(mark, queue="orders")).definition
    with pytest.raises(InvalidRequest, match=f"whether a is performed.*{why}") as caught:
        choose_variant(made, made.dump(Experiment()))
    # The application's text may be personal
    assert "Ada" not in str(caught.value)


def test_only_steps_with_a_condition_are_left_out() -> None:
    with pytest.raises(UnknownStep, match="cannot skip one: of its steps none have when="):
        variant_without(Lab.definition, ["one"])


def test_all_kinds_of_steps_may_have_a_condition() -> None:
    class Resource:
        try_ = confirm = cancel = staticmethod(mark)

    tcc = Tcc(Resource(), queue="orders", retry=Retry(attempts=1), rejects=(Rejected,), when=lambda _: False)
    made = make(both=Parallel(a=tcc, b=conditional(lambda _: False)), c=conditional(lambda _: False)).definition
    assert names(choose_variant(made, made.dump(Experiment()))) == ()
