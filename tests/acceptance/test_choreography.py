"""What moves an order under choreography: its domains' events, and nothing that says what comes next."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sagas.messaging.topology import CHOREOGRAPHY_EXCHANGE
from tests.acceptance.test_fates import ordered, seen
from tests.support import broker, servers
from tests.support.awaiting import eventually
from tests.support.platform_fixtures import WorkerGroup
from tests.support.shop import Shop, run_of
from tests.support.shop_invariants import assert_shop_invariants
from tests.support.web import Caller

pytestmark = pytest.mark.skipif(servers.EMBEDDED, reason="listens on RabbitMQ")

TAP = "test.tap"


@pytest.fixture
def tap(worker_group: WorkerGroup) -> Iterator[None]:
    """Everything that is told on the exchange comes here, too."""
    worker_group.carrier = "choreography"
    # Long: an order whose time is over, on a slow machine, would tell of it here.
    worker_group.start(confirm_within=600.0)
    with broker.channel() as channel:
        channel.queue_declare(TAP, durable=False, auto_delete=False)
        channel.queue_bind(TAP, CHOREOGRAPHY_EXCHANGE, "orders.PlaceOrder.#")
    yield
    worker_group.carrier = "orchestration"
    with broker.channel() as channel:
        channel.queue_delete(TAP)


class Listener:
    """Takes from the tap what is told of one order.

    Of this one alone: what a test before has left behind is begun by these workers, too. And of every event the first
    telling: a broker that confirms late is told again.
    """

    def __init__(self, order_no: str) -> None:
        self._run = str(run_of(order_no))
        self._told: list[str] = []

    def hears(self, *names: str) -> None:
        """Wait for what is told next, and compare."""
        seen = len(self._told)

        def listened() -> bool:
            self._listen()
            return len(self._told) >= seen + len(names)

        eventually(listened, what=f"to hear {', '.join(names)}")
        assert self._told[seen:] == list(names)

    def hears_nothing(self) -> None:
        """Nothing has been told since."""
        seen = list(self._told)
        self._listen()
        assert self._told == seen

    def _listen(self) -> None:
        while (message := broker.take(TAP)) is not None:
            (ids, *_), *_ = json.loads(message.body)
            name = message.delivery_info["routing_key"].rpartition(".")[2]
            if self._run in ids and name not in self._told:
                self._told.append(name)


@pytest.mark.usefixtures("tap")
def test_domain_events_move_a_paid_order_to_its_end(customer: Caller, shop: Shop) -> None:
    order_no = ordered(customer, shop)
    seen(customer, order_no, "AWAITING_CONFIRM")
    order = Listener(order_no)
    order.hears("PlaceOrderStarted", "OrderCreated", "InventoryReserved", "CouponRedeemed")

    customer.pay(order_no)
    seen(customer, order_no, "SUCCEEDED")

    # Of what is done last, nothing follows.
    order.hears("PlaceOrderConfirmed", "OrderConfirmed", "InventoryTaken")
    order.hears_nothing()
    assert_shop_invariants(shop.before)


@pytest.mark.usefixtures("tap")
def test_domain_events_undo_a_rejected_order(customer: Caller, shop: Shop) -> None:
    first = ordered(customer, shop)
    seen(customer, first, "AWAITING_CONFIRM")

    # The coupon is used already.
    order_no = ordered(customer, shop)
    seen(customer, order_no, "FAILED")

    order = Listener(order_no)
    order.hears("PlaceOrderStarted", "OrderCreated", "InventoryReserved", "CouponRejected", "InventoryReleased")
    order.hears_nothing()
