"""Group buys, and those who join them. Their runs are stepped by hand, without workers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from campaigns.models import Campaign, Places, Quota
from inventory.models import Batch
from orders import demo
from orders.groups import staff
from orders.models import Order
from sagas.engine import shared_decisions
from sagas.models import Run
from tests.integration.conftest import _forgotten, alone
from tests.shop.conftest import Api, Reply, Shop, build_shop, confirm
from tests.support import tables
from tests.support.carrier import Carrier
from tests.support.runs import state

__all__ = ["_forgotten", "alone"]
CAMPAIGNS = "/api/v1/campaigns/"
_TABLES = (
    "campaigns_change",
    "campaigns_member",
    "campaigns_placehold",
    "campaigns_quotahold",
    "campaigns_places",
    "campaigns_quota",
    "campaigns_campaign",
    "payments_payment",
    "payments_paymentevent",
    "orders_order",
    "orders_orderline",
)


@pytest.fixture(autouse=True)
def _emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests that commit begin without campaigns, and leave none."""
    commits = "alone" in request.fixturenames
    if commits:
        request.getfixturevalue("alone")
        tables.empty(*_TABLES)
    yield
    if commits:
        tables.empty(*_TABLES)


@pytest.fixture
def shop(request: pytest.FixtureRequest) -> Shop:
    """A shop: one that others see where the test commits, else one that is rolled back."""
    request.getfixturevalue("database" if "alone" in request.fixturenames else "db")
    return build_shop()


@pytest.fixture
def campaign(shop: Shop) -> Campaign:
    """For two to three members, with eight cups of a hundred."""
    return a_campaign(shop)


def a_campaign(shop: Shop, **changes: Any) -> Campaign:
    terms: dict[str, Any] = {
        "slug": uuid4().hex[:12],
        "title": "Tea together",
        "sku": shop.tea.code,
        "price_cents": 900,
        "slot": shop.slot.pk,
        "minimum": 2,
        "capacity": 3,
        "quota": 8,
        "closes_at": timezone.now() + timedelta(hours=1),
    }
    return staff.open_campaign(by="boss", **{**terms, **changes})


def a_customer() -> Api:
    return Api(demo.token(customer=get_user_model()._default_manager.create(username=f"customer-{uuid4().hex[:12]}")))


def join(api: Api, campaign: Campaign, key: str = "", **body: Any) -> Reply:
    return api.post(f"{CAMPAIGNS}{campaign.pk}/join/", body, **({"Idempotency_Key": key} if key else {}))


def joined(api: Api, campaign: Campaign, **body: Any) -> str:
    """Join, and have the steps done; return the order's number."""
    order_no = str(join(api, campaign, **body).body["order_no"])
    carry()
    return order_no


def pay(order_no: str, amount: int = 900) -> Reply:
    reply = confirm(order_no, f"pay_{order_no}", says={"amount": amount})
    assert reply.status == 200, reply.body
    return reply


def carry() -> None:
    """Do all that is to be done: the decisions are given, and what is due is performed."""
    for _ in range(20):
        Carrier().run(list(Run.objects.values_list("pk", flat=True)))
        if not shared_decisions.settle_some().more and not Run.objects.filter(
            due_at__lte=timezone.now(), state__in=["PENDING", "EXECUTING", "CONFIRMING", "COMPENSATING"]
        ):
            return


def run_of(order_no: str) -> UUID:
    run_id: UUID = Order.objects.get(order_no=order_no).run_id
    return run_id


def ends(*orders: str) -> list[str]:
    return [str(state(run_of(order_no))) for order_no in orders]


def counts(pool: type[Places] | type[Quota] | type[Batch], key: Any) -> tuple[int, int, int]:
    found: tuple[int, int, int] = pool._default_manager.values_list("available", "held", "sold").get(pk=key)
    return found


def time_passes(campaign: Campaign, **by: int) -> None:
    """Let the time of a campaign be over by so much: by hand, past the services."""
    ended = timezone.now() - timedelta(**by)
    Campaign.objects.filter(pk=campaign.pk).update(closed_at=ended)
    Places.objects.filter(pk=campaign.pk).update(closes_at=ended)
