"""A customer claims a coupon: once, within its budget, under a lock that may lapse, or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from django.conf import settings as project
from django.db import IntegrityError, connection, transaction
from pytest_django import Settings

from coupons import claim_lock, services
from coupons.issuing import ClaimUnderWay, IssueRequest, budget, create, issue, withdraw
from coupons.models import Coupon, Grant
from coupons.participants import redeem
from coupons.refusals import CouponUsed, LockLost
from coupons.sagas import IssueCoupon
from orders import demo
from sagas import Call, Done, Operation, State, runtime
from sagas.models import Run
from tests.shop.conftest import Api, Shop, build_shop
from tests.shop.coupons.calls import ask, coupon, outcomes, states
from tests.shop.coupons.calls import budget as counts
from tests.support import tables
from tests.support.carrier import Carrier
from tests.support.runs import make_due, shift_clock, state

pytestmark = pytest.mark.usefixtures("alone")
COUPONS = "/api/v1/coupons/"


@pytest.fixture(autouse=True)
def _emptied(alone: None) -> Iterator[None]:
    yield
    tables.empty("coupons_grant", "coupons_couponhold", "coupons_coupon")


@pytest.fixture
def shop(database: None) -> Shop:
    return build_shop()


@pytest.fixture
def api(shop: Shop) -> Api:
    return Api(demo.token(customer=shop.customer))


def claim_of(code: str) -> str:
    return f"{COUPONS}{code}/claim/"


def carry() -> None:
    Carrier().run(list(Run.objects.filter(saga=IssueCoupon.name).values_list("pk", flat=True)))


# -- Over HTTP ------------------------------------------------------------------------------------------------


def test_a_claimed_coupon_is_the_customers_until_an_order_uses_it(api: Api, shop: Shop) -> None:
    code = coupon(available=2, public=True)
    assert api.get(claim_of(code)).problem == "coupon-not-found"
    # When it is claimed, twice, and written as people write codes
    first, second = api.post(claim_of(code)), api.post(claim_of(f"%20{code.lower()}%20"))
    assert (first.status, first.body) == (
        202,
        {"coupon": code, "state": "PENDING", "expires_at": None, "reason": None},
    )
    assert (second.status, second.body) == (202, first.body)
    carry()
    # Then it is theirs, once
    assert Run.objects.filter(saga=IssueCoupon.name).count() == 1
    held = api.post(claim_of(code))
    assert (held.status, held.body["state"], held.body["coupon"]) == (200, "SUCCEEDED", code)
    assert api.get(claim_of(code)).body == held.body
    (listed,) = api.get(COUPONS).body["results"]
    assert (listed["coupon"], listed["state"], listed["discount_amount"]) == (code, "ISSUED", 500)
    assert listed["expires_at"] == held.body["expires_at"]
    assert (states(code), counts(code)) == (["ISSUED"], (1, 0, 1))
    # And an order uses it
    assert outcomes(redeem, [ask(shop, code)]) == [{"discount_cents": 500}]
    assert [row["state"] for row in api.get(COUPONS).body["results"]] == ["USED"]
    assert api.post(claim_of(code)).problem == "coupon-limit-reached"
    assert counts(code) == (1, 0, 1)


def test_a_customer_may_claim_again_what_was_used_up_to_the_limit(api: Api, shop: Shop) -> None:
    code = coupon(available=5, per_customer=2)
    for _ in range(2):
        assert api.post(claim_of(code)).status == 202
        carry()
        assert api.post(claim_of(code)).status == 200
        redeem.many([ask(shop, code)])
    assert api.post(claim_of(code)).problem == "coupon-limit-reached"
    assert (states(code), counts(code)) == (["USED", "USED"], (3, 0, 2))


def test_a_code_that_is_not_for_the_customer_is_not_told_from_one_that_is_none(api: Api, shop: Shop) -> None:
    codes = [
        "NO-SUCH",
        coupon(days=-1),
        coupon(active=False),
        coupon(customer=shop.other),
        coupon(public=False),
    ]
    answers = [api.post(claim_of(code)) for code in codes]
    assert {answer.problem for answer in answers} == {"coupon-not-found"}
    assert len({answer.body["detail"] for answer in answers}) == 1
    assert not Run.objects.filter(saga=IssueCoupon.name).exists()


def test_guesses_are_counted_with_those_of_orders(api: Api, settings: Settings) -> None:
    settings.COUPON_GUESSES_PER_MINUTE = 2
    assert [api.post(claim_of(f"GUESS{n}")).status for n in range(3)] == [404, 404, 429]


def test_a_customer_sees_their_own_coupons_only(api: Api, shop: Shop) -> None:
    code = coupon(available=2)
    assert Api(demo.token(customer=shop.other)).post(claim_of(code)).status == 202
    carry()
    assert api.get(COUPONS).body["results"] == []
    assert api.get(claim_of(code)).status == 404


def test_the_last_coupon_is_one_customers(api: Api, shop: Shop) -> None:
    code = coupon(available=1)
    other = Api(demo.token(customer=shop.other))
    assert (api.post(claim_of(code)).status, other.post(claim_of(code)).status) == (202, 202)
    carry()
    ends = [client.get(claim_of(code)).body for client in (api, other)]
    assert sorted(end["state"] for end in ends) == ["FAILED", "SUCCEEDED"]
    assert [end["reason"]["code"] for end in ends if end["reason"]] == ["CouponSpent"]
    assert (states(code), counts(code)) == (["ISSUED"], (0, 0, 1))
    # And nobody has to wait to be told so
    assert {client.post(claim_of(code)).status for client in (api, other)} == {200, 409}


def test_many_claims_of_one_customer_at_once_are_one(api: Api) -> None:
    code = coupon(available=9, per_customer=9)

    def claim(_number: int) -> int:
        try:
            return api.post(claim_of(code)).status
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(claim, range(6))) == {202}
    carry()
    assert (states(code), counts(code)) == (["ISSUED"], (8, 0, 1))


# -- Who gets what, at once -----------------------------------------------------------------------------------


def test_two_orders_at_once_do_not_use_the_same_grant(api: Api, shop: Shop) -> None:
    code = coupon(available=1, per_customer=1)
    api.post(claim_of(code))
    carry()

    def use(_number: int) -> Any:
        try:
            with transaction.atomic():
                return outcomes(redeem, [ask(shop, code)])[0]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(use, range(4)))
    assert sorted(end is CouponUsed for end in ends) == [False, True, True, True]
    assert (states(code), counts(code)) == (["USED"], (0, 0, 1))


def test_a_grant_that_expires_while_its_order_waits_for_the_lock_is_not_used(shop: Shop) -> None:
    # Given a grant that is valid when the order begins to wait for its coupon, and not when the wait is over
    code = coupon(days=0.5 / 86400)

    def use() -> Any:
        try:
            with transaction.atomic():
                return outcomes(redeem, [ask(shop, code)])[0]
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Coupon.objects.select_for_update().get(code=code)
            order = pool.submit(use)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep_until(expires_at) FROM coupons_coupon WHERE code = %s", [code])
        end = order.result()
    assert end.__name__ == "CouponExpired"
    assert states(code) == []


# -- The lock -------------------------------------------------------------------------------------------------


def a_claim(shop: Shop, code: str) -> Call[IssueRequest]:
    """The call of a run that issues a coupon to the customer, which has its unit."""
    call = Call(uuid4(), "take_unit", Operation.TRY, 1, IssueRequest(code, shop.customer.pk))
    assert isinstance(budget.try_.many([call])[0], Done)
    return call


def give_up(call: Call[IssueRequest]) -> None:
    """Undo a claim as its run does."""
    withdraw.many([call])
    budget.cancel.many([call])


def token(run_id: UUID) -> int:
    found = Grant.objects.get(issued_by_run=run_id).lock_token
    assert found is not None
    return found


def expire(code: str, shop: Shop) -> None:
    """The lock lapses in Redis."""
    with redis.Redis.from_url(project.SAGAS["REDIS_URL"]) as client:
        assert client.delete(claim_lock.key((code, shop.customer.pk))) == 1


def test_a_lock_that_lapses_in_mid_flight_fences_the_late_writer_off(shop: Shop) -> None:
    # Given a claim that has created its grant, and stands still until its lock has lapsed
    code = coupon(available=2)
    slow, quick = a_claim(shop, code), a_claim(shop, code)
    create.many([slow])
    old = token(slow.run_id)
    expire(code, shop)
    # When another claim of the same takes the grant over, and issues it
    create.many([quick])
    grant = Grant.objects.get(coupon=code)
    assert (grant.issued_by_run, token(quick.run_id) > old) == (quick.run_id, True)
    # Then the late one is refused, also where it writes without asking
    assert outcomes(issue, [slow]) == [LockLost]
    for written in ("CREATED", "ISSUED"):
        with pytest.raises(IntegrityError, match="token"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE coupons_grant SET state = '{written}', lock_token = %s WHERE id = %s",  # noqa: S608
                [old, grant.id],
            )
    (issued,) = outcomes(issue, [quick])
    assert issued == {"grant": grant.id}
    # And its undo leaves what is not its own
    give_up(slow)
    budget.confirm.many([quick])
    assert (states(code), counts(code)) == (["ISSUED"], (1, 0, 1))


def test_a_claim_waits_for_one_that_has_the_lock(shop: Shop) -> None:
    code = coupon(available=2)
    first, second = a_claim(shop, code), a_claim(shop, code)
    create.many([first])
    with pytest.raises(ClaimUnderWay):
        create.many([second])
    # It goes on once the first has given up
    give_up(first)
    assert outcomes(create, [second]) == [None]
    assert outcomes(issue, [second]) == [{"grant": Grant.objects.get(coupon=code).id}]


@pytest.mark.parametrize("holder", [None, "12345"], ids=["lapsed", "another's"])
def test_a_claim_whose_lock_cannot_be_renewed_is_undone(shop: Shop, holder: str | None) -> None:
    code = coupon(available=2)
    call = a_claim(shop, code)
    create.many([call])
    expire(code, shop)
    if holder is not None:
        with redis.Redis.from_url(project.SAGAS["REDIS_URL"]) as client:
            client.set(claim_lock.key((code, shop.customer.pk)), holder, px=20_000)
    assert outcomes(issue, [call]) == [LockLost]
    give_up(call)
    assert (states(code), counts(code)) == ([], (2, 0, 0))


@pytest.mark.parametrize(("spent", "in_time"), [(0.4, True), (0.6, False)])
def test_a_claim_that_takes_more_than_half_of_its_lock_is_undone(
    shop: Shop, settings: Settings, spent: float, in_time: bool
) -> None:
    code = coupon()
    call = a_claim(shop, code)
    create.many([call])
    left = (1 - spent) * settings.COUPON_LOCK_SECONDS
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE coupons_grant SET lock_expires_at = clock_timestamp() + %s * interval '1 s' "
            "WHERE issued_by_run = %s",
            [left, call.run_id],
        )
    (end,) = outcomes(issue, [call])
    assert (end is LockLost) is not in_time


@pytest.mark.parametrize("lapsed", [False, True])
def test_without_redis_the_time_in_the_row_is_the_lock(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, lapsed: bool
) -> None:
    # Given a process that does without Redis for a moment
    monkeypatch.setattr(runtime.memory, "redis_paused_until", time.monotonic() + 600)
    code = coupon(available=2)
    first, second = a_claim(shop, code), a_claim(shop, code)
    create.many([first])
    if not lapsed:
        with pytest.raises(ClaimUnderWay):
            create.many([second])
        assert outcomes(issue, [first]) == [{"grant": Grant.objects.get(coupon=code).id}]
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE coupons_grant SET lock_expires_at = clock_timestamp() WHERE issued_by_run = %s", [first.run_id]
        )
    assert outcomes(create, [second]) == [None]
    assert (outcomes(issue, [first]), outcomes(issue, [second])) == (
        [LockLost],
        [{"grant": Grant.objects.get(coupon=code).id}],
    )


@pytest.mark.parametrize("value", ["nonsense", "99"])
def test_what_stands_in_redis_for_ever_holds_no_claim_up(shop: Shop, value: str) -> None:
    code = coupon()
    with redis.Redis.from_url(project.SAGAS["REDIS_URL"]) as client:
        client.set(claim_lock.key((code, shop.customer.pk)), value)
    call = a_claim(shop, code)
    assert outcomes(create, [call]) == [None]
    assert outcomes(issue, [call]) == [{"grant": Grant.objects.get(coupon=code).id}]


def test_a_claim_that_stands_still_is_undone(shop: Shop) -> None:
    # Given a claim whose grant is created, and which is issued by nobody for a minute
    code = coupon()
    run_id = IssueCoupon.start(IssueRequest(code, shop.customer.pk))
    Carrier().run([run_id], until=lambda: states(code) == ["CREATED"])
    assert counts(code) == (0, 1, 0)
    shift_clock([run_id], 61)
    make_due([run_id])
    Carrier().run([run_id])
    assert state(run_id) is State.FAILED
    assert (states(code), counts(code)) == ([], (1, 0, 0))


# -- Issued by a person ---------------------------------------------------------------------------------------


def test_a_person_issues_a_coupon_that_nobody_can_claim_with_a_reason(api: Api, shop: Shop) -> None:
    code = coupon(available=5, public=False)
    for customer in (shop.customer, shop.other):
        services.issue(code=code, customer_id=customer.pk, by="boss", reason="sorry for the spilt tea")
    carry()
    assert list(Grant.objects.filter(coupon=code).values_list("reason", flat=True)) == [
        "boss: sorry for the spilt tea",
        "boss: sorry for the spilt tea",
    ]
    assert api.get(claim_of(code)).body["state"] == "SUCCEEDED"
    assert counts(code) == (3, 0, 2)
