"""Pure decisions, over definitions of every shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sagas.decisions.plan import (
    Branches,
    Due,
    Move,
    Place,
    Stand,
    final_place,
    has_next_link,
    links_at,
    links_from,
    next_chains,
    operations_at,
    place_after,
    place_of,
    place_to_confirm,
    place_to_undo,
    stand,
    state_of,
)
from sagas.definition.confirmations import Confirmation
from sagas.definition.definition import Definition
from sagas.definition.participants import Call, Location, Phase
from sagas.definition.shapes import Shape, missing_parts
from sagas.definition.steps import Step
from sagas.states import FINAL, LIVE, UNDECIDED, State


def nothing(call: Call[Any]) -> None:
    """A participant that is never called."""


def make_step(name: str, *, confirms: bool = False, compensates: bool = False, elsewhere: bool = False) -> Step:
    step = Step(
        nothing, confirm=nothing if confirms else None, compensate=nothing if compensates else None, queue=f"q-{name}"
    )
    step.name = name
    step.location = Location.OTHER_DATABASE if elsewhere else Location.LOCAL
    return step


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Sequences and forks, with and without confirmations, with and without steps behind the pivot."""
    steps: list[Step] = []
    forks: list[range] = []
    for width in draw(st.lists(st.integers(1, 3), min_size=1, max_size=4)):
        first = len(steps)
        for index in range(first, first + width):
            confirms, compensates, elsewhere = draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
            steps.append(make_step(f"s{index}", confirms=confirms, compensates=compensates, elsewhere=elsewhere))
        if width > 1:
            forks.append(range(first, len(steps)))
    pivot = len(steps)
    for width in draw(st.lists(st.integers(1, 2), max_size=2)):
        first = len(steps)
        steps += [make_step(f"s{index}") for index in range(first, first + width)]
        if width > 1:
            forks.append(range(first, len(steps)))
    confirmations = []
    for number in range(draw(st.integers(0, 2))):
        compensate = nothing if draw(st.booleans()) else None
        confirmation = Confirmation(
            within=timedelta(seconds=30), compensate=compensate, queue=f"q-c{number}" if compensate else ""
        )
        confirmation.__set_name__(Definition, f"c{number}")
        confirmations.append(confirmation)
    return Definition("test.Saga", 1, tuple(steps), tuple(confirmations), TypeAdapter(dict), tuple(forks), pivot)


@st.composite
def standing(draw: st.DrawFn, definition: Definition) -> Place:
    """A place to which a run of this definition can come."""
    random = draw(st.randoms(use_true_random=False))
    place = Place(State.PENDING, 0)
    passed = [place]
    while place.state in LIVE:
        if place.state in UNDECIDED and random.random() < 0.15:
            place, _ = place_to_undo(definition, place, refunds(definition, random.random()))
        else:
            place = one_further(definition, place, confirmed=random.random() < 0.5, choose=random.choice)
        passed.append(place)
    return draw(st.sampled_from(passed))


def refunds(definition: Definition, some: float) -> int:
    first = len(definition.steps)
    return sum(1 << index for index in range(first, len(definition.all_steps)) if (index + some) % 1 < 0.5)


def one_further(
    definition: Definition, place: Place, *, confirmed: bool, choose: Callable[[Sequence[tuple[int, Phase]]], Any]
) -> Place:
    """Perform one of the operations that come next, as the dispatcher and the workers do."""
    coming = operations_at(definition, place)
    due: Due | Branches | float
    if place.state is State.AWAITING_CONFIRM:
        after, due = place_to_confirm(definition, before=place.state)
    elif coming:
        if place.state is State.PENDING:
            place = replace(place, state=State.EXECUTING)
        index, phase = choose(coming)
        assert stand(definition, place, index, phase) is Stand.HERE
        after, due = place_after(definition, place, index, phase, confirmed=confirmed or not definition.confirmations)
    else:
        after, due = final_place(place), Due.NEVER
    # The move checks itself against the table of transitions.
    Move(place, after, due)
    assert (due is Due.NEVER) is (after.state in FINAL)
    return after


def walk(definition: Definition, place: Place, *, confirmed: bool, random: Random) -> list[Place]:
    """Perform all that comes next, again and again."""
    passed = [place]
    while place.state in LIVE:
        assert len(passed) < 100, passed
        place = one_further(definition, place, confirmed=confirmed, choose=random.choice)
        passed.append(place)
    return passed


def deliveries(definition: Definition) -> list[tuple[int, Phase]]:
    return [
        (i, phase) for phase in Phase for i in range(len(definition.all_steps)) if definition.has_operation(i, phase)
    ]


phases = st.sampled_from(Phase)
randoms = st.randoms(use_true_random=False)


@given(definitions(), st.booleans(), randoms)
def test_a_run_without_faults_succeeds(definition: Definition, confirmed: bool, random: Random) -> None:
    passed = walk(definition, Place(State.PENDING, 0), confirmed=confirmed, random=random)
    assert passed[-1].state is State.SUCCEEDED
    waited = State.AWAITING_CONFIRM in {place.state for place in passed}
    assert waited is (bool(definition.confirmations) and not confirmed)


@given(st.data(), randoms)
def test_a_run_without_faults_performs_each_operation_once(data: st.DataObject, random: Random) -> None:
    definition = data.draw(definitions())
    performed: list[tuple[int, Phase]] = []

    def note(coming: Sequence[tuple[int, Phase]]) -> tuple[int, Phase]:
        performed.append(random.choice(coming))
        return performed[-1]

    place = Place(State.PENDING, 0)
    while place.state in LIVE:
        place = one_further(definition, place, confirmed=False, choose=note)

    # The forward steps of a stage in any order, the stages in theirs, and what is behind the pivot after the confirms
    forward = [index for index, phase in performed if phase is Phase.FORWARD]
    assert [definition.stages[index] for index in forward] == [
        definition.stages[i] for i in range(len(definition.steps))
    ]
    assert sorted(forward) == list(range(len(definition.steps)))
    confirms = [index for index, phase in performed if phase is Phase.CONFIRM]
    assert confirms == [i for i in range(definition.before_pivot) if definition.has_operation(i, Phase.CONFIRM)]
    assert len(performed) == len(forward) + len(confirms)
    late = [phase is Phase.CONFIRM or index >= definition.before_pivot for index, phase in performed]
    assert late == sorted(late)


@given(st.data())
def test_a_run_that_is_undone_at_any_step_fails(data: st.DataObject) -> None:
    # Given a run that is not decided
    definition = data.draw(definitions())
    place = data.draw(standing(definition).filter(lambda place: place.state in UNDECIDED))
    came = data.draw(st.sampled_from([0, refunds(definition, 0.0), refunds(definition, 0.6)]))

    # When
    back, due = place_to_undo(definition, place, came)

    # Then it undoes what was done and can be undone, from the last to the first, and nothing else
    assert back.state is State.COMPENSATING
    assert due == 0
    undone: list[int] = []
    following = back
    while operations_at(definition, following):
        ((index, phase),) = operations_at(definition, following)
        assert phase is Phase.UNDO
        undone.append(index)
        following, _ = place_after(definition, following, index, phase, confirmed=False)
    stage = definition.stages[place.cursor] if place.cursor < definition.before_pivot else range(0)
    applied = [
        index
        for index in range(len(definition.all_steps))
        if index < place.cursor
        or place.fork >> index & 1
        or came >> index & 1
        or (
            index in stage
            and place.state is State.EXECUTING
            and definition.all_steps[index].location is Location.OTHER_DATABASE
        )
    ]
    assert undone == [index for index in applied if definition.has_operation(index, Phase.UNDO)][::-1]
    assert following.state in {State.FAILED, State.COMPENSATING}


@given(st.data())
def test_a_delivery_is_valid_where_the_run_waits_for_it(data: st.DataObject) -> None:
    definition = data.draw(definitions())
    place = data.draw(standing(definition))
    here = [
        (index, phase)
        for index, phase in deliveries(definition)
        if stand(definition, place, index, phase) is Stand.HERE
    ]
    assert here == ([] if place.state is State.PENDING else list(operations_at(definition, place)))


@given(definitions())
def test_a_repeated_delivery_finds_the_run_right_behind(definition: Definition) -> None:
    for index, phase in deliveries(definition):
        before = place_of(definition, index, phase)
        stage = definition.stages[index]
        if phase is Phase.FORWARD and len(stage) > 1:
            before = replace(before, fork=sum(1 << other for other in stage if other != index))
        after, _ = place_after(definition, before, index, phase, confirmed=False)
        found = stand(definition, after, index, phase)
        assert found is (Stand.BEHIND if after.state is before.state else Stand.ELSEWHERE)


@given(st.data(), randoms)
def test_a_branch_that_is_done_drops_its_repeat_while_others_are_not(data: st.DataObject, random: Random) -> None:
    definition = data.draw(definitions().filter(lambda definition: bool(definition.forks)))
    for fork in definition.forks:
        for index in fork:
            before = place_of(definition, index, Phase.FORWARD)
            after, due = place_after(definition, before, index, Phase.FORWARD, confirmed=False)
            assert due == Branches(len(fork) - 1)
            assert after.cursor == before.cursor
            assert stand(definition, after, index, Phase.FORWARD) is Stand.ELSEWHERE
            # The others still wait for theirs.
            others = [other for other in fork if other != index]
            assert [other for other, _ in operations_at(definition, after)] == others


@given(st.data())
def test_a_repeated_undo_of_a_branch_is_passed_on(data: st.DataObject) -> None:
    # Given a run of which some branches are to be undone, and those behind them are
    definition = data.draw(definitions())
    cursor = data.draw(st.sampled_from([definition.stages[index].start for index in range(definition.before_pivot)]))
    stage = definition.stages[cursor]
    fork = data.draw(st.integers(1, 2 ** len(stage) - 1)) << cursor
    place = Place(State.COMPENSATING, cursor, fork)
    following = fork.bit_length() - 1

    # Then the last of them is undone next; a repeat of what was undone before it goes on; the others are not yet
    for index in range(len(definition.all_steps)):
        stands = stand(definition, place, index, Phase.UNDO)
        if index == following:
            assert stands is Stand.HERE
        else:
            assert stands is (Stand.BEHIND if index > following else Stand.ELSEWHERE)


@pytest.mark.parametrize("done", range(2**3 - 1))
@pytest.mark.parametrize("came", [0, 1])
def test_an_undo_that_is_delivered_again_leads_to_the_end(done: int, came: int) -> None:
    # Given a run that is to be undone from a fork of three, of which some branches are done
    steps = tuple(make_step(f"s{index}", compensates=True) for index in range(5))
    confirmation = Confirmation(within=timedelta(seconds=30), compensate=nothing, queue="q-c")
    confirmation.__set_name__(Definition, "c")
    definition = Definition("test.Saga", 1, steps, (confirmation,), TypeAdapter(dict), (range(1, 4),), 5)
    place, _ = place_to_undo(definition, Place(State.EXECUTING, 1, done << 1), came << 5)
    while operations_at(definition, place):
        # When of its message only the next operation is known
        ((first, _),) = operations_at(definition, place)
        for link in links_from(definition, first, Phase.UNDO):
            index = definition.index(link.step)
            stands = stand(definition, place, index, Phase.UNDO)
            # Then each delivery performs the operation, or passes on a run that never had that branch
            assert stands is not Stand.ELSEWHERE
            if stands is Stand.HERE:
                place, _ = place_after(definition, place, index, Phase.UNDO, confirmed=False)
        # And where its chain ends, another one is published, or the run has failed
        assert place.state is State.FAILED or not has_next_link(definition, index, Phase.UNDO)
    assert place.state is State.FAILED


@given(st.data())
def test_published_operations_are_those_that_the_run_waits_for(data: st.DataObject) -> None:
    definition = data.draw(definitions())
    place = data.draw(standing(definition))
    chains = next_chains(definition, place)
    if place.state is State.AWAITING_CONFIRM or place.state not in LIVE:
        assert chains == []
        return
    assert [(definition.index(chain[0].step), chain[0].phase) for chain in chains] == list(
        operations_at(definition, place)
    )
    for chain in chains:
        # A chain goes on from link to link as the run does, and ends before a fork.
        for number, link in enumerate(chain):
            index = definition.index(link.step)
            assert link.queue == f"q-{link.step}"
            if place.fork == 0:
                assert links_from(definition, index, link.phase) == chain[number:]
            if number + 1 < len(chain):
                assert has_next_link(definition, index, link.phase)


@given(st.data(), phases)
def test_an_operation_is_for_runs_of_one_state_only(data: st.DataObject, phase: Phase) -> None:
    definition = data.draw(definitions())
    place = data.draw(standing(definition))
    for index, delivered in deliveries(definition):
        if delivered is phase and place.state is not state_of(definition, index, phase):
            assert stand(definition, place, index, phase) is Stand.ELSEWHERE


@given(definitions())
def test_a_phase_visits_every_step_that_takes_part_in_it(definition: Definition) -> None:
    if definition.forks:
        return
    forward = [link.step for link in links_at(definition, Place(State.EXECUTING, 0))]
    confirm = [link.step for link in links_at(definition, Place(State.CONFIRMING, 0))]
    undo = [link.step for link in links_at(definition, Place(State.COMPENSATING, definition.before_pivot))]
    names = [step.name for step in definition.steps]
    before = definition.before_pivot
    assert forward == names[:before]
    assert confirm == [s.name for s in definition.steps[:before] if Phase.CONFIRM in s.actions] + names[before:]
    assert undo == [step.name for step in reversed(definition.steps[:before]) if Phase.UNDO in step.actions]


def ahead(definition: Definition, place: Place) -> set[tuple[int, Phase]]:
    """All that a run at this place may still perform, whichever way it goes from here."""
    bits = [1 << index for index in range(len(definition.steps), len(definition.all_steps))]
    refunded = [sum(some) for n in range(len(bits) + 1) for some in combinations(bits, n)]
    found: set[tuple[int, Phase]] = set()
    seen = {place}
    waiting = [place]
    while waiting:
        at = waiting.pop()
        coming = operations_at(definition, at)
        found |= set(coming)
        following: list[Place] = []
        if at.state in UNDECIDED:
            following += [place_to_undo(definition, at, more)[0] for more in refunded]
            # Also where it has no confirmation: as a step of another run it waits for that one.
            following.append(Place(State.AWAITING_CONFIRM, definition.before_pivot))
        if coming or at.state is State.AWAITING_CONFIRM:
            following += [
                one_further(definition, at, confirmed=confirmed, choose=_choose(operation))
                for operation in coming or [None]
                for confirmed in (True, False)
            ]
        waiting += set(following) - seen
        seen |= set(following)
    return found


def _choose(operation: tuple[int, Phase] | None) -> Callable[[Sequence[tuple[int, Phase]]], Any]:
    return lambda _: operation


def without(definition: Definition, index: int, phase: Phase) -> Shape:
    """The shape of code that has lost one operation, and nothing else."""
    shape = definition.shape
    step = shape.all_steps[index]
    less = replace(step, operations={p: o for p, o in step.operations.items() if p is not phase})
    return replace(
        shape,
        steps=tuple(less if known is step else known for known in shape.steps),
        confirmations=tuple(replace(c, refund=less) if c.refund is step else c for c in shape.confirmations),
    )


@settings(max_examples=60)
@given(st.data())
def test_missing_code_matters_exactly_where_a_run_may_still_need_it(data: st.DataObject) -> None:
    definition = data.draw(definitions())
    place = data.draw(standing(definition))
    needed = ahead(definition, place)
    for index, phase in deliveries(definition):
        said = missing_parts(definition.shape, without(definition, index, phase), place.state, place.cursor, place.fork)
        assert bool(said) is ((index, phase) in needed), (place, index, phase, said)
