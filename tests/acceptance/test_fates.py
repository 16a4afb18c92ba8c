"""Every fate that one order can have, over HTTP, on real servers: and the shop as before where it failed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from coupons.models import Coupon
from delivery.models import Slot
from inventory.services import write_off
from orders.models import Order, OrderStatus
from orders.sagas import PlaceOrder
from sagas.models import Log, Run
from tests.support import broker, servers, shop_invariants
from tests.support.awaiting import eventually
from tests.support.platform_fixtures import WorkerGroup
from tests.support.runs import shift_clock
from tests.support.shop import PEACH, TEA, Shop, run_of
from tests.support.shop_invariants import assert_shop_invariants, await_all_ended
from tests.support.web import Caller

#: Seconds within which an order of these tests must be paid, where nobody pays it.
SHORT = 1.5
EVERYTHING = [(TEA, 2), (PEACH, 1)]
needs_rabbitmq = pytest.mark.skipif(servers.EMBEDDED, reason="looks at RabbitMQ's messages")


@pytest.fixture(autouse=True, scope="module", params=["orchestration", "choreography"])
def carrier(request: pytest.FixtureRequest, _worker_group: WorkerGroup) -> Iterator[str]:
    """The same orders, the same fates, however their cohorts travel."""
    _worker_group.carrier = request.param
    yield request.param
    _worker_group.carrier = "orchestration"


def ordered(customer: Caller, shop: Shop, coupon: str | None = "C1") -> str:
    """Place an order that every domain has a part in, and return its number."""
    reply = customer.place(EVERYTHING, slot=shop.slot, coupon=coupon)
    assert reply.status == 202, reply
    assert reply.headers["Location"].endswith(f"/orders/{reply.body['order_no']}/")
    return str(reply.body["order_no"])


def seen(customer: Caller, order_no: str, state: str, *, within: float = 20.0) -> dict[str, Any]:
    """What the customer reads of the order, once it is in this state."""

    def read() -> dict[str, Any] | None:
        body: dict[str, Any] = customer.read(order_no).body
        return body if body["state"] == state else None

    found = eventually(read, within=within, what=f"{order_no} {state}")
    assert found is not None
    return found


def steps(order: dict[str, Any]) -> dict[str, str]:
    """The state of each step, as the customer reads it."""
    return {step["name"]: step["state"] for step in order["steps"]}


def expired_by(order_no: str) -> str:
    """What brought the confirm deadline of the order: RabbitMQ's message or the claim of what is due."""
    return str(Log.objects.values_list("data__by", flat=True).get(run_id=run_of(order_no), operation="expire"))


# -- with the real half minute ------------------------------------------------------------------------------


def test_a_paid_order_is_confirmed_in_every_domain(worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    worker_group.start()
    order_no = ordered(customer, shop)
    waiting = seen(customer, order_no, "AWAITING_CONFIRM")
    assert set(steps(waiting).values()) == {"done", "held"}

    assert customer.pay(order_no).status == 200

    seen(customer, order_no, "SUCCEEDED")
    assert Order.objects.get(order_no=order_no).status == OrderStatus.CONFIRMED
    now = shop_invariants.snapshot()
    assert (now.stock[TEA], now.stock[PEACH]) == ((9998, 0, 2), (9999, 0, 1))
    assert now.slots[shop.slot] == (shop.before.slots[shop.slot][0] - 1, 0, 1)
    assert now.coupons["C1"]
    assert_shop_invariants(shop.before)


def test_an_order_that_is_out_of_stock_is_rejected(worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    worker_group.start()
    write_off(batch=PEACH, quantity=10_000, reason="spilt", by="mei")
    before = shop_invariants.snapshot()

    failed = seen(customer, ordered(customer, shop), "FAILED")

    assert failed["reason"]["code"] == "OutOfStock"
    assert steps(failed) == {
        "create_order": "compensated",
        "reserve_inventory": "rejected",
        "apply_coupon": "waiting",
        "schedule_delivery": "waiting",
    }
    assert shop_invariants.snapshot() == before
    assert_shop_invariants(before)


def test_an_order_with_a_used_coupon_is_rejected(worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    worker_group.start()
    Coupon.objects.filter(code="C1").update(available=0)
    before = shop_invariants.snapshot()

    failed = seen(customer, ordered(customer, shop), "FAILED")

    assert failed["reason"]["code"] == "CouponUsed"
    assert steps(failed) == {
        "create_order": "compensated",
        "reserve_inventory": "compensated",
        "apply_coupon": "rejected",
        "schedule_delivery": "waiting",
    }
    assert shop_invariants.snapshot() == before
    assert_shop_invariants(before)


def test_an_order_for_a_full_slot_is_rejected(worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    worker_group.start()
    Slot.objects.filter(pk=shop.slot).update(available=0)
    before = shop_invariants.snapshot()

    failed = seen(customer, ordered(customer, shop), "FAILED")

    assert failed["reason"]["code"] == "SlotFull"
    assert steps(failed) == {
        "create_order": "compensated",
        "reserve_inventory": "compensated",
        "apply_coupon": "compensated",
        "schedule_delivery": "rejected",
    }
    assert shop_invariants.snapshot() == before
    assert_shop_invariants(before)


def test_an_order_whose_slot_has_begun_before_its_step_is_rejected(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Accepted while the slot lay ahead, and worked off when it did not any more.
    worker_group.start()
    with worker_group.suspended():
        order_no = ordered(customer, shop)
        Slot.objects.filter(pk=shop.slot).update(starts_at=timezone.now() - timedelta(minutes=1))

    failed = seen(customer, order_no, "FAILED")

    assert failed["reason"]["code"] == "SlotPast"
    assert shop_invariants.snapshot() == shop.before
    assert_shop_invariants(shop.before)


def test_an_order_that_was_deleted_before_its_first_step_fails(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # A person put it right by hand while nobody worked.
    worker_group.start()
    with worker_group.suspended():
        order_no = ordered(customer, shop)
        Order.objects.filter(order_no=order_no).update(status=OrderStatus.REJECTED)

    failed = seen(customer, order_no, "FAILED")

    assert failed["reason"]["code"] == "NoSuchOrder"
    assert set(steps(failed).values()) == {"rejected", "waiting"}
    assert shop_invariants.snapshot() == shop.before
    assert_shop_invariants(shop.before)


def test_an_order_whose_first_step_always_fails_is_undone(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # More than fits the column of the order lines: no rejection, but a fault at every attempt.
    worker_group.start()
    with worker_group.suspended():
        order_no = ordered(customer, shop)
        run = Run.objects.get(pk=run_of(order_no))
        run.request["items"][0]["quantity"] = 2**31
        run.save(update_fields=["request"])
        # What was accepted costs as much.
        costs = [item["quantity"] * item["unit_price_cents"] for item in run.request["items"]]
        total = sum(costs) - run.request["discount_cents"]
        Order.objects.filter(order_no=order_no).update(total_cents=total)

    failed = seen(customer, order_no, "FAILED")

    assert failed["reason"]["kind"] == "fault"
    assert Log.objects.filter(run_id=run.pk, step="create_order", outcome="FAULT").count() == 3
    assert shop_invariants.snapshot() == shop.before
    assert_shop_invariants(shop.before)


def test_an_order_that_fails_before_its_first_step_was_never_placed(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    worker_group.start()
    with worker_group.suspended():
        order_no = ordered(customer, shop)
        run = Run.objects.get(pk=run_of(order_no))
        run.request["items"][0]["quantity"] = 2**31
        run.save(update_fields=["request"])

    failed = seen(customer, order_no, "FAILED")

    # No step was done, so none is undone; a hook marks the order, for whoever reads only that.
    eventually(lambda: Order.objects.get(order_no=order_no).status == OrderStatus.REJECTED)
    assert set(steps(failed).values()) <= {"failed", "waiting"}
    assert shop_invariants.snapshot() == shop.before


def test_a_customer_cancels_an_order(worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    worker_group.start()
    order_no = ordered(customer, shop)
    seen(customer, order_no, "AWAITING_CONFIRM")
    assert shop_invariants.snapshot() != shop.before

    assert customer.cancel(order_no).status == 202

    failed = seen(customer, order_no, "FAILED")
    assert failed["reason"]["kind"] == "cancelled"
    assert set(steps(failed).values()) == {"compensated"}
    assert customer.cancel(order_no).status == 200
    assert customer.pay(order_no).status == 409
    assert shop_invariants.snapshot() == shop.before
    assert_shop_invariants(shop.before)


def test_a_customer_cancels_before_the_first_step(worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    worker_group.start()
    with worker_group.suspended():
        order_no = ordered(customer, shop)
        assert customer.cancel(order_no).status == 202

    failed = seen(customer, order_no, "FAILED")

    assert set(steps(failed).values()) == {"waiting"}
    assert shop_invariants.snapshot() == shop.before
    assert_shop_invariants(shop.before)


def test_an_order_that_is_paid_before_its_steps_are_done_is_confirmed(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # The provider was faster than every worker: the run is PENDING still.
    worker_group.start()
    with worker_group.suspended():
        order_no = ordered(customer, shop)
        first = customer.pay(order_no)
        assert (first.status, customer.read(order_no).body["state"]) == (200, "PENDING")

    seen(customer, order_no, "SUCCEEDED")

    assert (first.body["outcome"], first.body["confirmed_at"]) == ("taken", None)
    repeat = customer.pay(order_no).body
    assert (repeat["outcome"], repeat["confirmed_at"]) == ("settled", first.body["received_at"])
    assert customer.cancel(order_no).status == 409
    assert_shop_invariants(shop.before)


@pytest.mark.slow
def test_an_unpaid_order_is_undone_after_the_real_thirty_seconds(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    worker_group.start()
    order_no = ordered(customer, shop)
    waiting = seen(customer, order_no, "AWAITING_CONFIRM")
    assert waiting["confirm_deadline"] is not None

    seen(customer, order_no, "FAILED", within=40)

    run = Run.objects.get(pk=run_of(order_no))
    assert run.started_at is not None
    ended = Log.objects.get(run_id=run.pk, operation="expire").at
    assert (ended - run.started_at).total_seconds() >= 30
    assert expired_by(order_no) == ("tick" if servers.EMBEDDED else "message")
    assert shop_invariants.snapshot() == shop.before
    assert_shop_invariants(shop.before)


# -- with a short deadline ----------------------------------------------------------------------------------


@needs_rabbitmq
def test_the_deadline_message_cancels_an_unpaid_order(worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    # The tick would be 20 seconds later: it is not what ends this.
    # Nor is looked for what stands between: on a slow machine it may be over before anybody looks.
    worker_group.start(confirm_within=SHORT, GRACE=20)
    order_no = ordered(customer, shop)

    failed = seen(customer, order_no, "FAILED")

    assert (failed["reason"]["kind"], failed["reason"]["code"]) == ("timeout", "NotConfirmed")
    assert expired_by(order_no) == "message"
    assert customer.pay(order_no).status == 409
    assert shop_invariants.snapshot() == shop.before
    assert_shop_invariants(shop.before)


def test_the_tick_cancels_an_unpaid_order_if_the_deadline_message_is_lost(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Given the real half minute: a short one may have brought its message before anybody could lose it
    worker_group.start()
    if not servers.EMBEDDED:
        broker.purge("sagas.deadline.30000")
    order_no = ordered(customer, shop)
    seen(customer, order_no, "AWAITING_CONFIRM")
    if not servers.EMBEDDED:
        # The deadline is published after the chain: it may be a moment behind.
        eventually(lambda: broker.purge("sagas.deadline.30000"), what="a deadline message to lose")

    # When it is over
    shift_clock([run_of(order_no)], 31)

    seen(customer, order_no, "FAILED")

    assert expired_by(order_no) == "tick"
    assert shop_invariants.snapshot() == shop.before
    assert_shop_invariants(shop.before)


@needs_rabbitmq
def test_an_order_paid_in_time_is_confirmed_though_its_steps_outlast_the_deadline(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Given a paid order that stands in the middle of its steps, for nobody works for coupons; or before them, where
    # all are one commit, for nobody works for orders
    compressed = PlaceOrder.definition.compressed
    queues = "sagas.dispatch,sagas.cancel" if compressed else "sagas.dispatch,sagas.cancel,orders,inventory"
    worker_group.start(confirm_within=SHORT, queues=[queues], LEASE=1)
    with worker_group.suspended():
        # In time, however slow the machine is.
        order_no = ordered(customer, shop)
        assert customer.pay(order_no).status == 200
    stuck = Run.objects.filter(business_key=order_no, state="EXECUTING", cursor=0 if compressed else 2)
    eventually(stuck.exists, what="the order before the step that nobody works for")

    # When its deadline comes, by message and by tick
    eventually(lambda: stuck.filter(deadline__lt=Now() - timedelta(seconds=1), claims__gte=2).exists(), what="overdue")
    on_the_way = f"sagas.deadline.{SHORT * 1000:.0f}", "sagas.cancel"
    eventually(lambda: not any(map(broker.length, on_the_way)), what="the deadline message consumed")

    # Then it is not cancelled
    worker_group.start(confirm_within=SHORT)
    seen(customer, order_no, "SUCCEEDED")
    assert_shop_invariants(shop.before)


def test_orders_with_different_outcomes_run_side_by_side(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    worker_group.start(confirm_within=SHORT)
    write_off(batch=PEACH, quantity=9_998, reason="spilt", by="mei")
    before = shop_invariants.snapshot()
    numbers = [ordered(customer, shop, coupon=f"C{n}") for n in range(6)]
    for order_no in numbers[::2]:
        customer.pay(order_no)

    await_all_ended()

    assert_shop_invariants(before)
    assert sum(state == "SUCCEEDED" for state in Run.objects.values_list("state", flat=True)) <= 2
