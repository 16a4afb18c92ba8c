"""Pure decisions, over definitions of every shape."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sagas.definition import Confirmation, Definition, Step
from sagas.participant import Call, Phase
from sagas.plan import (
    PHASE_OF,
    STATE_OF,
    Due,
    Move,
    Place,
    Stand,
    compensating,
    confirming,
    done,
    finished,
    links,
    place_of,
    stand,
)
from sagas.states import FINAL, LIVE, UNDECIDED, State


def nothing(call: Call[Any]) -> None:
    """A participant that is never called."""


def make_step(name: str, *, confirms: bool, compensates: bool) -> Step:
    step = Step(
        nothing, confirm=nothing if confirms else None, compensate=nothing if compensates else None, queue=f"q-{name}"
    )
    step.name = name
    return step


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    shapes = draw(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=6))
    steps = tuple(make_step(f"s{i}", confirms=c, compensates=u) for i, (c, u) in enumerate(shapes))
    confirmations = tuple(Confirmation(within=timedelta(seconds=30)) for _ in range(draw(st.integers(0, 2))))
    return Definition("test.Saga", 1, steps, confirmations, TypeAdapter(dict))


phases = st.sampled_from(Phase)


def places(definition: Definition) -> list[Place]:
    return [Place(state, cursor) for state in State for cursor in range(len(definition.steps) + 1)]


def deliveries(definition: Definition) -> list[tuple[int, Phase]]:
    return [(index, phase) for phase in Phase for index in range(len(definition.steps)) if definition.has(index, phase)]


def walk(definition: Definition, place: Place, *, confirmed: Callable[[], bool]) -> list[Place]:
    """Perform all that comes next, again and again, as the dispatcher and the workers do."""
    passed = [place]
    while place.state in LIVE:
        assert len(passed) < 100, passed
        coming = links(definition, place)
        if place.state is State.AWAITING_CONFIRM:
            after, due = confirming(definition, before=place.state)
        elif coming:
            if place.state is State.PENDING:
                place = Place(State.EXECUTING, place.cursor)
            index = definition.index(coming[0].step)
            assert stand(definition, place, index, coming[0].phase) is Stand.HERE
            after, due = done(definition, index, coming[0].phase, confirmed=confirmed())
        else:
            after, due = finished(place), Due.NEVER
        # The move checks itself against the table of transitions.
        Move(place, after, due)
        assert (due is Due.NEVER) is (after.state in FINAL)
        place = after
        passed.append(place)
    return passed


@given(definitions(), st.booleans())
def test_a_run_of_which_all_goes_well_succeeds(definition: Definition, confirmed: bool) -> None:
    passed = walk(definition, Place(State.PENDING, 0), confirmed=lambda: confirmed or not definition.confirmations)
    assert passed[-1].state is State.SUCCEEDED
    waited = State.AWAITING_CONFIRM in {place.state for place in passed}
    assert waited is (bool(definition.confirmations) and not confirmed)


@given(definitions(), st.data())
def test_a_run_that_is_undone_fails_wherever_it_stood(definition: Definition, data: st.DataObject) -> None:
    # Given a run that is not decided
    state = data.draw(st.sampled_from(sorted(UNDECIDED)))
    cursor = {State.PENDING: 0, State.AWAITING_CONFIRM: len(definition.steps)}.get(
        state, data.draw(st.integers(0, len(definition.steps) - 1))
    )

    # When
    place, due = compensating(definition, Place(state, cursor))
    undone = links(definition, place)
    passed = walk(definition, place, confirmed=lambda: False)

    # Then it undoes what was done and can be undone, in reverse order, and nothing else
    assert place.state is State.COMPENSATING
    assert due == 0
    wanted = [step.name for step in definition.steps[:cursor] if Phase.UNDO in step.actions]
    assert [link.step for link in undone] == wanted[::-1]
    assert passed[-1].state is State.FAILED


@given(definitions())
def test_each_place_waits_for_one_operation_at_most(definition: Definition) -> None:
    for place in places(definition):
        here = [
            (index, phase)
            for index, phase in deliveries(definition)
            if stand(definition, place, index, phase) is Stand.HERE
        ]
        assert len(here) <= 1, place


@given(definitions())
def test_an_operation_is_for_one_place_only(definition: Definition) -> None:
    for index, phase in deliveries(definition):
        here = [place for place in places(definition) if stand(definition, place, index, phase) is Stand.HERE]
        assert here == [place_of(index, phase)]


@given(definitions())
def test_a_repeat_finds_the_run_right_behind_and_a_third_link_does_not(definition: Definition) -> None:
    for index, phase in deliveries(definition):
        before = place_of(index, phase)
        after, _ = done(definition, index, phase, confirmed=False)
        found = stand(definition, after, index, phase)
        if after.state is STATE_OF[phase]:
            assert found is Stand.BEHIND
            following = links(definition, after)[0]
            further, _ = done(definition, definition.index(following.step), phase, confirmed=False)
            assert stand(definition, further, index, phase) is Stand.ELSEWHERE
        else:
            assert found is Stand.ELSEWHERE
        # And the link after it finds the run not there yet.
        if after.state is STATE_OF[phase]:
            assert stand(definition, before, definition.index(links(definition, after)[0].step), phase) is (
                Stand.ELSEWHERE
            )


@given(definitions(), phases)
def test_no_operation_is_for_a_run_of_another_state(definition: Definition, phase: Phase) -> None:
    for place in places(definition):
        for index, delivered in deliveries(definition):
            if delivered is phase and place.state is not STATE_OF[phase]:
                assert stand(definition, place, index, phase) is Stand.ELSEWHERE


@given(definitions())
def test_what_a_run_still_has_to_go_is_the_rest_of_the_way(definition: Definition) -> None:
    for place in places(definition):
        coming = links(definition, place)
        if place.state not in PHASE_OF:
            assert coming == ()
            continue
        assert {link.phase for link in coming} <= {PHASE_OF[place.state]}
        assert [link.queue for link in coming] == [f"q-{link.step}" for link in coming]
        # The links from the next place are a suffix of these.
        for number, link in enumerate(coming):
            assert links(definition, place_of(definition.index(link.step), link.phase)) == coming[number:]


@given(definitions())
def test_a_phase_goes_through_every_step_that_takes_part_in_it(definition: Definition) -> None:
    names = [step.name for step in definition.steps]
    forward = [link.step for link in links(definition, Place(State.EXECUTING, 0))]
    confirm = [link.step for link in links(definition, Place(State.CONFIRMING, 0))]
    undo = [link.step for link in links(definition, Place(State.COMPENSATING, len(names)))]
    assert forward == names
    assert confirm == [step.name for step in definition.steps if Phase.CONFIRM in step.actions]
    assert undo == [step.name for step in reversed(definition.steps) if Phase.UNDO in step.actions]
