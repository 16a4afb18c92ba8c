"""A campaign, and calls of those who join it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from campaigns import services
from campaigns.models import Campaign, Member, Places, Quota
from sagas import Call, Done, Operation
from sagas.definition.participants import SetBasedFunction

Counts = tuple[int, int, int]


@dataclass(frozen=True)
class Join:
    """What campaigns need of a request."""

    campaign: int
    customer_id: int
    revision: int = 1
    cups: int = 1
    order_no: str = "ORD-1"


def a_campaign(**changes: Any) -> Campaign:
    """A campaign for two to four members."""
    terms: dict[str, Any] = {
        "slug": uuid4().hex[:12],
        "title": "Tea together",
        "sku": "TEA",
        "price_cents": 900,
        "slot": 1,
        "minimum": 2,
        "capacity": 4,
        "quota": 8,
        "closes_at": timezone.now() + timedelta(hours=1),
    }
    return services.open_campaign(by="boss", **{**terms, **changes})


def a_customer() -> int:
    return int(get_user_model()._default_manager.create(username=f"customer-{uuid4().hex[:12]}").pk)


def a_call(campaign: Campaign, **changes: Any) -> Call[Join]:
    """The call of somebody who joins."""
    asked: dict[str, Any] = {"customer_id": changes.pop("customer_id", None) or a_customer(), **changes}
    return Call(uuid4(), "step", Operation.TRY, 1, Join(campaign.pk, order_no=f"O-{uuid4().hex[:8]}", **asked))


def outcomes(participant: SetBasedFunction[Any], calls: Sequence[Call[Any]]) -> list[Any]:
    """Classes of the refusals, results of the others; ``None`` of a try whose reserve id is that of its call."""
    results = [got.result if isinstance(got, Done) else type(got) for got in participant.many(calls)]
    ids = [{"reserve_id": f"{call.run_id}:{call.step}"} for call in calls]
    return [None if result == own else result for result, own in zip(results, ids, strict=True)]


def places(campaign: Campaign) -> Counts:
    return Places.objects.values_list("available", "held", "sold").get(pk=campaign.pk)


def cups(campaign: Campaign) -> Counts:
    return Quota.objects.values_list("available", "held", "sold").get(pk=campaign.pk)


def states(campaign: Campaign) -> list[str]:
    """The states of its members, in the order in which they have joined."""
    return list(Member.objects.filter(campaign=campaign).order_by("id").values_list("state", flat=True))


@pytest.fixture
def campaign(db: None) -> Campaign:
    """A campaign that is rolled back."""
    return a_campaign()
