"""The payment and its deadline race; exactly one of them wins, and everybody is told the same."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import cycle

from orders.models import Order
from orders.sagas import PlaceOrder
from sagas.models import Log, Run
from tests.support import servers
from tests.support.awaiting import eventually
from tests.support.platform_fixtures import WorkerGroup
from tests.support.shop import TEA, Shop
from tests.support.shop_invariants import assert_shop_invariants, await_all_ended
from tests.support.web import Caller

RACES = 200
#: From when the payment is sent, in milliseconds after the deadline. Most are a close shave; the outer ones see to
#: it that both outcomes occur, also on a machine that is slow today.
OFFSETS_MS = (-600, -60, -30, -20, -12, -8, -4, 0, 4, 8, 12, 20, 30, 60, 1000)


def pay_at(provider: Caller, order_no: str, moment: datetime) -> int:
    """Send the payment at this moment. Not a wait for a condition: the moment is what is tested."""
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))
    return provider.pay(order_no).status


def test_payment_and_deadline_race_and_one_of_them_wins(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Given orders that begin as they come, so that each has a deadline of its own
    worker_group.start(confirm_within=8.0)
    with ThreadPoolExecutor(4) as pool:
        replies = pool.map(lambda n: customer.place([(TEA, 1)], slot=shop.slot, coupon=f"C{n}"), range(RACES))
        numbers = [str(reply.body["order_no"]) for reply in replies]
    deadlines = eventually(lambda: _deadlines(numbers), what="all orders begun")
    assert deadlines is not None

    # When each is paid a few milliseconds before or after its deadline
    with ThreadPoolExecutor(16) as pool:
        paid = {
            number: pool.submit(pay_at, customer, number, deadline + timedelta(milliseconds=offset))
            for offset, (number, deadline) in zip(
                cycle(OFFSETS_MS), sorted(deadlines.items(), key=lambda pair: pair[1]), strict=False
            )
        }
    answers = {number: future.result() for number, future in paid.items()}
    await_all_ended()

    # Then whoever was told that it is paid has it, everybody else has not, and both were seen
    states = dict(Run.objects.filter(saga=PlaceOrder.name).values_list("business_key", "state"))
    assert {number: "SUCCEEDED" if answer == 200 else "FAILED" for number, answer in answers.items()} == states
    assert set(answers.values()) == {200, 409}
    assert_shop_invariants(shop.before)
    expired = Log.objects.filter(operation="expire").values_list("data__by", flat=True)
    assert ("tick" if servers.EMBEDDED else "message") in set(expired)


def _deadlines(numbers: list[str]) -> dict[str, datetime] | None:
    found = dict(Run.objects.filter(deadline__isnull=False).values_list("business_key", "deadline"))
    assert Order.objects.count() == len(numbers)
    return {key: deadline for key, deadline in found.items() if deadline} if len(found) == len(numbers) else None
