"""Admission, in a discrete simulation of a queue: who is accepted begins in time, and a burst that fits is accepted."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagas.decisions import admission
from sagas.decisions.admission import Count, Look

#: Moments in a second of the simulation.
STEPS = 20


@dataclass
class Door:
    """A queue with a door: what was accepted, when it began, and who was refused. It starts at second 1000.

    Attributes:
        service: runs that begin each second.
        lump: so many are claimed at once.
        unknown: due time of a run at the head of which no worker knows the saga; ``None`` without one.
    """

    service: float = 10.0
    limit: float = 120.0
    lump: int = 1
    unknown: float | None = None
    waiting: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    looks: tuple[Look, ...] = ()
    now: float = 1000.0
    _credit: float = 0.0
    _due: float = 0.0
    _newest_begun: float = 0.0

    def look(self) -> None:
        head = self.waiting[0] if self.waiting else self.now
        if self.unknown is not None:
            # As the database's look has it: what began later shows that this one holds up nobody.
            head = max(min(self.unknown, head), self._newest_begun)
        look = Look(self.now, head)
        if most := admission.runs_to_count(admission.keep(self.looks, look), self.limit):
            last = self.looks[-1].count if self.looks else None
            before = last.through if last else -1.0
            counted = self.waiting[:most]
            left = sum(due <= before for due in counted)
            through = counted[-1] if counted else 0.0
            look = Look(look.at, look.head, Count(len(counted), len(counted) < most, through, left, before in counted))
        self.looks = admission.keep(self.looks, look)

    def pass_time(self, seconds: int, arrivals: float, *, served: bool = True) -> None:
        for moment in range(seconds * STEPS):
            if moment % STEPS == 0:
                self.look()
            self._due += arrivals / STEPS
            while self._due >= 1:
                self._due -= 1
                if admission.excess(self.looks, self.limit):
                    self.refused.append(self.now)
                else:
                    # No two have the same due time.
                    self.waiting.append(self.now + len(self.waiting) * 1e-7)
            self._begin(served=served)
            self.now += 1 / STEPS

    def _begin(self, *, served: bool) -> None:
        if served:
            self._credit += self.service / STEPS
        while self._credit >= self.lump and self.waiting:
            for due in self.waiting[: self.lump]:
                self.waits.append(max(self.now - due, 0.0))
                self._newest_begun = due
            del self.waiting[: self.lump]
            self._credit -= self.lump
        if not self.waiting:
            self._credit = min(self._credit, self.lump)

    def end(self) -> None:
        """Let everybody begin who was accepted."""
        while self.waiting:
            self.pass_time(1, 0)


@pytest.mark.parametrize("times", [1.2, 3, 10])
def test_an_overload_is_refused_in_time_and_no_more_than_needed(times: float) -> None:
    door = Door()
    door.pass_time(600, times * door.service)
    begun = len(door.waits)
    door.end()
    assert max(door.waits) <= 1.2 * door.limit
    # And the work is never short of orders
    assert begun >= 0.97 * 600 * door.service


def test_an_overload_of_runs_that_are_claimed_in_lumps_is_refused_in_time() -> None:
    door = Door(service=100, lump=200)
    door.pass_time(400, 300)
    door.end()
    assert max(door.waits) <= 1.2 * door.limit


@given(
    size=st.floats(min_value=1, max_value=100, allow_nan=False),
    seconds=st.integers(min_value=1, max_value=30),
    trickle=st.floats(min_value=0, max_value=0.15),
)
@settings(max_examples=30)
def test_a_burst_that_fits_is_accepted_and_so_are_those_behind_it(size: float, seconds: int, trickle: float) -> None:
    # Given a quiet system
    door = Door()
    door.pass_time(20, trickle * door.service)
    # When as many come in a burst as are begun in ``size`` seconds, and then few
    door.pass_time(seconds, size * door.service / seconds)
    door.pass_time(150, trickle * door.service)
    door.end()
    # Then nobody is refused
    assert door.refused == []
    assert max(door.waits, default=0) <= 1.2 * door.limit


def test_a_burst_that_does_not_fit_is_refused_from_where_it_does_not() -> None:
    door = Door()
    door.pass_time(20, 0)
    door.pass_time(30, 10 * door.service)
    door.end()
    assert door.refused
    assert 0.9 * door.limit <= max(door.waits) <= 1.2 * door.limit


def test_an_outage_closes_the_door_within_seconds_and_its_end_opens_it_again() -> None:
    door = Door()
    door.pass_time(60, 8)
    # When nothing begins any more
    began = door.now
    door.pass_time(90, 8, served=False)
    # Then new runs are refused soon
    assert began < door.refused[0] <= began + 15
    # And accepted again soon after the outage
    ended = door.now
    door.pass_time(60, 8)
    assert door.refused[-1] <= ended + 15
    door.end()
    # And who was accepted begins in time after an outage that is shorter than the limit
    assert max(door.waits) <= door.limit


def test_a_restarted_process_learns_the_pace_anew() -> None:
    door = Door()

    def restart() -> None:
        door.looks = ()

    for _ in range(6):
        door.pass_time(60, 30)
        restart()
    door.end()
    assert max(door.waits) <= 1.2 * door.limit


def test_an_unknown_saga_at_the_head_refuses_nobody_while_others_begin() -> None:
    # Given a run that no worker knows, at the head
    door = Door()
    door.unknown = door.now
    # Then a steady load that fits, and a burst that fits, are accepted
    door.pass_time(120, 8)
    door.pass_time(5, 40 * door.service / 5)
    door.pass_time(200, 5)
    assert door.refused == []
    # And an overload is refused in time
    door.pass_time(400, 3 * door.service)
    door.end()
    assert door.refused
    assert max(door.waits) <= 1.2 * door.limit


def test_a_young_backlog_refuses_nobody() -> None:
    looks = admission.keep((), Look(100, 100))
    looks = admission.keep(looks, Look(102, 100, Count(10_000, False, 101, 0, False)))
    assert admission.expected_wait(looks) > 3
    assert admission.excess(looks, limit=3) == 0


def test_one_look_takes_the_age_for_the_wait() -> None:
    looks = admission.keep((), Look(200, 50))
    assert admission.pace(looks) == 1
    assert admission.excess(looks, limit=120) == 30


@pytest.mark.parametrize(
    ("moved", "expected"), [(0, admission.SLOWEST), (0.01, admission.SLOWEST), (2, 0.4), (5, 1), (9, 1), (-3, 0.05)]
)
def test_the_pace_is_clamped(moved: float, expected: float) -> None:
    looks = (Look(100, 50), Look(105, 50 + moved))
    assert admission.pace(looks) == pytest.approx(expected)


def test_a_clock_that_was_set_back_makes_a_new_beginning() -> None:
    assert admission.keep((Look(100, 90),), Look(50, 45)) == (Look(50, 45),)
    assert admission.keep((Look(100, 90),), Look(111, 110)) == (Look(111, 110),)
