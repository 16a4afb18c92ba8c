"""A campaign's life: what is frozen by the first join, when it is decided, and when it is settled."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from campaigns import selectors, services
from campaigns.errors import AlreadyFormed, CampaignNotFound, Frozen, InvalidTerms, NotOpen, ReasonMissing
from campaigns.models import DECIDED, Campaign, CampaignState, Change, Member, Places
from campaigns.participants import join, keep, leave, places, quota
from sagas import Call
from tests.shop.campaigns import conftest as shop
from tests.shop.campaigns.conftest import Join, a_call, a_campaign, cups, states


def joined(campaign: Campaign, count: int = 1, *, paid: bool = False) -> list[Call[Join]]:
    """Members, as the steps of their runs make them."""
    calls = [a_call(campaign) for _ in range(count)]
    for participant in (places.try_, quota.try_, join):
        participant.many(calls)
    for call in calls if paid else []:
        services.mark_paid(run_id=call.run_id)
    return calls


def time_passes(campaign: Campaign, **by: int) -> None:
    """Let the time of a campaign be over by so much: by hand, past the guards."""
    ended = timezone.now() - timedelta(**by)
    Campaign.objects.filter(pk=campaign.pk).update(closed_at=ended)
    Places.objects.filter(pk=campaign.pk).update(closes_at=ended)


CHANGES: dict[str, Any] = {
    "sku": "OTHER",
    "price_cents": 901,
    "slot": 2,
    "minimum": 3,
    "most_cups": 2,
    "presale": True,
    "takes_coupons": True,
    "closes_at": timezone.now() + timedelta(hours=2),
    "payment_window": timedelta(seconds=31),
    "quota": 7,
    "capacity": 3,
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_offered_changes_until_the_first_join(campaign: Campaign, name: str) -> None:
    # Given that nobody has joined, then it changes, and joins of the former offer are refused
    services.change(campaign_id=campaign.pk, by="boss", **{name: CHANGES[name]})
    campaign.refresh_from_db()
    assert (getattr(campaign, name), campaign.revision) == (CHANGES[name], 2)
    assert (sum(shop.places(campaign)), sum(cups(campaign))) == (campaign.capacity, campaign.quota)


@pytest.mark.parametrize("left", [False, True], ids=["member", "left"])
@pytest.mark.parametrize("name", CHANGES)
def test_what_is_offered_is_frozen_by_the_first_join(campaign: Campaign, name: str, left: bool) -> None:
    # Given a member, who may have left
    calls = joined(campaign)
    if left:
        for undo in (leave, quota.cancel, places.cancel):
            undo.many(calls)
    # Then neither a service nor a hand changes what was offered
    with pytest.raises(Frozen):
        services.change(campaign_id=campaign.pk, by="boss", reason="we want to", **{name: CHANGES[name]})
    with pytest.raises(IntegrityError, match="is frozen"), transaction.atomic():
        Campaign.objects.filter(pk=campaign.pk).update(**{name: CHANGES[name]})


def test_a_held_place_freezes_what_is_offered(campaign: Campaign) -> None:
    places.try_.many([a_call(campaign)])
    with pytest.raises(IntegrityError, match="is frozen"), transaction.atomic():
        Campaign.objects.filter(pk=campaign.pk).update(price_cents=1)


def test_capacity_and_quota_are_raised_with_a_reason(campaign: Campaign) -> None:
    joined(campaign, 2)
    with pytest.raises(ReasonMissing):
        services.change(campaign_id=campaign.pk, by="boss", capacity=6, quota=12)
    changed = services.change(campaign_id=campaign.pk, by="boss", reason="many ask", capacity=6, quota=12)
    assert (changed.sku, changed.cups) == ("TEA", 4)
    assert (shop.places(campaign), cups(campaign)) == ((4, 2, 0), (10, 2, 0))
    said = Change.objects.filter(campaign=campaign).last()
    assert said is not None
    assert (said.kind, said.by, said.reason) == ("RAISED", "boss", "many ask")


def test_impossible_offers_are_refused_and_leave_nothing(db: None) -> None:
    before = Campaign.objects.count()
    wrong: list[dict[str, Any]] = [
        {"minimum": 5},
        {"minimum": 0},
        {"quota": 1},
        {"price_cents": 0},
        {"most_cups": 0},
        {"title": ""},
        {"slug": "no slug"},
        {"closes_at": timezone.now() - timedelta(seconds=1)},
        {"payment_window": timedelta(0)},
    ]
    for changes in wrong:
        with pytest.raises(InvalidTerms):
            a_campaign(**changes)
    taken = a_campaign(slug="taken")
    with pytest.raises(InvalidTerms):
        a_campaign(slug=taken.slug)
    assert Campaign.objects.count() == before + 1


def test_a_group_forms_as_soon_as_enough_have_paid(campaign: Campaign) -> None:
    joined(campaign, 2)
    joined(campaign, paid=True)
    assert services.weigh(campaign_id=campaign.pk) is None
    joined(campaign, paid=True)
    assert campaign.pk in selectors.due()
    assert services.weigh(campaign_id=campaign.pk) == CampaignState.FORMED
    # And it is decided once
    assert services.weigh(campaign_id=campaign.pk) is None
    assert campaign.pk not in selectors.due()


def test_a_group_is_short_when_its_time_and_the_payment_window_are_over(campaign: Campaign) -> None:
    joined(campaign, paid=True)
    time_passes(campaign, seconds=29)
    assert services.weigh(campaign_id=campaign.pk) is None
    assert campaign.pk not in selectors.due()
    # A second later
    late = a_campaign()
    joined(late, paid=True)
    time_passes(late, seconds=31)
    assert late.pk in selectors.due()
    assert services.weigh(campaign_id=late.pk) == CampaignState.SHORT


def test_who_paid_in_the_window_is_counted(campaign: Campaign) -> None:
    joined(campaign, paid=True)
    (late,) = joined(campaign)
    time_passes(campaign, seconds=20)
    services.mark_paid(run_id=late.run_id)
    assert services.weigh(campaign_id=campaign.pk) == CampaignState.FORMED


def test_nobody_leaves_a_group_that_has_formed(campaign: Campaign) -> None:
    first, second, third = joined(campaign, 3, paid=True)
    services.leave(campaign_id=campaign.pk, run_id=first.run_id)
    assert states(campaign) == ["LEFT", "PAID", "PAID"]
    assert services.weigh(campaign_id=campaign.pk) == CampaignState.FORMED
    for call in (second, third):
        with pytest.raises(AlreadyFormed), transaction.atomic():
            services.leave(campaign_id=campaign.pk, run_id=call.run_id)
    assert states(campaign) == ["LEFT", "PAID", "PAID"]


def test_calling_off_needs_a_reason_and_an_open_campaign(campaign: Campaign) -> None:
    with pytest.raises(ReasonMissing):
        services.call_off(campaign_id=campaign.pk, by="boss", reason=" ")
    services.call_off(campaign_id=campaign.pk, by="boss", reason="no tea came")
    with pytest.raises(NotOpen):
        services.call_off(campaign_id=campaign.pk, by="boss", reason="again")
    with pytest.raises(NotOpen):
        services.close_now(campaign_id=campaign.pk, by="boss", reason="again")
    with pytest.raises(NotOpen):
        services.change(campaign_id=campaign.pk, by="boss", capacity=9, reason="again")
    with pytest.raises(CampaignNotFound):
        services.call_off(campaign_id=campaign.pk + 1000, by="boss", reason="none")


def test_a_campaign_is_settled_once_nothing_is_held(campaign: Campaign) -> None:
    # Given a group of three cups that has formed
    calls = joined(campaign, 3, paid=True)
    services.weigh(campaign_id=campaign.pk)
    assert services.settle(campaign_id=campaign.pk) is None
    # When its time is over and all but one are confirmed
    time_passes(campaign, seconds=31)
    for participant in (places.confirm, quota.confirm, keep):
        participant.many(calls[:2])
    assert services.settle(campaign_id=campaign.pk) is None
    assert campaign.pk not in selectors.due()
    for undo in (leave, quota.cancel, places.cancel):
        undo.many(calls[2:])
    # Then six of eight cups are given back, once
    assert campaign.pk in selectors.due()
    settled = services.settle(campaign_id=campaign.pk)
    assert settled is not None
    assert (settled.sku, settled.unsold, settled.presale) == ("TEA", 6, False)
    assert services.settle(campaign_id=campaign.pk) is None
    assert cups(campaign) == (0, 0, 2)
    campaign.refresh_from_db()
    assert (campaign.state, campaign.outcome) == ("SETTLED", "FORMED")


ALLOWED = {
    ("OPEN", "FORMED"),
    ("OPEN", "SHORT"),
    ("OPEN", "CALLED_OFF"),
    ("FORMED", "SETTLED"),
    ("SHORT", "SETTLED"),
    ("CALLED_OFF", "SETTLED"),
}


def _move(campaign: Campaign, state: str) -> None:
    """As a hand would, with what the constraints ask for."""
    now, kept = timezone.now(), campaign.outcome or "SHORT"
    with transaction.atomic():
        Campaign.objects.filter(pk=campaign.pk).update(
            state=state,
            outcome={"OPEN": "", "SETTLED": kept}.get(state, state),
            decided_at=None if state == "OPEN" else campaign.decided_at or now,
            settled_at=now if state == "SETTLED" else None,
        )
    campaign.refresh_from_db()


@pytest.mark.parametrize("target", CampaignState.values)
@pytest.mark.parametrize("source", CampaignState.values)
def test_the_database_refuses_every_other_change_of_state(campaign: Campaign, source: str, target: str) -> None:
    for step in {"OPEN": [], "SETTLED": ["SHORT", "SETTLED"]}.get(source, [source]):
        _move(campaign, step)
    if source == target:
        return
    if (source, target) in ALLOWED:
        _move(campaign, target)
    else:
        with pytest.raises(IntegrityError):
            _move(campaign, target)


def test_records_cannot_be_taken_back(campaign: Campaign) -> None:
    joined(campaign, paid=True)
    member, said = Member.objects.get(campaign=campaign), Change.objects.get(campaign=campaign)
    hands: list[Callable[[], object]] = [
        lambda: Member.objects.filter(pk=member.pk).update(state="JOINED", paid_at=None),
        lambda: Member.objects.filter(pk=member.pk).update(quantity=9),
        lambda: Member.objects.filter(pk=member.pk).delete(),
        lambda: Change.objects.filter(pk=said.pk).update(by="nobody"),
        lambda: Change.objects.filter(pk=said.pk).delete(),
        lambda: Campaign.objects.filter(pk=campaign.pk).update(slug="other"),
        lambda: Places.objects.filter(pk=campaign.pk).update(closes_at=campaign.closes_at + timedelta(1)),
    ]
    for hand in hands:
        with pytest.raises(IntegrityError), transaction.atomic():
            hand()


def test_standings_are_read_in_one_statement(campaign: Campaign, django_assert_num_queries: Any) -> None:
    joined(campaign, 2, paid=True)
    joined(campaign)
    with django_assert_num_queries(1):
        found = selectors.standings(campaign_ids=[campaign.pk, campaign.pk + 1000])
    standing = found.pop(campaign.pk)
    assert not found
    assert (standing.paid, standing.joined, standing.places_left, standing.cups_left) == (2, 3, 1, 5)
    assert standing.takes_joins
    assert set(DECIDED).isdisjoint({standing.state})
