"""An order's whole life through the API, with a real worker: what the customer sees in the end."""

from __future__ import annotations

from typing import Any

import pytest

from coupons.models import Grant
from delivery.selectors import booking_of
from orders import demo
from orders.models import Order, OrderStatus
from sagas.pool import Pool
from tests.shop.conftest import ORDERS, Api, Shop, confirm
from tests.support.awaiting import eventually

pytestmark = pytest.mark.usefixtures("shared_worker")


@pytest.fixture
def shop(lasting_shop: Shop) -> Shop:
    return lasting_shop


@pytest.fixture
def api(shop: Shop) -> Api:
    return Api(demo.token(customer=shop.customer))


def seen(api: Api, order_no: str, state: str) -> dict[str, Any]:
    """The order, once it is in this state."""

    def look() -> dict[str, Any] | None:
        body: dict[str, Any] = api.get(f"{ORDERS}{order_no}/").body
        return body if body["state"] == state else None

    found = eventually(look, what=f"{order_no} {state}")
    assert found is not None
    return found


def counts(pool: Pool) -> tuple[int, int, int]:
    pool.refresh_from_db()
    return pool.available, pool.held, pool.sold


def steps(order: dict[str, Any]) -> list[str]:
    return [step["state"] for step in order["steps"]]


def test_a_paid_order_is_confirmed(api: Api, shop: Shop) -> None:
    code = shop.coupon()
    order_no = api.order(shop, coupon=code).body["order_no"]
    waiting = seen(api, order_no, "AWAITING_CONFIRM")
    assert steps(waiting) == ["done", "held", "done", "held"]
    assert (waiting["total_amount"], waiting["discount_amount"]) == (2000, 500)
    assert waiting["confirm_deadline"] > waiting["created_at"]
    assert counts(shop.cups) == (98, 2, 0)

    first = confirm(order_no, f"pay_{order_no}", says={"amount": 2000})
    assert (first.body["outcome"], first.body["order_state"]) == ("settled", "CONFIRMING")
    done = seen(api, order_no, "SUCCEEDED")
    assert steps(done) == ["confirmed", "confirmed", "done", "confirmed"]
    assert (counts(shop.cups), counts(shop.slot)) == ((98, 0, 2), (49, 0, 1))
    assert Order.objects.get(order_no=order_no).status == OrderStatus.CONFIRMED
    # And long after, the webhook's repeat is told how it stands now
    assert first.body["booking_id"] is None
    assert confirm(order_no, f"pay_{order_no}", says={"amount": 2000}).body == {
        **first.body,
        "order_state": "SUCCEEDED",
        "booking_id": booking_of(run_id=Order.objects.get(order_no=order_no).run_id),
    }
    assert api.post(f"{ORDERS}{order_no}/cancel/").problem == "order-decided"


@pytest.mark.parametrize(
    ("refused_by", "code"),
    [("reserve_inventory", "OutOfStock"), ("apply_coupon", "CouponUsed"), ("schedule_delivery", "SlotFull")],
)
def test_an_order_with_a_rejected_step_is_undone(api: Api, shop: Shop, refused_by: str, code: str) -> None:
    coupon = shop.coupon(used=refused_by == "apply_coupon")
    if refused_by == "schedule_delivery":
        shop.slot.available = 0
        shop.slot.save()
    quantity = 101 if refused_by == "reserve_inventory" else 2
    before = counts(shop.cups), counts(shop.slot)

    items = [{"sku": shop.tea.code, "quantity": quantity}]
    order_no = api.order(shop, items=items, coupon=coupon).body["order_no"]
    failed = seen(api, order_no, "FAILED")
    # The customer learns which step, and why
    assert (failed["reason"]["kind"], failed["reason"]["code"]) == ("rejected", code)
    states = {step["name"]: step["state"] for step in failed["steps"]}
    assert states[refused_by] == "rejected"
    assert states["create_order"] == "compensated"
    # All is as before
    assert (counts(shop.cups), counts(shop.slot)) == before
    grants = list(Grant.objects.filter(coupon=coupon).order_by("id").values_list("state", flat=True))
    assert grants == (["REFUNDED", "ISSUED"] if refused_by == "schedule_delivery" else [])
    assert Order.objects.get(order_no=order_no).status == OrderStatus.REJECTED
    late = confirm(order_no, f"pay_{order_no}", says={"amount": quantity * 1250 - 500})
    assert late.problem == "order-undone"


def test_a_cancelled_order_is_undone(api: Api, shop: Shop) -> None:
    code = shop.coupon()
    order_no = api.order(shop, coupon=code).body["order_no"]
    seen(api, order_no, "AWAITING_CONFIRM")
    assert api.post(f"{ORDERS}{order_no}/cancel/").status in {200, 202}
    failed = seen(api, order_no, "FAILED")
    assert failed["reason"]["kind"] == "cancelled"
    assert steps(failed) == ["compensated"] * 4
    assert (counts(shop.cups), counts(shop.slot)) == ((100, 0, 0), (50, 0, 0))
    # The coupon is the customer's, who may use it again
    assert Grant.objects.get(coupon=code, state="ISSUED").customer == shop.customer
    again = api.order(shop, coupon=code).body["order_no"]
    seen(api, again, "AWAITING_CONFIRM")
    assert api.post(f"{ORDERS}{order_no}/cancel/").status == 200
