"""A thousand customers want the last hundred cups, all at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from sagas.models import Log, Run
from tests.support import shop_invariants
from tests.support.awaiting import eventually
from tests.support.platform_fixtures import WorkerGroup
from tests.support.shop import open_shop
from tests.support.shop_invariants import assert_shop_invariants, await_all_ended
from tests.support.web import Caller, Web

LIMITED = "LIMITED-M"
CUSTOMERS, CUPS, PAID = 1000, 100, 60


def rush(customer: Caller, slot: int) -> int:
    """Everybody orders one cup; return how many orders were accepted. The others were turned away, with the reason."""
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: customer.place([(LIMITED, 1)], slot=slot), range(CUSTOMERS)))
    turned_away = [reply.body for reply in replies if reply.status == 409]
    assert {body["type"] for body in turned_away} == {"/problems/out-of-stock"}
    assert {error["code"] for body in turned_away for error in body["errors"]} == {"OutOfStock"}
    accepted = [reply for reply in replies if reply.status == 202]
    assert len(accepted) + len(turned_away) == CUSTOMERS
    return len(accepted)


def lucky() -> list[str]:
    """Who holds a cup."""
    return list(Run.objects.filter(state="AWAITING_CONFIRM").values_list("business_key", flat=True))


def assert_exactly_the_cups_are_held(accepted: int) -> None:
    held = Log.objects.filter(step="reserve_inventory", operation="try", outcome="DONE").count()
    assert held == CUPS
    assert shop_invariants.snapshot().stock[LIMITED] == (0, CUPS, 0)
    reasons = Run.objects.filter(state="FAILED").values_list("reason__code", "reason__detail").distinct()
    # Those of before it was a rush, and those of processes that did not know of each other.
    assert set(reasons) <= {("OutOfStock", f"{LIMITED}: 1 wanted, 0 left")}
    assert Run.objects.filter(state="FAILED").count() == accepted - CUPS


def decided(accepted: int) -> bool:
    """Whether everybody whose order was accepted has a cup or knows that there is none."""
    return Run.objects.filter(state__in=["AWAITING_CONFIRM", "FAILED"]).count() == accepted


def test_a_thousand_customers_order_the_last_hundred_cups(worker_group: WorkerGroup, web: Web) -> None:
    # Long: on a slow machine the first cups would be given back before the last customer has come.
    worker_group.start(confirm_within=600.0)
    shop = open_shop(stock={LIMITED: CUPS})
    customer = Caller(web, shop.token)

    accepted = rush(customer, shop.slot)
    eventually(lambda: decided(accepted), within=60, what="everybody decided")
    assert_exactly_the_cups_are_held(accepted)

    # Some pay, the others think better of it.
    holders = lucky()
    assert {customer.pay(order_no).status for order_no in holders[:PAID]} == {200}
    assert {customer.cancel(order_no).status for order_no in holders[PAID:]} == {202}
    await_all_ended()
    assert shop_invariants.snapshot().stock[LIMITED] == (CUPS - PAID, 0, PAID)
    assert_shop_invariants(shop.before)


@pytest.mark.slow
def test_a_thousand_customers_order_the_last_hundred_cups_and_some_never_pay(
    worker_group: WorkerGroup, web: Web
) -> None:
    worker_group.start()
    shop = open_shop(stock={LIMITED: CUPS})
    customer = Caller(web, shop.token)

    accepted = rush(customer, shop.slot)
    eventually(lambda: decided(accepted), within=60, what="everybody decided")
    assert_exactly_the_cups_are_held(accepted)

    assert {customer.pay(order_no).status for order_no in lucky()[:PAID]} == {200}
    await_all_ended()
    assert shop_invariants.snapshot().stock[LIMITED] == (CUPS - PAID, 0, PAID)
    assert_shop_invariants(shop.before)
