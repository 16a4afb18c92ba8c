"""How long a dispatch waits for more work."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sagas.delivery import gathering
from sagas.delivery.gathering import GATHER, GATHER_STEADILY, IDLE, STEADY, Gathering


class Clock:
    """A clock that is set by the test."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(gathering, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_the_first_dispatch_waits_for_nothing(clock: Clock) -> None:
    assert Gathering().seconds_left == 0


def test_what_comes_alone_waits_for_nothing(clock: Clock) -> None:
    gathered = Gathering()
    gathered.done()
    clock.now += IDLE * 1.01
    assert gathered.seconds_left == 0


def test_what_follows_a_dispatch_closely_waits_until_some_is_gathered(clock: Clock) -> None:
    gathered = Gathering()
    gathered.done()
    clock.now += IDLE / 2
    assert gathered.seconds_left == pytest.approx(GATHER - IDLE / 2)


def test_whoever_is_woken_while_some_is_gathered_goes_on_waiting(clock: Clock) -> None:
    gathered = Gathering()
    gathered.done()
    assert gathered.seconds_left == pytest.approx(GATHER)
    clock.now += (IDLE + GATHER) / 2
    assert gathered.seconds_left == pytest.approx((GATHER - IDLE) / 2)


def _dispatch_steadily(gathered: Gathering, clock: Clock, times: int) -> None:
    """Dispatch so often, each time with a kick a moment behind the last dispatch."""
    for _ in range(times):
        clock.now += IDLE / 4
        clock.now += gathered.seconds_left
        gathered.done()


def test_work_that_comes_all_the_time_is_gathered_for_longer(clock: Clock) -> None:
    # Given work that has waited for more again and again
    gathered = Gathering()
    gathered.done()
    _dispatch_steadily(gathered, clock, STEADY - 1)
    assert gathered.seconds_left == pytest.approx(GATHER)
    # When it comes once more, it waits for longer, and so does what follows
    _dispatch_steadily(gathered, clock, 1)
    for _ in range(3):
        assert gathered.seconds_left == pytest.approx(GATHER_STEADILY)
        _dispatch_steadily(gathered, clock, 1)


def test_after_a_pause_what_comes_alone_waits_for_nothing_again(clock: Clock) -> None:
    gathered = Gathering()
    gathered.done()
    _dispatch_steadily(gathered, clock, STEADY)
    clock.now += GATHER_STEADILY + IDLE
    assert gathered.seconds_left == 0
    gathered.done()
    assert gathered.seconds_left == pytest.approx(GATHER)


def test_an_order_and_its_payment_again_and_again_are_not_steady(clock: Clock) -> None:
    # Given orders with pauses between them, each paid a moment later
    gathered = Gathering()
    for _ in range(STEADY * 2):
        assert gathered.seconds_left == 0
        gathered.done()
        _dispatch_steadily(gathered, clock, 1)
        clock.now += GATHER
    # Then a payment waits no longer than at first
    gathered.done()
    assert gathered.seconds_left == pytest.approx(GATHER)


def test_what_is_looked_at_and_left_undone_is_no_wait(clock: Clock) -> None:
    # Given a process that waits for more after each piece of work, and finds nothing
    gathered = Gathering()
    for _ in range(STEADY * 2):
        gathered.done()
        clock.now += gathered.seconds_left
        clock.now += IDLE * 1.01
    # Then its work has not come all the time
    gathered.done()
    assert gathered.seconds_left == pytest.approx(GATHER)
