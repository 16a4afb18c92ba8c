"""All interleavings of two deliveries of one message, a confirm and a deadline, with a crash at each point of each.

Under both carriers.
"""

from __future__ import annotations

from itertools import permutations
from math import factorial
from typing import TYPE_CHECKING

import pytest

from tests.simulator.trace import Item, Schedule

if TYPE_CHECKING:
    from tests.simulator.bench import Bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: What leads to the last step is called so in a story. It is what comes twice.
MESSAGES = {"orchestration": "two.forward(a)#1", "choreography": "OneDone>coupons(a)#1"}
CONFIRM, DEADLINE = "confirm(a)#1", "deadline:approval(a)#1"
#: One after the other, behind the deadline; between two there is time for a redelivery and for a caller to ask again.
SLOTS = (40.0, 50.0, 60.0, 70.0)


def _double(message: str) -> str:
    return f"{message}~2"


def _schedule(carrier: str, order: tuple[str, ...], *crash: Item) -> Schedule:
    at = dict(zip(order, SLOTS, strict=True))
    message = MESSAGES[carrier]
    return Schedule(
        1,
        {"carrier": carrier},
        (
            Item("start", "a", 0.0, (("saga", "Small"),)),
            Item("confirm", "a", at[CONFIRM], (("what", "approval"),)),
            Item("delay", message, None, (("by", str(at[message])),)),
            Item("double", message, None, (("after", str(at[_double(message)] - at[message])),)),
            Item("delay", DEADLINE, None, (("by", str(at[DEADLINE] - 30)),)),
            # The tick would send the steps out again when their lease has lapsed: these are to come by themselves.
            *(Item("lose", f"tick#{n}") for n in range(1, 12)),
            *crash,
        ),
    )


def _orders(message: str) -> list[tuple[str, ...]]:
    """Those in which the double comes after what it doubles: they are the same message."""
    four = (message, _double(message), CONFIRM, DEADLINE)
    return [order for order in permutations(four) if order.index(message) < order.index(_double(message))]


@pytest.mark.parametrize("carrier", MESSAGES)
def test_no_interleaving_breaks_a_promise(bench: Bench, carrier: str) -> None:
    from tests.simulator.play import play

    # Given
    orders = _orders(MESSAGES[carrier])
    assert len(orders) == factorial(4) // factorial(2)
    played = points = 0
    ends: set[str] = set()

    for order in orders:
        # When: no crash
        calm = play(bench, _schedule(carrier, order))

        # Then: they came in this order
        came = [name for line in calm.story if (name := line.split()[-1]) in order]
        assert came == list(order), "\n".join(calm.story)
        assert not calm.failed, calm.report()
        ends |= set(calm.states)
        played += 1

        # When: one of them dies, at each of its points
        for name in order:
            assert calm.points_of[name] > 0
            points += calm.points_of[name]
            for point in range(1, calm.points_of[name] + 1):
                crashed = play(bench, _schedule(carrier, order, Item("crash", name, None, (("at", str(point)),))))

                # Then
                assert crashed.faults["crash"] == 1, crashed.report()
                assert not crashed.failed, crashed.report()
                ends |= set(crashed.states)
                played += 1
    print(f"{len(orders)} orders, {points} points, {played} interleavings")
    assert played == len(orders) + points
    assert ends == {"SUCCEEDED", "FAILED"}
