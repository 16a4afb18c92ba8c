"""Schedules from fixed seeds, none of which breaks a promise; and that a schedule can be told, replayed and shrunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.simulator.trace import Item, Schedule, parse

if TYPE_CHECKING:
    from tests.simulator.bench import Bench
    from tests.simulator.report import Report

#: Eight hundred in all, by their first seeds: a test that fails names the seed, and the trace it shrinks to.
EACH = 200
FIRST = range(1, 801, EACH)


@pytest.fixture(scope="module")
def play_from(bench: Bench) -> Callable[[int], Report]:
    """Call it to play the seeds from this one on, none of which breaks a promise. They are played once."""
    from tests.simulator.play import play_seed, shrunk
    from tests.simulator.report import Report

    @cache
    def play(first: int) -> Report:
        report = Report()
        bench.wipe()
        for seed in range(first, first + EACH):
            played = play_seed(bench, seed)
            assert not played.failed, f"seed {seed}\n{played.report()}\nshrunk:\n{shrunk(bench, played).report()}"
            report.count(played)
        return report

    return play


@pytest.mark.parametrize("first", FIRST)
def test_no_schedule_breaks_a_promise(play_from: Callable[[int], Report], first: int) -> None:
    assert play_from(first).schedules == EACH


def test_the_schedules_together_contain_every_kind_of_fault_and_end(play_from: Callable[[int], Report]) -> None:
    from tests.simulator.report import Report

    # Given
    report = Report()

    # When
    places = {"crash before COMMIT", "crash after COMMIT", "crash before the ack"}
    for first in FIRST:
        report.add(play_from(first))
        # Which place a seed strikes changes with each statement of the engine.
        if places <= set(report.places):
            break

    # Then
    assert {"crash", "stall", "conflict", "cut", "nack", "lose", "double", "delay"} <= set(report.faults)
    assert {"empty broker", "empty redis", "away broker", "away redis", "deploy"} <= set(report.faults)
    assert places <= set(report.places)
    assert set(report.states) == {"SUCCEEDED", "FAILED"}
    assert len(report.sagas) >= 15


def test_processes_without_a_broker_die_in_some_of_the_schedules(bench: Bench) -> None:
    from tests.simulator.cast import draw
    from tests.simulator.play import play_seed

    # When
    without = [seed for seed in range(1, 401) if "work" in draw(seed).settings]
    faults = Counter[str]()
    for seed in without:
        faults += play_seed(bench, seed).faults
        if faults["crash"] and faults["poison"]:
            break

    # Then
    assert 60 <= len(without) <= 140
    assert faults["crash"]
    assert faults["poison"]


def test_a_seed_is_always_the_same_schedule(bench: Bench) -> None:
    from tests.simulator.play import play_seed

    for seed in (3, 7, 12, 36, 50):
        # When
        first, second = play_seed(bench, seed), play_seed(bench, seed)

        # Then
        assert first.story
        assert second.story == first.story
        assert second.logs == first.logs
        assert second.points == first.points


def test_a_schedule_played_again_from_its_text_meets_the_same_faults(bench: Bench) -> None:
    from tests.simulator.play import play_seed, replay

    struck = 0
    for seed in range(20, 40):
        # Given
        drawn = play_seed(bench, seed)

        # When
        again = replay(bench, str(drawn.schedule))

        # Then
        assert again.story == drawn.story
        assert again.logs == drawn.logs
        struck += sum(drawn.faults.values())
    assert struck > 20


def test_a_bug_shrinks_to_a_trace_that_fails_with_it_and_passes_without_it(bench: Bench) -> None:
    from tests.simulator.mutants import named
    from tests.simulator.play import play_seed, replay, shrunk

    # Given an engine that undoes only the first step
    mutant = named("only the first step is undone")
    with mutant.apply():
        played = next(played for seed in range(1, 100) if (played := play_seed(bench, seed)).failed)

        # When
        smallest = shrunk(bench, played)

        # Then: what is left is one run, and at most one thing that turns it back
        assert len(smallest.schedule.items) <= 2, smallest.report()
        assert f'replay("""\n{smallest.schedule}\n""")' in smallest.report()
        assert [code for code, _ in replay(bench, str(smallest.schedule)).complaints][:1] == [
            code for code, _ in smallest.complaints
        ][:1]
    assert not replay(bench, str(smallest.schedule)).failed


def test_a_written_trace_is_read_unchanged() -> None:
    schedule = Schedule(
        7,
        {"carrier": "choreography"},
        (Item("start", "a", 0.5, (("saga", "Lab"),)), Item("lose", "one.forward(a)#1"), Item("empty", "broker", 1.0)),
    )

    assert parse(str(schedule)) == schedule


@pytest.mark.parametrize("text", ["", "a trace", "seed x", "seed 1\nlose", "seed 1\nstart a", "seed 1\n3 lose a"])
def test_an_invalid_trace_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="trace"):
        parse(text)
