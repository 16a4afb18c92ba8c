"""The model can fail: with one of the engine's rules broken it finds a way to break a promise, and prints it."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from tests.model.explorer import Violation
from tests.model.rules import RIGHT, Rules
from tests.model.scenarios import SCENARIOS

PLAIN = "no confirmation"
REFUND = "a refund"
FULL = "two steps, one of them TCC, a confirmation"
AWAY = "a fork here and there"

#: By rule: in which scenario it is missed, and what is found then.
MISSED = {
    "reads_cursor": (PLAIN, "effects_once: a.forward took effect twice"),
    "locks": (REFUND, "confirm_xor_cancel|live_is_due|IllegalTransition|ends_whole|effects_once"),
    "deadline_asks_for_confirmation": (REFUND, "confirm_xor_cancel: confirmed, and expired"),
    "deadline_asks_for_state": (REFUND, "IllegalTransition: a run in FAILED cannot become COMPENSATING"),
    "confirmation_asks_for_state": (REFUND, "confirm_xor_cancel: confirmed, and cancelled"),
    "cancel_asks_for_confirmation": (REFUND, "confirm_xor_cancel: confirmed, and cancelled"),
    "claims_again": (PLAIN, "nothing happens any more"),
    "leases": (PLAIN, "live_is_due: EXECUTING and not due"),
    "tick_judges": (REFUND, "nothing happens any more"),
    "begins_before_it_waits": (FULL, "nothing happens any more"),
    "resumes_where_it_stood": (PLAIN, "effects_once: b.forward took effect twice"),
    "resolving_gives_back": (REFUND, "ends_whole: FAILED, and what came with the confirmation was not given back"),
    "barrier_remembers": (AWAY, "effects_once: a.forward took effect twice"),
    "undo_takes_forward_row": (AWAY, "ends_whole: FAILED, and the effect of a is there"),
    "undo_asks_forward_row": (AWAY, "no_undo_without_effect: a was undone, and had not been done"),
}
#: By rule: why no promise is broken without it.
SPARED = {
    "guards_moves": "a second line behind the lock",
    "last_step_asks_for_confirmation": "the claim asks as well, when the deadline is over: it costs that wait",
    "acks_late": "what was acked too early is found again by its lease: it costs the time of that",
    "waits_for_its_attempt": "an attempt that comes too early is an attempt",
}


@pytest.mark.parametrize("rule", sorted(MISSED))
def test_removing_a_rule_breaks_a_promise(rule: str) -> None:
    # Given
    name, why = MISSED[rule]
    scenario = SCENARIOS[name]
    # When
    with pytest.raises(Violation, match=why) as caught:
        scenario.judge(scenario.explore(replace(RIGHT, **{rule: False}), stepwise=rule == "locks"))
    # Then it tells how, as shortly as can be
    print(caught.value)
    assert 0 < len(caught.value.trace) <= 10
    assert f"after {len(caught.value.trace)} actions:\n  1. " in str(caught.value)


@pytest.mark.parametrize("rule", sorted(SPARED))
def test_removing_these_rules_only_delays_runs(rule: str) -> None:
    scenario = SCENARIOS[REFUND]
    found = scenario.explore(replace(RIGHT, **{rule: False}))
    scenario.judge(found)


def test_the_guarded_update_alone_is_not_enough() -> None:
    # Given no lock, and the guard of the UPDATE, which names the place that was read
    without = replace(RIGHT, locks=False)
    with pytest.raises(Violation) as caught:
        SCENARIOS[REFUND].explore(without, stepwise=True)
    # Then what leaves a run where it stands passes it
    print(caught.value)


def test_every_rule_is_tested() -> None:
    assert {field.name for field in fields(Rules)} == set(MISSED) | set(SPARED)
