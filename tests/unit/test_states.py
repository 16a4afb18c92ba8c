"""The table of moves."""

from __future__ import annotations

from itertools import product

import pytest

from sagas.errors import IllegalTransition
from sagas.states import FINAL, LIVE, TRANSITIONS, UNDECIDED, State, check_transition


def test_every_state_is_exactly_one_of_live_final_and_escalated() -> None:
    assert set(State) == LIVE | FINAL | {State.ESCALATED}
    assert not LIVE & FINAL
    assert UNDECIDED < LIVE


def test_a_final_state_has_no_transitions() -> None:
    assert all(not TRANSITIONS[final] for final in FINAL)


def test_every_live_state_leads_to_a_final_state_and_to_escalated() -> None:
    for live in LIVE:
        reached, found = {live}, {live}
        while found:
            found = {after for state in found for after in TRANSITIONS[state] if state is not State.ESCALATED} - reached
            reached |= found
        assert reached & FINAL, live
        assert State.ESCALATED in reached, live


def test_the_confirmation_is_the_pivot() -> None:
    assert State.COMPENSATING not in TRANSITIONS[State.CONFIRMING]
    assert State.FAILED not in TRANSITIONS[State.CONFIRMING]
    assert TRANSITIONS[State.COMPENSATING] == {State.FAILED, State.ESCALATED}


@pytest.mark.parametrize(("before", "after"), list(product(State, State)), ids=lambda s: s.value)
def test_check_transition_follows_the_table(before: State, after: State) -> None:
    if before is after or after in TRANSITIONS[before]:
        check_transition(before, after)
    else:
        with pytest.raises(IllegalTransition, match=f"{before} cannot become {after}"):
            check_transition(before, after)
