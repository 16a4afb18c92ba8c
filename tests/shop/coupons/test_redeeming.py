"""An order uses a coupon in its forward step, and its undo gives the coupon back to the customer, each once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from coupons.models import Coupon, Grant
from coupons.participants import GrantMissing, RefundBroken, redeem, refund
from coupons.refusals import (
    CouponExpired,
    CouponInactive,
    CouponNotYet,
    CouponNotYours,
    CouponUnknown,
    CouponUsed,
)
from sagas import Done
from tests.shop.conftest import Shop
from tests.shop.coupons.calls import ask, budget, coupon, outcomes, states

WORTH = {"discount_cents": 500}


def grant(shop: Shop, code: str, **fields: Any) -> Grant:
    """A grant that the customer has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('coupons_grant_token')")
        (token,) = cursor.fetchone()
    row = Coupon.objects.get(code=code)
    made = {
        "coupon": row,
        "customer": shop.customer,
        "nth": 1,
        "per_customer": row.per_customer,
        "state": "ISSUED",
        "lock_token": token,
        "lock_expires_at": row.expires_at,
        **fields,
    }
    return Grant.objects.create(**made)


def test_the_first_of_two_runs_gets_a_coupon_for_one_order(shop: Shop) -> None:
    code = coupon()
    calls = [ask(shop, code), ask(shop), ask(shop, code)]
    assert outcomes(redeem, calls) == [WORTH, None, CouponUsed]
    assert (states(code), budget(code)) == (["USED"], (0, 0, 1))
    used = Grant.objects.get(coupon=code)
    assert (used.used_by_run, used.customer, used.discount_cents) == (calls[0].run_id, shop.customer, 500)


def test_a_coupon_for_anyone_is_for_as_many_as_its_budget_says_and_for_each_as_often_as_its_limit(shop: Shop) -> None:
    code = coupon(available=3, per_customer=2)
    customers = [shop.customer, shop.customer, shop.customer, shop.other, shop.other]
    calls = [ask(shop, code, customer=customer) for customer in customers]
    assert outcomes(redeem, calls) == [WORTH, WORTH, CouponUsed, WORTH, CouponUsed]
    assert budget(code) == (0, 0, 3)
    assert list(Grant.objects.filter(coupon=code, customer=shop.customer).order_by("id").values_list("nth")) == [
        (1,),
        (2,),
    ]


def test_a_coupon_that_cannot_be_used_is_rejected(shop: Shop) -> None:
    codes = [
        "NO-SUCH",
        coupon(customer=shop.other),
        coupon(days=-1),
        coupon(available=0),
        coupon(active=False),
        coupon(starts_at=timezone.now() + timedelta(hours=1)),
        coupon(public=False),
    ]
    expected = [
        CouponUnknown,
        CouponNotYours,
        CouponExpired,
        CouponUsed,
        CouponInactive,
        CouponNotYet,
        CouponUnknown,
    ]
    assert outcomes(redeem, [ask(shop, code) for code in codes]) == expected
    assert not Grant.objects.filter(coupon__in=codes).exists()


def test_a_coupon_of_the_customer_is_accepted(shop: Shop) -> None:
    assert outcomes(redeem, [ask(shop, coupon(customer=shop.customer))]) == [WORTH]


def test_what_the_customer_has_is_used_before_the_budget_and_what_expires_first_is_used_first(shop: Shop) -> None:
    code = coupon(available=5, per_customer=3, public=False)
    row = Coupon.objects.get(code=code)
    late = grant(shop, code)
    soon = grant(shop, code, nth=2, lock_expires_at=row.expires_at - timedelta(hours=1))
    calls = [ask(shop, code), ask(shop, code), ask(shop, code)]
    # The third has no grant, and the coupon is not for anyone
    assert outcomes(redeem, calls) == [WORTH, WORTH, CouponUsed]
    used = dict(Grant.objects.filter(coupon=code).values_list("used_by_run", "id"))
    assert used == {calls[0].run_id: soon.id, calls[1].run_id: late.id}
    assert budget(code) == (5, 0, 0)


def test_an_expired_grant_is_refused_as_expired(shop: Shop) -> None:
    code = coupon()
    grant(shop, code, lock_expires_at=timezone.now() - timedelta(seconds=1))
    assert outcomes(redeem, [ask(shop, code)]) == [CouponExpired]


def test_the_discount_is_that_of_the_accepted_order(shop: Shop) -> None:
    # Given an order with a coupon whose value is changed before its step
    code = coupon()
    call = ask(shop, code)
    Coupon.objects.filter(code=code).update(discount_cents=9_999)
    # Then there is one discount on record
    assert outcomes(redeem, [call]) == [WORTH]
    assert Grant.objects.get(used_by_run=call.run_id).discount_cents == 500


def test_an_undo_makes_one_grant_for_the_same_customer_until_the_same_time(shop: Shop) -> None:
    code = coupon()
    first, second = ask(shop, code), ask(shop, code)
    redeem.many([first])
    assert outcomes(refund, [first]) == [None]
    before, after = Grant.objects.filter(coupon=code).order_by("id")
    assert (before.state, before.refund_calls, after.state, after.replaces) == ("REFUNDED", 1, "ISSUED", before.id)
    assert (after.customer, after.lock_expires_at) == (before.customer, before.lock_expires_at)
    assert (before.lock_token or 0) < (after.lock_token or 0)
    # It is the same unit of the budget
    assert budget(code) == (0, 0, 1)
    # Nobody else gets it; the customer's next order does, and a repeat of the first one's undo does not take it away
    assert outcomes(redeem, [ask(shop, code, customer=shop.other), second]) == [CouponUsed, WORTH]
    assert outcomes(refund, [first]) == [None]
    assert states(code) == ["REFUNDED", "USED"]


def test_an_undo_of_a_run_that_has_used_no_coupon_does_nothing(shop: Shop) -> None:
    code = coupon()
    redeem.many([ask(shop, code)])
    assert outcomes(refund, [ask(shop, code), ask(shop)]) == [None, None]
    assert states(code) == ["USED"]


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with others"])
def test_an_undo_of_a_grant_that_is_gone_is_a_fault(shop: Shop, alone: bool) -> None:
    # Given runs that have used coupons, and somebody who has deleted a grant by other means
    calls = [ask(shop, coupon()) for _ in range(1 if alone else 2)]
    calls = [
        replace(call, results={call.step: result}) for call, result in zip(calls, outcomes(redeem, calls), strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE coupons_grant DISABLE TRIGGER coupons_grant_guard")
        Grant.objects.filter(used_by_run=calls[0].run_id).delete()
        cursor.execute("ALTER TABLE coupons_grant ENABLE TRIGGER coupons_grant_guard")
    # When it is to be given back, then that is no success
    if alone:
        (answer,) = refund.many(calls)
        assert isinstance(answer, RefundBroken)
        assert isinstance(answer.__cause__, GrantMissing)
    else:
        with pytest.raises(GrantMissing):
            refund.many(calls)


def test_a_refund_that_breaks_has_counted_its_call_and_does_nothing_else(shop: Shop) -> None:
    # Given a grant that nothing can replace
    code = coupon()
    call = ask(shop, code)
    redeem.many([call])
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION no_more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no more'; END $$;"
            "CREATE TRIGGER no_more BEFORE INSERT ON coupons_grant FOR EACH ROW EXECUTE FUNCTION no_more()"
        )
    for calls in (1, 2, 3, 3):
        (answer,) = refund.many([call])
        assert isinstance(answer, RefundBroken)
        used = Grant.objects.get(coupon=code)
        assert (used.state, used.refund_calls) == ("REFUNDING", calls)
    # When it is mended
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER no_more ON coupons_grant")
    # Then a person's next try gives it back
    assert refund.many([call]) == [Done()]
    assert states(code) == ["REFUNDED", "ISSUED"]


@pytest.mark.parametrize("size", [1, 50])
def test_a_cohort_needs_as_many_statements_as_one_run(shop: Shop, django_assert_num_queries: Any, size: int) -> None:
    with django_assert_num_queries(0):
        redeem.many([ask(shop) for _ in range(size)])
    calls = [ask(shop, coupon()) for _ in range(size)]
    with django_assert_num_queries(3):  # lock with the clock, their grants, what is used
        redeem.many(calls)
    # count the call, give back; alone in a savepoint
    with django_assert_num_queries(4 if size == 1 else 2):
        refund.many(calls)
