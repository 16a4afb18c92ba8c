"""What a coupon takes off, and what is known when an order is accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupons import selectors
from coupons.discounts import worth
from coupons.models import Coupon
from coupons.refusals import BelowMinimum, CouponUnknown, NotOnGroupPrices
from tests.shop.conftest import Api, Shop
from tests.shop.coupons.calls import coupon

PRICES = st.integers(0, 10**9)


@given(price=PRICES, cents=st.integers(0, 10**7))
def test_an_amount_is_never_more_than_the_price(price: int, cents: int) -> None:
    assert worth(Coupon(kind="AMOUNT", discount_cents=cents), price) == min(cents, price)


@given(price=PRICES, percent=st.integers(1, 100), cap=st.none() | st.integers(0, 10**7))
def test_a_part_of_the_price_is_rounded_down_and_capped(price: int, percent: int, cap: int | None) -> None:
    off = worth(Coupon(kind="PERCENT", percent=percent, cap_cents=cap), price)
    assert 0 <= off <= price
    assert off == (price * percent // 100 if cap is None else min(price * percent // 100, cap))
    assert off * 100 <= price * percent


def test_an_order_gets_a_tenth_off_rounded_down_and_no_more_than_the_cap(api: Api, shop: Shop) -> None:
    # Two teas cost 25.00
    code = coupon(kind="PERCENT", discount_cents=0, percent=33, available=9, per_customer=9)
    order_no = api.order(shop, coupon=code).body["order_no"]
    assert api.get(f"/api/v1/orders/{order_no}/").body["discount_amount"] == 825
    Coupon.objects.filter(code=code).update(cap_cents=300)
    order_no = api.order(shop, coupon=code).body["order_no"]
    assert api.get(f"/api/v1/orders/{order_no}/").body["total_amount"] == 2200


@pytest.mark.parametrize("written", [str.lower, lambda code: f"  {code}  ", str.swapcase])
def test_a_code_is_found_however_it_is_written_and_kept_as_the_shop_writes_it(
    api: Api, shop: Shop, written: object
) -> None:
    code = coupon()
    assert callable(written)
    answer = api.order(shop, coupon=written(code))
    assert answer.status == 202
    assert api.get(f"/api/v1/orders/{answer.body['order_no']}/").body["coupon"] == code


def test_an_order_below_the_minimum_is_told_what_is_missing(api: Api, shop: Shop) -> None:
    code = coupon(minimum_cents=2501)
    answer = api.order(shop, coupon=code)
    assert (answer.problem, answer.pointers) == ("coupon-minimum", ["#/coupon"])
    assert answer.body["errors"][0]["detail"] == f"Coupon {code} is for orders of at least 25.01."
    Coupon.objects.filter(code=code).update(minimum_cents=2500)
    assert api.order(shop, coupon=code).status == 202


def test_a_coupon_is_for_group_prices_only_if_it_says_so(shop: Shop) -> None:
    code, both = coupon(), coupon(on_group_prices=True)
    customer = shop.customer.pk
    with pytest.raises(NotOnGroupPrices):
        selectors.discount(code=code, customer_id=customer, price_cents=1000, group_price=True)
    assert selectors.discount(code=both, customer_id=customer, price_cents=1000, group_price=True).cents == 500
    assert selectors.discount(code=code, customer_id=customer, price_cents=1000).cents == 500


def test_a_minimum_is_not_told_to_those_who_may_not_use_the_coupon(shop: Shop) -> None:
    code = coupon(minimum_cents=9_999, public=False)
    with pytest.raises(CouponUnknown):
        selectors.discount(code=code, customer_id=shop.customer.pk, price_cents=1)
    Coupon.objects.filter(code=code).update(public=True)
    with pytest.raises(BelowMinimum):
        selectors.discount(code=code, customer_id=shop.customer.pk, price_cents=1)
