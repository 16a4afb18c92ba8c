"""A group buy from the first join to its settlement: who joins, pays, leaves, and what becomes of cups and money."""

from __future__ import annotations

import pytest

import sagas
from campaigns.errors import InvalidTerms
from campaigns.models import Campaign, Member, Places, Quota
from coupons.models import Coupon
from inventory.models import Batch
from orders.groups import deciding, staff
from orders.models import Order
from payments.models import Payment
from payments.sagas import RefundPaymentLater
from sagas.models import Run
from tests.shop.conftest import ORDERS, Api, Shop
from tests.shop.groups.conftest import (
    CAMPAIGNS,
    a_campaign,
    a_customer,
    carry,
    counts,
    ends,
    join,
    joined,
    pay,
    run_of,
    time_passes,
)
from tests.support.runs import shift_clock

pytestmark = pytest.mark.usefixtures("alone")


def test_a_group_that_forms_is_confirmed_as_a_whole(shop: Shop, campaign: Campaign) -> None:
    # Given a campaign whose cups have been taken out of the stock, and two customers who join
    assert counts(Batch, shop.tea.code) == (92, 0, 0)
    first, second, late = a_customer(), a_customer(), a_customer()
    one = joined(first, campaign, quantity=2)
    two = joined(second, campaign)
    assert (counts(Places, campaign.pk), counts(Quota, campaign.pk)) == ((1, 2, 0), (5, 3, 0))
    # When one has paid, then nothing is decided, and the order waits
    assert pay(one, 1800).body["outcome"] == "taken"
    carry()
    assert ends(one, two) == ["AWAITING_CONFIRM"] * 2
    # When the second has paid, then the group has formed, and both are confirmed
    pay(two)
    campaign.refresh_from_db()
    assert campaign.state == "FORMED"
    carry()
    assert ends(one, two) == ["SUCCEEDED"] * 2
    assert first.get(f"{ORDERS}{one}/").body["total_amount"] == 1800
    # And who joins later is confirmed once paid
    three = joined(late, campaign)
    pay(three)
    carry()
    assert ends(three) == ["SUCCEEDED"]
    assert (counts(Places, campaign.pk), counts(Quota, campaign.pk)) == ((0, 0, 3), (4, 0, 4))
    # When its time is over, then what was not sold is in the stock again
    time_passes(campaign, seconds=1)
    assert deciding.sweep() == 1
    assert counts(Batch, shop.tea.code) == (96, 0, 0)
    campaign.refresh_from_db()
    assert (campaign.state, campaign.outcome) == ("SETTLED", "FORMED")
    assert deciding.sweep() == 0


def test_a_group_that_is_short_gives_everything_back(shop: Shop, campaign: Campaign) -> None:
    # Given one who has paid, and one who has not
    customer = a_customer()
    one, two = joined(customer, campaign), joined(a_customer(), campaign)
    pay(one)
    # When the time is over, and the one who has not paid can pay no more
    sagas.cancel(run_of(two))
    carry()
    time_passes(campaign, seconds=31)
    assert deciding.sweep() == 1
    carry()
    # Then all is undone, the money is due back, and the customer learns why
    assert ends(one, two) == ["FAILED"] * 2
    refund = Payment.objects.get().refunds.get()
    assert (refund.reason, refund.amount) == ("undone", 900)
    # Behind the refunds of single customers
    assert Run.objects.get(pk=refund.pk).saga == RefundPaymentLater.name
    order = customer.get(f"{ORDERS}{one}/").body
    assert order["reason"]["detail"] == deciding.SHORT
    assert (counts(Places, campaign.pk), counts(Quota, campaign.pk)) == ((3, 0, 0), (8, 0, 0))
    assert deciding.sweep() == 1
    assert counts(Batch, shop.tea.code) == (100, 0, 0)


def test_who_joined_in_time_may_pay_when_the_time_is_over(campaign: Campaign) -> None:
    one, two = joined(a_customer(), campaign), joined(a_customer(), campaign)
    pay(one)
    time_passes(campaign, seconds=10)
    assert deciding.sweep() == 0
    assert join(a_customer(), campaign).problem == "campaign-closed"
    pay(two)
    carry()
    assert ends(one, two) == ["SUCCEEDED"] * 2


def test_a_campaign_that_is_called_off_undoes_also_who_comes_later(shop: Shop, campaign: Campaign) -> None:
    # Given one who has paid, and one whose order is accepted and not begun
    one = joined(a_customer(), campaign)
    pay(one)
    two = join(a_customer(), campaign).body["order_no"]
    # When
    staff.call_off(campaign_id=campaign.pk, by="boss", reason="no tea came")
    # Then
    carry()
    assert ends(one, two) == ["FAILED"] * 2
    assert deciding.sweep() == 1
    assert counts(Batch, shop.tea.code) == (100, 0, 0)
    assert join(a_customer(), campaign).problem == "campaign-closed"


def test_an_unpaid_place_is_free_again(campaign: Campaign) -> None:
    orders = [joined(a_customer(), campaign) for _ in range(3)]
    assert join(a_customer(), campaign).problem == "campaign-full"
    # When the deadline of one is over
    run_id = run_of(orders[0])
    shift_clock([run_id], seconds=31)
    carry()
    # Then its place is the next one's
    assert ends(orders[0]) == ["FAILED"]
    assert joined(a_customer(), campaign)
    assert counts(Places, campaign.pk) == (0, 3, 0)
    assert list(Member.objects.values_list("state", flat=True)) == ["LEFT", "JOINED", "JOINED", "JOINED"]


def test_a_payment_that_is_faster_than_the_steps_counts(campaign: Campaign) -> None:
    # Given two who have paid before anything is done
    orders = [str(join(a_customer(), campaign).body["order_no"]) for _ in range(2)]
    for order_no in orders:
        pay(order_no)
    assert Member.objects.count() == 0
    # When the steps are done, then they are members who have paid, and a tick finds that they are enough
    carry()
    assert list(Member.objects.values_list("state", flat=True)) == ["PAID", "PAID"]
    assert deciding.sweep() == 1
    carry()
    assert ends(*orders) == ["SUCCEEDED"] * 2


def test_who_leaves_before_the_group_has_formed_is_not_counted_and_may_rejoin(campaign: Campaign) -> None:
    # Given one who has paid, and leaves
    customer = a_customer()
    one = joined(customer, campaign)
    pay(one)
    assert join(customer, campaign).problem == "already-joined"
    assert customer.post(f"{ORDERS}{one}/cancel/").status == 202
    # Then the next payment does not form the group, also before the order is undone
    two = joined(a_customer(), campaign)
    pay(two)
    assert Campaign.objects.get().state == "OPEN"
    carry()
    assert ends(one) == ["FAILED"]
    assert Payment.objects.get(order_no=one).reason == "undone"
    # When the customer rejoins, by another order, and pays
    three = joined(customer, campaign)
    pay(three)
    carry()
    assert ends(two, three) == ["SUCCEEDED"] * 2
    # And a repeated cancel of the first is answered as before
    assert customer.post(f"{ORDERS}{one}/cancel/").status == 200


def test_nobody_leaves_a_group_that_has_formed(campaign: Campaign) -> None:
    customer, unpaid = a_customer(), a_customer()
    one, two = joined(customer, campaign), joined(a_customer(), campaign)
    three = joined(unpaid, campaign)
    pay(one)
    pay(two)
    # Given that the group has formed, and no run has been told so
    assert Campaign.objects.get().state == "FORMED"
    assert customer.post(f"{ORDERS}{one}/cancel/").status == 409
    assert unpaid.post(f"{ORDERS}{three}/cancel/").problem == "group-formed"
    # Nor later
    carry()
    assert customer.post(f"{ORDERS}{one}/cancel/").problem == "order-decided"
    assert ends(one, two, three) == ["SUCCEEDED", "SUCCEEDED", "AWAITING_CONFIRM"]


def test_a_repeated_join_is_one_order(campaign: Campaign) -> None:
    customer = a_customer()
    first = join(customer, campaign, key="k", quantity=1)
    assert first.status == 202
    assert first.headers["Location"] == f"{ORDERS}{first.body['order_no']}/"
    carry()
    again = join(customer, campaign, key="k", quantity=1)
    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (202, first.body, "true")
    assert first.headers["X-Saga-ID"] == again.headers["X-Saga-ID"] == str(Order.objects.get().run_id)
    # Also when it could not be accepted any more
    staff.call_off(campaign_id=campaign.pk, by="boss", reason="no tea came")
    assert join(customer, campaign, key="k", quantity=1).body == first.body
    assert join(customer, campaign, key="k", quantity=2).problem == "idempotency-key-reused"
    assert Order.objects.count() == 1


def test_what_cannot_be_joined_is_refused_at_the_door(shop: Shop, campaign: Campaign) -> None:
    customer = a_customer()
    assert join(customer, campaign, quantity=6).problem == "too-many-cups"
    assert join(customer, campaign, quantity=0).problem == "invalid-request"
    assert join(customer, campaign, coupon=shop.coupon()).problem == "campaign-takes-no-coupons"
    assert join(customer, campaign, drink="tea").problem == "unknown-field"
    assert join(customer, Campaign(pk=campaign.pk + 1000)).problem == "campaign-not-found"
    assert customer.post(f"{CAMPAIGNS}{10**18}/join/", {}).problem == "not-found"
    assert join(Api(), campaign).problem == "unauthenticated"
    assert Order.objects.count() == 0


def test_a_coupon_is_used_where_the_campaign_takes_any(shop: Shop) -> None:
    campaign = a_campaign(shop, takes_coupons=True, minimum=1)
    code = shop.coupon()
    assert join(a_customer(), campaign, coupon="NO-SUCH").problem == "coupon-not-usable"
    # Given that the coupon is not for group prices, and then is
    assert join(a_customer(), campaign, coupon=code).problem == "coupon-not-usable"
    Coupon.objects.filter(code=code).update(on_group_prices=True)
    order_no = joined(a_customer(), campaign, coupon=code)
    pay(order_no, 400)
    carry()
    assert ends(order_no) == ["SUCCEEDED"]


def test_a_presale_does_not_touch_the_stock(shop: Shop) -> None:
    campaign = a_campaign(shop, presale=True, quota=1000)
    assert counts(Batch, shop.tea.code) == (100, 0, 0)
    staff.call_off(campaign_id=campaign.pk, by="boss", reason="no tea came")
    assert deciding.sweep() == 1
    assert counts(Batch, shop.tea.code) == (100, 0, 0)


def test_a_campaign_that_the_shop_cannot_serve_is_not_opened(shop: Shop) -> None:
    for wrong in ({"quota": 101}, {"sku": "NO-SUCH"}, {"slot": 0}, {"slot": shop.past.pk}):
        with pytest.raises(InvalidTerms):
            a_campaign(shop, **wrong)
    assert (Campaign.objects.count(), counts(Batch, shop.tea.code)) == (0, (100, 0, 0))


def test_cups_follow_a_changed_quota(shop: Shop, campaign: Campaign) -> None:
    staff.change(campaign_id=campaign.pk, by="boss", quota=20)
    assert counts(Batch, shop.tea.code) == (80, 0, 0)
    staff.change(campaign_id=campaign.pk, by="boss", presale=True)
    assert counts(Batch, shop.tea.code) == (100, 0, 0)
    staff.change(campaign_id=campaign.pk, by="boss", presale=False, quota=5)
    assert counts(Batch, shop.tea.code) == (95, 0, 0)
    with pytest.raises(InvalidTerms):
        staff.change(campaign_id=campaign.pk, by="boss", quota=500)
    assert (counts(Batch, shop.tea.code), counts(Quota, campaign.pk)) == ((95, 0, 0), (5, 0, 0))


def test_campaigns_are_listed_and_read(campaign: Campaign) -> None:
    customer = a_customer()
    pay(joined(customer, campaign))
    joined(a_customer(), campaign)
    (listed,) = customer.get(CAMPAIGNS).body["results"]
    assert listed == customer.get(f"{CAMPAIGNS}{campaign.pk}/").body
    names = ("state", "paid", "joined", "places_left", "cups_left", "takes_joins", "price_amount", "currency")
    told = {name: listed[name] for name in names}
    assert told == {
        "state": "OPEN",
        "paid": 1,
        "joined": 2,
        "places_left": 1,
        "cups_left": 6,
        "takes_joins": True,
        "price_amount": 900,
        "currency": "CNY",
    }
    assert listed["page"] == f"/g/{campaign.slug}/"
    assert customer.get(f"{CAMPAIGNS}{campaign.pk + 1000}/").problem == "campaign-not-found"


def test_a_campaign_is_not_settled_while_a_member_waits_for_a_person(shop: Shop, campaign: Campaign) -> None:
    # Given a group that has formed, and a member whose order a person has to look at
    orders = [joined(a_customer(), campaign) for _ in range(2)]
    for order_no in orders:
        pay(order_no)
    run_id = run_of(orders[0])
    Order.objects.filter(run_id=run_id).update(status="REJECTED")
    carry()
    assert ends(*orders) == ["ESCALATED", "SUCCEEDED"]
    # Then what it holds is given to nobody else
    time_passes(campaign, seconds=31)
    assert deciding.sweep() == 0
    assert counts(Places, campaign.pk) == (1, 1, 1)
    # Until the person has mended it
    Order.objects.filter(run_id=run_id).update(status="PLACED")
    sagas.resume(run_id, by="boss")
    carry()
    assert deciding.sweep() == 1
    assert counts(Batch, shop.tea.code) == (98, 0, 0)
