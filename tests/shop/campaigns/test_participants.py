"""Joining a campaign, a whole cohort at a time: places, cups, and one live membership for each customer."""

from __future__ import annotations

import pytest
from django.db import connection

from campaigns import services
from campaigns.models import Campaign, CampaignState, Member
from campaigns.participants import (
    AlreadyMember,
    CampaignClosed,
    CampaignFull,
    CupsGone,
    MemberMissing,
    TermsChanged,
    join,
    keep,
    leave,
    places,
    quota,
)
from tests.shop.campaigns import conftest as shop
from tests.shop.campaigns.conftest import a_call, a_campaign, a_customer, cups, outcomes, states
from tests.support.statements import SentStatements


def test_places_go_to_the_first_until_there_are_none(campaign: Campaign) -> None:
    calls = [a_call(campaign) for _ in range(6)]
    assert outcomes(places.try_, calls) == [None] * 4 + [CampaignFull] * 2
    assert shop.places(campaign) == (0, 4, 0)
    # When one gives its place back, then the next one has it
    places.cancel.many(calls[:1])
    assert outcomes(places.try_, calls[5:]) == [None]
    assert shop.places(campaign) == (0, 4, 0)


def test_cups_are_held_beside_the_places(campaign: Campaign) -> None:
    calls = [a_call(campaign, cups=5), a_call(campaign, cups=4), a_call(campaign, cups=3)]
    assert outcomes(quota.try_, calls) == [None, CupsGone, None]
    quota.confirm.many(calls[:1])
    assert cups(campaign) == (0, 3, 5)


def test_nobody_joins_when_the_time_is_over(campaign: Campaign) -> None:
    services.close_now(campaign_id=campaign.pk, by="boss", reason="the shop closes early today")
    assert outcomes(places.try_, [a_call(campaign)]) == [CampaignClosed]
    assert shop.places(campaign) == (4, 0, 0)


def test_nobody_joins_what_is_called_off_or_unknown(campaign: Campaign) -> None:
    services.call_off(campaign_id=campaign.pk, by="boss", reason="no tea came")
    unknown = Campaign(pk=campaign.pk + 1000)
    assert outcomes(places.try_, [a_call(campaign), a_call(unknown)]) == [CampaignClosed] * 2


def test_a_join_of_what_was_offered_before_is_refused(campaign: Campaign) -> None:
    # Given a customer who has seen the old price
    call = a_call(campaign, revision=campaign.revision)
    # When the price is changed before anybody has joined
    services.change(campaign_id=campaign.pk, by="boss", price_cents=1000)
    # Then the customer does not join at either price
    assert outcomes(places.try_, [call, a_call(campaign, revision=2)]) == [TermsChanged, None]


def test_a_customer_is_one_member_and_may_join_anew_after_leaving(campaign: Campaign) -> None:
    customer = a_customer()
    first, second, third = (a_call(campaign, customer_id=customer) for _ in range(3))
    assert outcomes(places.try_, [first]) == [None]
    assert outcomes(join, [first]) == [None]
    assert outcomes(places.try_, [second]) == [AlreadyMember]
    # Given one that has got a place before the first was a member
    assert outcomes(join, [second]) == [AlreadyMember]
    # When the first is undone, twice, then the next is a member
    assert outcomes(leave, [first, first, second]) == [None] * 3
    assert outcomes(join, [third]) == [None]
    assert states(campaign) == ["LEFT", "JOINED"]
    # And the first's repeated undo does not end it
    assert outcomes(leave, [first]) == [None]
    assert states(campaign) == ["LEFT", "JOINED"]


def test_a_customer_is_a_member_of_several_campaigns(campaign: Campaign) -> None:
    other, customer = a_campaign(), a_customer()
    calls = [a_call(campaign, customer_id=customer), a_call(other, customer_id=customer)]
    assert outcomes(places.try_, calls) == [None, None]
    assert outcomes(join, calls) == [None, None]


def test_a_confirmed_member_has_paid_and_has_not_left(campaign: Campaign) -> None:
    stays, leaves = a_call(campaign), a_call(campaign)
    join.many([stays, leaves])
    assert outcomes(keep, [stays, stays]) == [None, None]
    assert states(campaign) == ["PAID", "JOINED"]
    leave.many([leaves])
    with pytest.raises(MemberMissing):
        keep.many([leaves])


def test_a_cohort_costs_a_few_statements(campaign: Campaign) -> None:
    calls = [a_call(campaign) for _ in range(4)]
    with SentStatements(
        connection,
    ) as captured:
        places.try_.many(calls)
        quota.try_.many(calls)
        join.many(calls)
    assert len(captured) <= 8


def test_a_payment_is_taken_for_a_member_only_once(campaign: Campaign) -> None:
    call = a_call(campaign)
    # Given a payment that comes before the member
    assert services.mark_paid(run_id=call.run_id) is None
    join.many([call])
    assert services.mark_paid(run_id=call.run_id) == campaign.pk
    paid_at = Member.objects.get(run_id=call.run_id).paid_at
    assert services.mark_paid(run_id=call.run_id) == campaign.pk
    assert Member.objects.get(run_id=call.run_id).paid_at == paid_at


def test_joins_go_on_after_the_group_has_formed(campaign: Campaign) -> None:
    for _ in range(2):
        call = a_call(campaign)
        places.try_.many([call])
        join.many([call])
        services.mark_paid(run_id=call.run_id)
    assert services.weigh(campaign_id=campaign.pk) == CampaignState.FORMED
    assert outcomes(places.try_, [a_call(campaign) for _ in range(3)]) == [None, None, CampaignFull]
