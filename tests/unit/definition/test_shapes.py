"""What code lacks for a run that began with other steps."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sagas.definition.participants import Operation, Phase
from sagas.definition.shapes import ConfirmationShape, Shape, StepShape, missing_parts
from sagas.states import State

FORWARD = {Phase.FORWARD: Operation.FORWARD}
UNDONE = {**FORWARD, Phase.UNDO: Operation.COMPENSATE}
REFUND = {Phase.UNDO: Operation.COMPENSATE}
TCC = {Phase.FORWARD: Operation.TRY, Phase.CONFIRM: Operation.CONFIRM, Phase.UNDO: Operation.CANCEL}


def shape(
    *steps: tuple[str, dict[Phase, Operation]],
    waits: tuple[str, ...] = ("payment",),
    refunds: tuple[str, ...] = (),
    forks: tuple[range, ...] = (),
    pivot: int | None = None,
) -> Shape:
    return Shape(
        tuple(StepShape(name, "orders", operations) for name, operations in steps),
        tuple(
            ConfirmationShape(name, 30.0, refund=StepShape(name, "orders", REFUND) if name in refunds else None)
            for name in waits
        ),
        forks,
        len(steps) if pivot is None else pivot,
    )


RUN = shape(("a", FORWARD), ("b", UNDONE), ("c", TCC))


@pytest.mark.parametrize(
    "here",
    [
        RUN,
        shape(("z", UNDONE), ("a", FORWARD), ("b", UNDONE), ("c", TCC)),  # inserted
        shape(("a", FORWARD), ("b", UNDONE), ("c", TCC), ("z", TCC)),  # appended
        shape(("c", TCC), ("b", UNDONE), ("a", FORWARD)),  # in another order
        shape(("a", UNDONE), ("b", UNDONE), ("c", TCC)),  # an undo more
        shape(("a", FORWARD), ("b", UNDONE), ("c", TCC), waits=("payment", "approval")),  # a confirmation more
    ],
)
def test_code_with_all_steps_of_a_run_can_serve_it_anywhere(here: Shape) -> None:
    for state in State:
        for cursor in range(4):
            assert missing_parts(RUN, here, state, cursor) == []


GONE, UNDO_LOST = "step b is gone", "step b has lost its compensate"
WITHOUT_B = shape(("a", FORWARD), ("c", TCC))
WITHOUT_UNDO = shape(("a", FORWARD), ("b", FORWARD), ("c", TCC))


@pytest.mark.parametrize(
    ("here", "state", "cursor", "said"),
    [
        (WITHOUT_B, State.PENDING, 0, [GONE]),
        (WITHOUT_B, State.EXECUTING, 1, [GONE]),
        # It is done, and would have to be undone
        (WITHOUT_B, State.EXECUTING, 2, [GONE]),
        (WITHOUT_B, State.AWAITING_CONFIRM, 3, [GONE]),
        (WITHOUT_B, State.COMPENSATING, 2, [GONE]),
        # It is behind the run
        (WITHOUT_B, State.COMPENSATING, 1, []),
        (WITHOUT_B, State.CONFIRMING, 0, []),
        (WITHOUT_UNDO, State.EXECUTING, 1, [UNDO_LOST]),
        (WITHOUT_UNDO, State.AWAITING_CONFIRM, 3, [UNDO_LOST]),
        (WITHOUT_UNDO, State.COMPENSATING, 2, [UNDO_LOST]),
        (WITHOUT_UNDO, State.COMPENSATING, 1, []),
        (WITHOUT_UNDO, State.CONFIRMING, 2, []),
        # What was compensated by one word is not to be undone by another
        (shape(("a", FORWARD), ("b", TCC), ("c", TCC)), State.COMPENSATING, 2, [UNDO_LOST]),
        (shape(("b", UNDONE), ("c", TCC)), State.EXECUTING, 0, ["step a is gone"]),
        # A step that is done, and needs neither confirm nor undo
        (shape(("b", UNDONE), ("c", TCC)), State.EXECUTING, 1, []),
        (shape(("a", FORWARD), ("b", UNDONE), ("c", UNDONE)), State.CONFIRMING, 2, ["step c has lost its confirm"]),
        (
            shape(("a", FORWARD), ("b", UNDONE), ("c", TCC), waits=()),
            State.PENDING,
            0,
            ["confirmation payment is gone"],
        ),
        (shape(("a", FORWARD), ("b", UNDONE), ("c", TCC), waits=()), State.COMPENSATING, 3, []),
        (None, State.AWAITING_CONFIRM, 3, [GONE, "step c is gone", "confirmation payment is gone"]),
        (None, State.COMPENSATING, 1, []),
    ],
)
def test_code_misses_only_the_steps_that_the_run_may_still_need(
    here: Shape | None, state: State, cursor: int, said: list[str]
) -> None:
    assert missing_parts(RUN, here, state, cursor) == said


def moved(step: StepShape, database: str) -> Shape:
    return replace(RUN, steps=tuple(replace(s, database=database) if s is step else s for s in RUN.steps))


def test_a_step_that_moved_to_another_database_is_missed() -> None:
    afar = moved(RUN.steps[1], "loyalty")
    (said,) = missing_parts(RUN, afar, State.COMPENSATING, 2)
    assert said == "step b was in the engine's database, and is in the database 'loyalty'"
    (said,) = missing_parts(afar, moved(RUN.steps[1], "points"), State.EXECUTING, 0)
    assert said == "step b was in the database 'loyalty', and is in the database 'points'"
    # Not where it is behind the run
    assert missing_parts(afar, RUN, State.CONFIRMING, 0) == []
    # And it is another shape, which is on record as such
    assert afar.number != RUN.number
    assert Shape.read(json.loads(afar.dump())) == afar


FORKED = shape(("a", UNDONE), ("b", UNDONE), ("c", TCC), ("d", FORWARD), forks=(range(1, 3),), pivot=3)
CHARGED = shape(("a", UNDONE), refunds=("payment",))


@pytest.mark.parametrize(
    ("run", "here", "place", "said"),
    [
        # A branch that is done is not performed again, the one beside it is
        (FORKED, shape(("a", UNDONE), ("c", TCC), ("d", FORWARD)), (State.EXECUTING, 1, 0b010), [GONE]),
        (
            FORKED,
            shape(("a", UNDONE), ("b", REFUND), ("c", TCC), ("d", FORWARD)),
            (State.EXECUTING, 1, 0b100),
            ["step b has lost its forward"],
        ),
        (FORKED, shape(("a", UNDONE), ("b", REFUND), ("c", TCC), ("d", FORWARD)), (State.EXECUTING, 1, 0b010), []),
        # Of a fork that is undone, what is left
        (FORKED, shape(("a", UNDONE), ("c", TCC)), (State.COMPENSATING, 1, 0b010), [GONE]),
        (FORKED, shape(("a", UNDONE), ("c", TCC)), (State.COMPENSATING, 1, 0b100), []),
        # What is behind the pivot comes after the confirmation
        (FORKED, shape(("a", UNDONE), ("b", UNDONE), ("c", TCC)), (State.AWAITING_CONFIRM, 3, 0), ["step d is gone"]),
        (FORKED, shape(("c", TCC)), (State.CONFIRMING, 0, 0), ["step d is gone"]),
        (FORKED, shape(("c", TCC)), (State.COMPENSATING, 0, 0b100), []),
        # What takes a confirmation back is needed as long as the run may be undone, and for one that came
        (
            CHARGED,
            shape(("a", UNDONE)),
            (State.PENDING, 0, 0),
            [LOST := "confirmation payment has lost its compensate"],
        ),
        (CHARGED, shape(("a", UNDONE)), (State.COMPENSATING, 1, 0b10), [LOST]),
        (CHARGED, shape(("a", UNDONE)), (State.COMPENSATING, 1, 0), []),
        (CHARGED, shape(("a", UNDONE)), (State.CONFIRMING, 0, 0), []),
        # A step of the same name takes nothing back
        (CHARGED, shape(("a", UNDONE), ("payment", REFUND)), (State.COMPENSATING, 1, 0b10), [LOST]),
    ],
)
def test_missing_steps_are_found_in_forks_after_the_pivot_and_in_refunds(
    run: Shape, here: Shape, place: tuple[State, int, int], said: list[str]
) -> None:
    assert missing_parts(run, here, *place) == said


def test_forks_the_pivot_and_refunds_are_part_of_a_shapes_number() -> None:
    steps = (("a", UNDONE), ("b", FORWARD), ("c", FORWARD))
    shapes = [
        shape(*steps),
        shape(*steps, forks=(range(1, 3),)),
        shape(*steps, forks=(range(2),)),
        shape(*steps, forks=(range(3),)),
        shape(*steps, pivot=1),
        shape(*steps, pivot=2),
        shape(*steps, refunds=("payment",)),
    ]
    assert len({each.number for each in shapes}) == len(shapes)
    for each in [*shapes, FORKED, CHARGED]:
        assert Shape.read(json.loads(each.dump())) == each


def test_a_shape_is_identified_by_its_number() -> None:
    # Given the same, written and read
    again = Shape.read(json.loads(RUN.dump()))
    assert (again, again.number) == (RUN, RUN.number)
    assert -(2**31) <= RUN.number < 2**31
    # Then others have other numbers
    others: list[Any] = [WITHOUT_B, WITHOUT_UNDO, shape(*((s.name, dict(s.operations)) for s in RUN.steps), waits=())]
    assert len({RUN.number, *(other.number for other in others)}) == 4
    # But a queue and a time may change under a run's feet
    moved = Shape(
        tuple(StepShape(s.name, "elsewhere", s.operations) for s in RUN.steps),
        (ConfirmationShape("payment", None),),
        RUN.forks,
        RUN.pivot,
    )
    assert moved.number == RUN.number
