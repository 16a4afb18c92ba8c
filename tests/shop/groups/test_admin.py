"""Campaigns in the admin: opened, changed, closed and called off by staff, with the stock that belongs to them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from campaigns.models import Campaign, Change
from inventory.models import Batch
from tests.shop.conftest import Shop
from tests.shop.groups.conftest import a_campaign, counts

URL = "/admin/campaigns/campaign/"


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model()._default_manager.create_superuser("boss", password="pw"))
    return client


def form(shop: Shop, **changes: Any) -> dict[str, Any]:
    closes = timezone.localtime() + timedelta(hours=2)
    return {
        "slug": "tea",
        "title": "Tea together",
        "sku": shop.tea.code,
        "price_cents": 900,
        "slot": shop.slot.pk,
        "minimum": 2,
        "capacity": 3,
        "quota": 8,
        "most_cups": 5,
        "payment_window": "00:00:30",
        "closes_at_0": f"{closes:%Y-%m-%d}",
        "closes_at_1": f"{closes:%H:%M:%S}",
        **changes,
    }


def test_a_campaign_is_opened_with_its_cups(boss: Client, shop: Shop) -> None:
    answer = boss.post(f"{URL}add/", form(shop))
    assert answer.status_code == 302, answer.content.decode()[-3000:]
    campaign = Campaign.objects.get(slug="tea")
    assert counts(Batch, shop.tea.code) == (92, 0, 0)
    assert Change.objects.get(campaign=campaign).by == "boss"
    # And it is shown, and found
    assert "8 cups are left" in boss.get(f"{URL}{campaign.pk}/change/").content.decode()
    assert "/g/tea/" in boss.get(f"{URL}?q=tea").content.decode()


def test_what_the_shop_cannot_serve_is_said_and_leaves_nothing(boss: Client, shop: Shop) -> None:
    page = boss.post(f"{URL}add/", form(shop, quota=1000), follow=True).content.decode()
    assert "has not 1000 cups" in page
    assert (Campaign.objects.count(), counts(Batch, shop.tea.code)) == (0, (100, 0, 0))


def test_a_change_moves_the_cups(boss: Client, shop: Shop) -> None:
    campaign = a_campaign(shop, slug="tea")
    assert boss.post(f"{URL}{campaign.pk}/change/", form(shop, quota=20)).status_code == 302
    assert counts(Batch, shop.tea.code) == (80, 0, 0)


def test_a_campaign_is_closed_and_called_off_with_a_reason(boss: Client, shop: Shop) -> None:
    campaign = a_campaign(shop)
    for action in ("close_now", "call_off"):
        chosen = {"action": action, "index": "0", "_selected_action": [campaign.pk]}
        assert "say why" in boss.post(URL, chosen, follow=True).content.decode()
        assert "done." in boss.post(URL, {**chosen, "reason": "no tea came"}, follow=True).content.decode()
    campaign.refresh_from_db()
    assert (campaign.state, campaign.closed_at is not None) == ("CALLED_OFF", True)
    assert "no tea came" in boss.get("/admin/campaigns/change/").content.decode()


def test_a_campaign_and_its_members_are_kept(boss: Client, shop: Shop) -> None:
    campaign = a_campaign(shop)
    assert boss.post(f"{URL}{campaign.pk}/delete/", {"post": "yes"}).status_code == 403
    assert boss.get("/admin/campaigns/member/").status_code == 200
    assert boss.get("/admin/campaigns/member/add/").status_code == 403
