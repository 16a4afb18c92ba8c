"""All interleavings of two deliveries of one message, a confirm and a deadline, with a crash at each point of each."""

from __future__ import annotations

from itertools import permutations
from math import factorial
from typing import TYPE_CHECKING

import pytest

from tests.simulator.trace import Item, Schedule

if TYPE_CHECKING:
    from tests.simulator.bench import Bench

pytestmark = pytest.mark.slow

#: What each is called in a story. The deliveries are of the last step's message.
FIRST, SECOND = "two.forward(a)#1", "two.forward(a)#1~2"
CONFIRM, DEADLINE = "confirm(a)#1", "deadline:approval(a)#1"
FOUR = (FIRST, SECOND, CONFIRM, DEADLINE)
#: One after the other, behind the deadline; between two there is time for a redelivery and for a caller to ask again.
SLOTS = (40.0, 50.0, 60.0, 70.0)


def _schedule(order: tuple[str, ...], *crash: Item) -> Schedule:
    at = dict(zip(order, SLOTS, strict=True))
    return Schedule(
        1,
        {"carrier": "orchestration"},
        (
            Item("start", "a", 0.0, (("saga", "Small"),)),
            Item("confirm", "a", at[CONFIRM], (("what", "approval"),)),
            Item("delay", FIRST, None, (("by", str(at[FIRST])),)),
            Item("double", FIRST, None, (("after", str(at[SECOND] - at[FIRST])),)),
            Item("delay", DEADLINE, None, (("by", str(at[DEADLINE] - 30)),)),
            # The tick would send the steps out again when their lease has lapsed: these are to come by themselves.
            *(Item("lose", f"tick#{n}") for n in range(1, 12)),
            *crash,
        ),
    )


def _orders() -> list[tuple[str, ...]]:
    """Those in which the double comes after what it doubles: they are the same message."""
    return [order for order in permutations(FOUR) if order.index(FIRST) < order.index(SECOND)]


def test_no_interleaving_breaks_a_promise(bench: Bench) -> None:
    from tests.simulator.play import play

    # Given
    orders = _orders()
    assert len(orders) == factorial(4) // factorial(2)
    played = points = 0
    ends: set[str] = set()

    for order in orders:
        # When: no crash
        calm = play(bench, _schedule(order))

        # Then: they came in this order
        came = [name for line in calm.story if (name := line.split()[-1]) in FOUR]
        assert came == list(order), "\n".join(calm.story)
        assert not calm.failed, calm.report()
        ends |= set(calm.states)
        played += 1

        # When: one of them dies, at each of its points
        for name in FOUR:
            assert calm.points_of[name] > 0
            points += calm.points_of[name]
            for point in range(1, calm.points_of[name] + 1):
                crashed = play(bench, _schedule(order, Item("crash", name, None, (("at", str(point)),))))

                # Then
                assert crashed.faults["crash"] == 1, crashed.report()
                assert not crashed.failed, crashed.report()
                ends |= set(crashed.states)
                played += 1
    print(f"{len(orders)} orders, {points} points, {played} interleavings")
    assert played == len(orders) + points
    assert ends == {"SUCCEEDED", "FAILED"}
