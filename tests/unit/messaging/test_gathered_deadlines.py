"""Deadlines of cohorts that begin one after the other go out in one message."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from uuid import UUID

import pytest

from sagas import runtime
from sagas.conf import config
from sagas.decisions.messages import Deadline
from sagas.messaging import gathered_deadlines
from sagas.messaging.gathered_deadlines import GATHER, add, take


class Clock:
    """A clock that a test sets."""

    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr(gathered_deadlines, "time", SimpleNamespace(monotonic=lambda: made.now))
    runtime.memory.deadlines.clear()
    yield made
    runtime.memory.deadlines.clear()


def deadline(*numbers: int, confirmation: str = "payment") -> Deadline:
    return Deadline("orders.PlaceOrder", 1, confirmation, 30.0, tuple(UUID(int=number) for number in numbers))


def test_the_first_deadline_goes_out_at_once(clock: Clock) -> None:
    assert add(deadline(1)) == [deadline(1)]
    # Given nothing for a moment
    clock.now += GATHER
    assert add(deadline(2)) == [deadline(2)]


def test_those_that_follow_at_once_go_out_together(clock: Clock) -> None:
    add(deadline(1))
    clock.now += GATHER / 4
    assert add(deadline(3)) == []
    clock.now += GATHER / 4
    assert add(deadline(2)) == []
    assert take(at_once=False) == []
    # When
    clock.now += GATHER
    # Then they go out once, with the next one or without it
    assert add(deadline(4)) == [deadline(2, 3, 4)]
    assert add(deadline(5)) == []
    clock.now += GATHER
    assert take(at_once=False) == [deadline(5)]
    assert take(at_once=True) == []


def test_each_confirmation_has_its_own(clock: Clock) -> None:
    assert add(deadline(1)) == [deadline(1)]
    assert add(deadline(1, confirmation="delivery")) == [deadline(1, confirmation="delivery")]


def test_a_full_cohort_waits_for_no_more(clock: Clock) -> None:
    add(deadline(0))
    many = [add(deadline(number)) for number in range(1, config().cohort + 1)]
    assert many[:-1] == [[]] * (config().cohort - 1)
    assert many[-1] == [deadline(*range(1, config().cohort + 1))]


def test_a_process_that_ends_publishes_what_it_has_gathered(clock: Clock) -> None:
    add(deadline(1))
    add(deadline(2))
    assert take(at_once=True) == [deadline(2)]


def test_what_has_waited_until_the_tick_comes_before_it_is_left_to_the_tick(clock: Clock) -> None:
    add(deadline(1))
    add(deadline(2))
    clock.now += GATHER + config().grace + 0.01
    assert take(at_once=False) == []
    # The next one begins anew
    clock.now += GATHER
    assert add(deadline(3)) == [deadline(3)]


@pytest.mark.parametrize("full", [False, True])
def test_what_is_left_to_the_tick_takes_nothing_along_that_has_just_begun(clock: Clock, *, full: bool) -> None:
    # Given one that was gathered before nothing came for long
    add(deadline(1))
    add(deadline(2))
    clock.now += GATHER + config().grace + 0.01
    # When
    fresh = range(3, 3 + config().cohort) if full else [3]
    published = [due for number in fresh for due in add(deadline(number))] + take(at_once=True)
    # Then
    assert sorted(run_id.int for due in published for run_id in due.ids) == list(fresh)


def test_one_that_came_too_early_is_sent_again_by_itself(clock: Clock) -> None:
    add(deadline(1))
    again = Deadline("orders.PlaceOrder", 1, "payment", 30.0, (UUID(int=1),), delay=0.5)
    assert add(again) == [again]
