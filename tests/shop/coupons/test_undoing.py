"""An order with a coupon is undone by the engine: each call of the refund counts, and no grant is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import pytest
from django.db import connection, transaction

import sagas
from coupons.models import Grant
from coupons.participants import redeem, refund
from coupons.refusals import CouponUsed
from orders import demo
from orders.models import Order
from sagas import State
from tests.shop.conftest import ORDERS, Api, Shop, build_shop
from tests.shop.coupons.calls import ask, budget, coupon, outcomes, states
from tests.support import tables
from tests.support.carrier import Carrier
from tests.support.runs import state

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(autouse=True)
def _emptied(alone: None) -> Iterator[None]:
    yield
    tables.empty("coupons_grant", "coupons_coupon")


@pytest.fixture
def shop(database: None) -> Shop:
    return build_shop()


@pytest.fixture
def api(shop: Shop) -> Api:
    return Api(demo.token(customer=shop.customer))


@contextmanager
def nothing_replaces(code: str) -> Iterator[None]:
    """The database refuses new grants of a coupon."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION no_more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no more'; END $$;"
            f"CREATE TRIGGER no_more BEFORE INSERT ON coupons_grant FOR EACH ROW WHEN (NEW.coupon_id = '{code}') "
            "EXECUTE FUNCTION no_more()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER no_more ON coupons_grant; DROP FUNCTION no_more()")


def run_of(order_no: str) -> UUID:
    run_id: UUID = Order.objects.get(order_no=order_no).run_id
    return run_id


def test_a_refund_that_breaks_three_times_calls_a_person_and_its_neighbours_are_undone(api: Api, shop: Shop) -> None:
    # Given three orders with a coupon each, which wait for their payments
    codes = [coupon() for _ in range(3)]
    numbers = [str(api.order(shop, coupon=code).body["order_no"]) for code in codes]
    runs = [run_of(order_no) for order_no in numbers]
    Carrier().run(runs)
    assert [states(code) for code in codes] == [["USED"]] * 3
    # When all are undone, and the coupon of one cannot be given back
    with nothing_replaces(codes[1]):
        for order_no in numbers:
            assert api.post(f"{ORDERS}{order_no}/cancel/").status == 202
        Carrier().run(runs)
        # Then its three calls are counted, and a person is called
        assert [state(run_id) for run_id in runs] == [State.FAILED, State.ESCALATED, State.FAILED]
        stuck = Grant.objects.get(coupon=codes[1])
        assert (stuck.state, stuck.refund_calls) == ("REFUNDING", 3)
    assert states(codes[0]) == states(codes[2]) == ["REFUNDED", "ISSUED"]
    assert set(Grant.objects.filter(state="REFUNDED").values_list("refund_calls", flat=True)) == {1}
    # When it is mended
    sagas.resume(runs[1], by="boss", note="mended")
    Carrier().run(runs)
    assert state(runs[1]) is State.FAILED
    assert states(codes[1]) == ["REFUNDED", "ISSUED"]


def test_an_undo_and_other_orders_at_once_leave_one_grant(shop: Shop) -> None:
    for _ in range(5):
        code = coupon()
        first = ask(shop, code)
        redeem.many([first])

        def undo(call: object = first) -> object:
            try:
                with transaction.atomic():
                    return outcomes(refund, [call])[0]  # type: ignore[list-item]  # the first call
            finally:
                connection.close()

        def use(code: str = code) -> object:
            try:
                with transaction.atomic():
                    return outcomes(redeem, [ask(shop, code)])[0]
            finally:
                connection.close()

        with ThreadPoolExecutor(3) as pool:
            work = [pool.submit(undo), pool.submit(use), pool.submit(use)]
            ends = [done.result() for done in work]
        used = [end for end in ends[1:] if end is not CouponUsed]
        assert (ends[0], len(used) <= 1) == (None, True)
        assert states(code) == ["REFUNDED", "USED" if used else "ISSUED"]
        assert budget(code) == (0, 0, 1)
