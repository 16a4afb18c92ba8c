"""What moves an order under choreography: its domains' events, and nothing that says what comes next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagas.topology import CHOREOGRAPHY_EXCHANGE
from tests.acceptance.test_fates import ordered, seen
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.books import assert_books_balance
from tests.support.house import Crew
from tests.support.shop import Shop
from tests.support.web import Caller

TAP = "test.tap"


@pytest.fixture
def tap(crew: Crew) -> Iterator[None]:
    """Everything that is told on the exchange comes here, too."""
    crew.carrier = "choreography"
    # Long: an order whose time is over, on a slow machine, would tell of it here.
    crew.hire(confirm_within=600.0)
    with broker.channel() as channel:
        channel.queue_declare(TAP, durable=False, auto_delete=False)
        channel.queue_bind(TAP, CHOREOGRAPHY_EXCHANGE, "orders.PlaceOrder.#")
    yield
    crew.carrier = "orchestration"
    with broker.channel() as channel:
        channel.queue_delete(TAP)


def told(count: int) -> list[str]:
    """The next events."""
    found: list[str] = []

    def take() -> bool:
        while (message := broker.take(TAP)) is not None:
            found.append(message.delivery_info["routing_key"].rpartition(".")[2])
        return len(found) >= count

    eventually(take, what=f"{count} events")
    return found


@pytest.mark.usefixtures("tap")
def test_a_paid_order_is_moved_by_what_its_domains_tell(customer: Caller, shop: Shop) -> None:
    order_no = ordered(customer, shop)
    seen(customer, order_no, "AWAITING_CONFIRM")
    # An order that comes alone is begun by whoever claims it: that it was started need not be told.
    assert told(3) == ["OrderCreated", "InventoryReserved", "CouponRedeemed"]

    customer.pay(order_no)
    seen(customer, order_no, "SUCCEEDED")

    # So is a confirmation. And of what is done last, nothing follows.
    assert told(2) == ["OrderConfirmed", "InventoryTaken"]
    assert broker.length(TAP) == 0
    assert_books_balance(shop.before)


@pytest.mark.usefixtures("tap")
def test_a_refused_order_is_undone_by_what_its_domains_tell(customer: Caller, shop: Shop) -> None:
    first = ordered(customer, shop)
    seen(customer, first, "AWAITING_CONFIRM")
    told(3)

    # The coupon is used already.
    order_no = ordered(customer, shop)
    seen(customer, order_no, "FAILED")

    assert told(4) == ["OrderCreated", "InventoryReserved", "CouponRejected", "InventoryReleased"]
    assert broker.length(TAP) == 0
