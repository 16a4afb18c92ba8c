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
TOGETHER = "compressed"
SHORT = "the short path"
GROUP = "a group"
APART = "without a broker, a fork"

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
    "rejected_leaves": (TOGETHER, "undone_in_reverse: a was undone before a later step"),
    "undo_asks_forward_row": (AWAY, "no_undo_without_effect: a was undone, and had not been done"),
    "keeps_claim": (SHORT, "death_is_counted: a process has died in b.forward, and another goes on there"),
    "branch_ends_lapses": (APART, "blames_who_lapsed: b.forward was given up for 2 deaths, of which 1 were its own"),
    "counts_for_first": (APART, "blames_who_lapsed: b.forward was given up for 1 deaths, of which 0 were its own"),
    "waited_last": (APART, "blames_who_lapsed: a.forward was given up for 1 deaths, of which 0 were its own"),
    "waits_alone": (APART, "blames_who_lapsed: a.forward was given up for 1 deaths, of which 0 were its own"),
    "wait_is_no_lease": (APART, "blames_who_lapsed: b.forward was given up for 1 deaths, of which 0 were its own"),
    "last_step_looks_for_decision": (GROUP, "nothing happens any more"),
    "claim_looks_for_decision": (GROUP, "nothing happens any more|lead back to themselves"),
    "settling_sees_all_undecided": (GROUP, "nothing happens any more"),
    "lapsed_by_message": (SHORT, "death_is_counted: a process has died in a.forward, and another goes on there"),
}
#: Those that are missed only between the read and the write of a transaction.
BETWEEN = {"locks", "settling_sees_all_undecided"}
#: By rule: with what else it is missed.
WITH = {"branch_ends_lapses": {"deliveries": 2}}
#: By rule: why no promise is broken without it.
SPARED = {
    "guards_moves": "a second line behind the lock",
    "last_step_asks_for_confirmation": "the claim asks as well, when the deadline is over: it costs that wait",
    "acks_late": "what was acked too early is found again by its lease: it costs the time of that",
    "waits_for_its_attempt": "an attempt that comes too early is an attempt",
    "marked_performs_one_link": "a death behind the link is counted by the lease, which its claim keeps",
}


@pytest.mark.parametrize("rule", sorted(MISSED))
def test_removing_a_rule_breaks_a_promise(rule: str) -> None:
    # Given
    name, why = MISSED[rule]
    scenario = SCENARIOS[name]
    # When
    options = {"stepwise": True, "foreign": False} if rule in BETWEEN else {}
    judge = scenario.judge_rest if rule in BETWEEN else scenario.judge
    with pytest.raises(Violation, match=why) as caught:
        judge(scenario.explore(replace(RIGHT, **{rule: False}), **options, **WITH.get(rule, {})))
    # Then it tells how, as shortly as can be
    print(caught.value)
    assert 0 < len(caught.value.trace) <= 10
    assert f"after {len(caught.value.trace)} actions:\n  1. " in str(caught.value)


@pytest.mark.parametrize("rule", sorted(SPARED))
def test_removing_these_rules_only_delays_runs(rule: str) -> None:
    scenario = SCENARIOS[SHORT if rule == "marked_performs_one_link" else REFUND]
    found = scenario.explore(replace(RIGHT, **{rule: False}))
    scenario.judge(found)


def test_a_decision_reaches_its_run_whatever_comes_between_the_looks_and_the_commits() -> None:
    scenario = SCENARIOS[GROUP]
    scenario.judge_rest(scenario.explore(stepwise=True, foreign=False))


def test_the_guarded_update_alone_is_not_enough() -> None:
    # Given no lock, and the guard of the UPDATE, which names the place that was read
    without = replace(RIGHT, locks=False)
    with pytest.raises(Violation) as caught:
        SCENARIOS[REFUND].explore(without, stepwise=True)
    # Then what leaves a run where it stands passes it
    print(caught.value)


def test_every_rule_is_tested() -> None:
    assert {field.name for field in fields(Rules)} == set(MISSED) | set(SPARED)
