"""A member of a group that has formed is refunded by staff: place and cups are there for others, or for the stock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from campaigns.models import Campaign, Member, PlaceHold, Places, Quota, QuotaHold
from campaigns.returns import Cups, Surplus, give_back_cups
from delivery.models import FulfilmentState, Slot
from inventory import ledger
from inventory.models import Batch
from orders.fulfilment import services as fulfilment
from orders.groups import deciding, staff
from orders.models import Order
from orders.reconciliation.checking import check_all
from orders.reconciliation.invariants import INVARIANTS
from orders.refunds.services import NotRefundable, refund_order
from payments.models import Payment
from sagas import State
from tests.races.racing import Race
from tests.shop.conftest import ORDERS, Shop
from tests.shop.groups.conftest import (
    a_campaign,
    a_customer,
    carry,
    counts,
    ends,
    joined,
    pay,
    run_of,
    time_passes,
)
from tests.support.runs import state

pytestmark = pytest.mark.usefixtures("alone")


def formed(campaign: Campaign, *, cups: int = 2) -> list[str]:
    """Two members of a group that has formed, the first with so many cups."""
    orders = [joined(a_customer(), campaign, quantity=cups), joined(a_customer(), campaign)]
    for order_no in orders:
        pay(order_no, Order.objects.get(order_no=order_no).total_cents or 0)
    carry()
    assert ends(*orders) == ["SUCCEEDED"] * 2
    return orders


def wrong() -> list[str]:
    """What reconciliation finds at campaigns and their members."""
    mine = [one for one in INVARIANTS if one.name.startswith(("campaigns.", "orders.campaign", "orders.member"))]
    assert len(mine) >= 5
    return [violation.invariant for part in check_all(mine) for violation in part.violations]


def refund(order_no: str, cups: int | None = None) -> None:
    lines = None if cups is None else {Campaign.objects.get().sku: cups}
    made = refund_order(order_no=order_no, reason="moves away", by="mei", lines=lines)
    carry()
    assert state(made.run_id) is State.SUCCEEDED


def test_a_refunded_member_leaves_place_and_cups_to_others(shop: Shop, campaign: Campaign) -> None:
    # Given a group that is full
    one, two = formed(campaign)
    last = joined(a_customer(), campaign)
    assert (counts(Places, campaign.pk), counts(Quota, campaign.pk)) == ((0, 1, 2), (4, 1, 3))
    # When staff refund a member
    refund(one)
    # Then another finds a place and cups, and the group stays formed with one member who has paid
    assert (counts(Places, campaign.pk), counts(Quota, campaign.pk)) == ((1, 1, 1), (6, 1, 1))
    assert Member.objects.get(order_no=one).state == "LEFT"
    assert Campaign.objects.get().state == "FORMED"
    three = joined(a_customer(), campaign, quantity=3)
    pay(three, 2700)
    carry()
    assert ends(two, last, three) == ["SUCCEEDED", "AWAITING_CONFIRM", "SUCCEEDED"]
    payment = Payment.objects.get(order_no=one)
    assert (payment.state, payment.returning_amount) == ("RETURNING", 1800)
    assert Slot.objects.get(pk=shop.slot.pk).sold == 2


def test_who_was_refunded_may_rejoin(campaign: Campaign) -> None:
    customer = a_customer()
    one, two = joined(customer, campaign), joined(a_customer(), campaign)
    for order_no in (one, two):
        pay(order_no)
    carry()
    refund(one)
    again = joined(customer, campaign)
    pay(again)
    carry()
    assert ends(again) == ["SUCCEEDED"]
    assert list(Member.objects.order_by("id").values_list("state", flat=True)) == ["LEFT", "PAID", "PAID"]


def test_a_place_goes_back_with_the_last_cup(campaign: Campaign) -> None:
    one, _ = formed(campaign, cups=3)
    refund(one, 1)
    assert (counts(Places, campaign.pk), counts(Quota, campaign.pk)) == ((1, 0, 2), (5, 0, 3))
    assert Member.objects.get(order_no=one).state == "PAID"
    refund(one, 2)
    assert (counts(Places, campaign.pk), counts(Quota, campaign.pk)) == ((2, 0, 1), (7, 0, 1))
    assert Member.objects.get(order_no=one).state == "LEFT"
    assert wrong() == []
    # And the holds say the same
    sold = QuotaHold.objects.filter(state="CONFIRMED").values_list("quantity", flat=True)
    assert (list(sold), PlaceHold.objects.filter(state="CONFIRMED").count()) == ([1], 1)


def test_cups_that_are_made_do_not_go_back_to_the_quota(campaign: Campaign) -> None:
    one, _ = formed(campaign)
    fulfilment.move(order_no=one, to=FulfilmentState.MAKING, version=1, by="li")
    refund(one)
    assert (counts(Places, campaign.pk), counts(Quota, campaign.pk)) == ((2, 0, 1), (5, 0, 3))


def test_what_comes_back_before_the_settlement_goes_to_the_stock_by_it(shop: Shop, campaign: Campaign) -> None:
    one, _ = formed(campaign)
    time_passes(campaign, seconds=31)
    refund(one)
    assert counts(Batch, shop.tea.code) == (92, 0, 0)
    assert deciding.sweep() == 1
    assert counts(Batch, shop.tea.code) == (99, 0, 0)


def test_what_comes_back_after_the_settlement_goes_to_the_stock_at_once(shop: Shop, campaign: Campaign) -> None:
    one, two = formed(campaign)
    time_passes(campaign, seconds=31)
    assert deciding.sweep() == 1
    assert counts(Batch, shop.tea.code) == (97, 0, 0)
    refund(one)
    assert (counts(Batch, shop.tea.code), counts(Quota, campaign.pk)) == ((99, 0, 0), (0, 0, 1))
    assert wrong() == []
    refund(two)
    assert wrong() == []
    assert (counts(Batch, shop.tea.code), counts(Places, campaign.pk)) == ((100, 0, 0), (3, 0, 0))
    assert [row for row in ledger.unexplained() if row[0].startswith(shop.tea.code)] == []


def test_cups_of_a_settled_presale_were_never_in_the_stock(shop: Shop) -> None:
    campaign = a_campaign(shop, presale=True)
    one, _ = formed(campaign)
    time_passes(campaign, seconds=31)
    assert deciding.sweep() == 1
    refund(one)
    assert (counts(Batch, shop.tea.code), counts(Quota, campaign.pk)) == ((100, 0, 0), (0, 0, 1))


def test_a_customer_does_not_leave_a_group_that_has_formed_by_a_refund(campaign: Campaign) -> None:
    customer = a_customer()
    one, two = joined(customer, campaign), joined(a_customer(), campaign)
    for order_no in (one, two):
        pay(order_no)
    carry()
    refused = customer.post(f"{ORDERS}{one}/refund/", {})
    assert (refused.status, refused.problem) == (409, "group-formed")
    assert Member.objects.get(order_no=one).state == "PAID"


def test_a_member_whose_order_is_undone_has_nothing_to_refund(campaign: Campaign) -> None:
    one = joined(a_customer(), campaign)
    pay(one)
    staff.call_off(campaign_id=campaign.pk, by="boss", reason="no tea came")
    with pytest.raises(NotRefundable):
        refund_order(order_no=one, reason="impatient", by="mei")
    carry()
    assert counts(Places, campaign.pk) == (3, 0, 0)


# -- Against the settlement -----------------------------------------------------------------------------------------


@pytest.fixture
def race(alone: None) -> Iterator[Race]:
    found = Race()
    yield found
    found.end()


@pytest.fixture
def over(campaign: Campaign) -> str:
    """A member with two cups of a group that is to be settled."""
    one, _ = formed(campaign)
    time_passes(campaign, seconds=31)
    return one


def give_back(order_no: str) -> Callable[[], list[Surplus]]:
    """What the refund's last step does, without the stock's part."""
    run_id = run_of(order_no)

    def give() -> list[Surplus]:
        with transaction.atomic():
            return give_back_cups(returned=[Cups(run_id, run_id, "give_back_cups", 2)])

    return give


def settle(campaign: Campaign) -> Callable[[], Any]:
    return lambda: deciding.settle(campaign_id=campaign.pk)


def test_cups_that_come_back_first_are_settled_with_the_rest(
    race: Race, shop: Shop, campaign: Campaign, over: str
) -> None:
    surplus, settled = race.overtake(give_back(over), settle(campaign))
    assert (surplus, settled) == ([], True)
    assert (counts(Batch, shop.tea.code), counts(Quota, campaign.pk)) == ((99, 0, 0), (0, 0, 1))


def test_cups_that_come_back_behind_the_settlement_are_the_stocks(
    race: Race, shop: Shop, campaign: Campaign, over: str
) -> None:
    settled, surplus = race.overtake(settle(campaign), give_back(over))
    assert (settled, surplus) == (True, [Surplus(campaign.pk, shop.tea.code, 2)])
    assert (counts(Batch, shop.tea.code), counts(Quota, campaign.pk)) == ((97, 0, 0), (0, 0, 1))
