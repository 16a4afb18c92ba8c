"""A run's life, explored whole: every order of confirm, deadline, cancel, crash, loss, redelivery and lease."""

from __future__ import annotations

from functools import cache, partial

import pytest

from sagas.states import FINAL, TRANSITIONS, State
from tests.docs.papers import table
from tests.model import explorer
from tests.model.explorer import Explored, Kind
from tests.model.life import is_at_rest
from tests.model.scenarios import SCENARIOS
from tests.model.world import World, describe

#: Each has more than fifteen thousand states.
LONG = {
    "another database",
    "a fork between steps",
    "three steps",
    "compressed, with a confirmation",
    "the short path and back",
}
SHORT = [name for name in SCENARIOS if name not in LONG]
#: What a scenario must have at least, or it explores nothing that is worth it.
TRIVIAL = 500

#: The action by which a run begins all of whose steps before the pivot are skipped (``transactions._pass_over``).
PASSED_OVER = "finds nothing to begin with"

explored = cache(lambda name: SCENARIOS[name].explore())


def moves(found: Explored[World]) -> set[tuple[State, State]]:
    """From which state to which other one its actions lead."""
    pairs = set[tuple[State, State]]()
    for world, label, following in found.edges():
        before, after = world.row.place.state, following.row.place.state
        if before is State.PENDING and PASSED_OVER in label:
            # Two moves in one transaction: the run begins, and nothing of it is to be performed.
            pairs.add((before, State.EXECUTING))
            before = State.EXECUTING
        pairs.add((before, after))
    return {(before, after) for before, after in pairs if before is not after}


def said() -> dict[str, tuple[int, int]]:
    """States and actions of every scenario, as the paper has them."""
    rows = table("docs/maintainers/evidence.md", "scenario")
    return {row[0]: (int(row[-2].replace(",", "")), int(row[-1].replace(",", ""))) for row in rows}


def examine(name: str) -> None:
    # When all that may happen has happened, in every order; it raises where an invariant does not hold
    found = SCENARIOS[name].explore() if name in LONG else explored(name)
    print(f"{name}: {len(found):,} states, {len(found.sources):,} actions")
    # Then nothing is stranded: whatever comes, the engine alone brings it to an end, or to a person
    SCENARIOS[name].judge(found)
    # And the table of moves allows all of it
    assert all(after in TRANSITIONS[before] for before, after in moves(found))
    # And it is as large as the paper says
    assert len(found) > TRIVIAL
    assert (len(found), len(found.sources)) == said()[name]
    # And it did end in both ways, and with a person
    ends = {world.row.place.state for world in found.states if is_at_rest(world)}
    assert ends == FINAL | {State.ESCALATED}


@pytest.mark.parametrize("name", SHORT)
def test_no_scenario_breaks_a_promise_or_strands_a_run(name: str) -> None:
    examine(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LONG))
@pytest.mark.timeout(600)
def test_no_long_scenario_breaks_a_promise(name: str) -> None:
    examine(name)


def test_the_paper_lists_exactly_the_scenarios() -> None:
    assert set(said()) == set(SCENARIOS)


def test_every_transition_occurs_in_a_scenario() -> None:
    made = set[tuple[State, State]]().union(*(moves(explored(name)) for name in SHORT))
    in_table = {(before, after) for before, afters in TRANSITIONS.items() for after in afters}
    assert made == in_table


def test_a_run_without_faults_and_operators_ends() -> None:
    kinds = {Kind.ENGINE, Kind.CHOICE}
    for name in SHORT:
        found = explored(name)
        states = {world.row.place.state for world in explorer.reached(found, kinds)}
        assert State.ESCALATED not in states, name
        assert states & FINAL, name


def test_reading_before_writing_changes_nothing_under_a_lock() -> None:
    # Given transactions that are two actions, the read and the write, between which anything else may happen
    scenario = SCENARIOS["a refund"]
    apart = scenario.explore(stepwise=True)
    # Then the run is in no state that it was not in before, for each has it to himself
    together = explored("a refund")
    assert {world.row for world in apart.states} == {world.row for world in together.states}
    # And the guard of the UPDATE, which is a second line, is never needed
    assert not [label for _, label, _ in apart.edges() if label.endswith("is refused by the guard")]


# -- The explorer itself --------------------------------------------------------------------------------------


def test_a_trace_is_the_shortest_path() -> None:
    found = explored("no confirmation")
    told = partial(describe, SCENARIOS["no confirmation"].make())
    number = next(n for n, world in enumerate(found.states) if world.row.place.state is State.SUCCEEDED)
    lines = explorer.describe_trace(found, number, told)
    assert [line.split("  ")[0] for line in lines] == [
        "claim: sends it on",
        "a.forward b.forward: done",
        "b.forward: done",
        "claim: sends it on",
        "b.confirm: done",
    ]


def test_a_cycle_is_found() -> None:
    found = explorer.explore(0, lambda n: [("on", Kind.ENGINE, (n + 1) % 3)], lambda _: None)
    with pytest.raises(explorer.Violation, match="lead back to themselves"):
        explorer.check_ends(found, lambda _: False)


def test_a_dead_end_is_found() -> None:
    found = explorer.explore(0, lambda n: [("on", Kind.ENGINE, 1)] if n == 0 else [], lambda _: None)
    with pytest.raises(explorer.Violation, match="nothing happens any more"):
        explorer.check_rest(found, lambda _: False)
    with pytest.raises(explorer.Violation, match="no way leads from here to an end"):
        explorer.check_reaches(found, lambda _: False, {Kind.ENGINE})


def test_an_infinite_model_is_refused() -> None:
    with pytest.raises(RuntimeError, match="finite"):
        explorer.explore(0, lambda n: [("on", Kind.ENGINE, n + 1)], lambda _: None, limit=100)
