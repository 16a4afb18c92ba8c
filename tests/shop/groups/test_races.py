"""Who comes first at a campaign: who leaves or its decision, a join or a change, one of two at the last place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from campaigns.errors import Frozen
from campaigns.models import Campaign, CampaignState
from campaigns.participants import CampaignFull, TermsChanged, places
from orders import services
from orders.errors import JoinRefused
from orders.groups import deciding, staff
from orders.models import Order
from sagas import Done, State
from tests.races.racing import Race
from tests.shop.campaigns.conftest import a_call
from tests.shop.conftest import Shop
from tests.shop.groups.conftest import a_campaign, a_customer, carry, ends, joined, pay

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def race(alone: None) -> Iterator[Race]:
    found = Race()
    yield found
    found.end()


def leave(order_no: str) -> Callable[[], State]:
    order = Order.objects.get(order_no=order_no)
    return lambda: services.cancel_order(customer_id=order.customer_id, order_no=order_no)


def decide(campaign: Campaign) -> Callable[[], CampaignState | None]:
    return lambda: deciding.decide(campaign_id=campaign.pk)


def take_place(campaign: Campaign) -> Callable[[], Any]:
    """What the step does, for a customer who has seen the first revision."""
    call = a_call(campaign)

    def take() -> Any:
        with transaction.atomic():
            (outcome,) = places.try_.many([call])
        return outcome

    return take


def change(campaign: Campaign) -> Callable[[], None]:
    return lambda: staff.change(campaign_id=campaign.pk, by="boss", price_cents=1000)


@pytest.fixture
def paid(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two members who have paid, enough for the group, which nobody has decided yet."""
    orders = [joined(a_customer(), campaign) for _ in range(2)]
    with monkeypatch.context() as patched:
        patched.setattr(deciding, "decide", lambda **_: None)
        for order_no in orders:
            pay(order_no)
    assert Campaign.objects.get(pk=campaign.pk).state == "OPEN"
    return orders


def test_who_leaves_before_the_decision_is_not_counted(race: Race, campaign: Campaign, paid: list[str]) -> None:
    left, decided = race.overtake(leave(paid[0]), decide(campaign))
    assert (left, decided) == (State.COMPENSATING, None)
    carry()
    assert ends(*paid) == ["FAILED", "AWAITING_CONFIRM"]


def test_who_is_counted_does_not_leave(race: Race, campaign: Campaign, paid: list[str]) -> None:
    decided, refused = race.overtake(decide(campaign), leave(paid[0]), at="campaigns_member")
    assert decided == CampaignState.FORMED
    assert isinstance(refused, JoinRefused)
    assert refused.code == "group-formed"
    carry()
    assert ends(*paid) == ["SUCCEEDED", "SUCCEEDED"]


def test_a_campaign_is_decided_once(race: Race, campaign: Campaign, paid: list[str]) -> None:
    assert race.overtake(decide(campaign), decide(campaign)) == (CampaignState.FORMED, None)


def test_nobody_joins_at_a_price_that_was_changed_meanwhile(race: Race, campaign: Campaign) -> None:
    _, outcome = race.overtake(change(campaign), take_place(campaign))
    assert isinstance(outcome, TermsChanged)


def test_no_price_is_changed_of_which_somebody_has_a_place(race: Race, campaign: Campaign) -> None:
    outcome, refused = race.overtake(take_place(campaign), change(campaign))
    assert isinstance(outcome, Done)
    assert isinstance(refused, Frozen)
    assert Campaign.objects.get(pk=campaign.pk).price_cents == 900


def test_one_of_two_gets_the_last_place(race: Race, shop: Shop) -> None:
    campaign = a_campaign(shop, minimum=1, capacity=1)
    first, second = race.overtake(take_place(campaign), take_place(campaign))
    assert isinstance(first, Done)
    assert isinstance(second, CampaignFull)
