"""Five hundred customers at once for a hundred places, over HTTP, with real workers."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.utils import timezone

from campaigns.models import Campaign, Member, Places, Quota
from inventory.models import Batch
from orders import demo
from orders.groups import staff
from orders.models import Order
from sagas.models import Run
from tests.shop.groups.conftest import counts
from tests.support import shop as shops
from tests.support.awaiting import eventually
from tests.support.web import Caller, Reply, Web
from tests.support.workers import Worker

CUSTOMERS, PLACES, THREADS = 500, 100, 100

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_hundred_of_five_hundred_find_a_place_and_the_group_forms(alone: None) -> None:
    # Given a campaign for a hundred, and five hundred customers with tokens
    shop = shops.open_shop(stock={shops.TEA: 1000})
    campaign = staff.open_campaign(
        by="boss",
        slug=uuid4().hex[:12],
        title="Rush",
        sku=shops.TEA,
        price_cents=900,
        slot=shop.slot,
        minimum=PLACES,
        capacity=PLACES,
        quota=PLACES,
        closes_at=timezone.now() + timedelta(hours=1),
    )
    users = get_user_model()._default_manager.bulk_create(
        [get_user_model()(username=f"rush-{number}-{uuid4().hex[:8]}") for number in range(CUSTOMERS)]
    )
    tokens = [demo.token(customer=user) for user in users]
    web, worker = Web(), Worker(concurrency=2, environment={"CONFIRM_WITHIN_SECONDS": "300"})
    try:
        web.await_ready()
        worker.await_ready()

        def join(token: str) -> Reply:
            key = {"Idempotency-Key": f"rush-{token[:20]}"}
            reply = Caller(web, token).call("POST", f"/api/v1/campaigns/{campaign.pk}/join/", {}, key)
            # Every third customer's phone sends it twice
            if int(token[:2], 16) % 3 == 0:
                again = Caller(web, token).call("POST", f"/api/v1/campaigns/{campaign.pk}/join/", {}, key)
                assert (again.status, again.body) == (reply.status, reply.body) or again.status == 409
            return reply

        # When all join at once
        with ThreadPoolExecutor(THREADS) as pool:
            replies = list(pool.map(join, tokens))
        # Then each is accepted, or told that it is full
        assert set(Counter(reply.status for reply in replies)) <= {202, 409}
        accepted = [reply.body["order_no"] for reply in replies if reply.status == 202]
        assert len(accepted) >= PLACES
        eventually(
            lambda: (
                not Run.objects.filter(saga="orders.JoinCampaign", state__in=["PENDING", "EXECUTING", "COMPENSATING"])
            ),
            within=300,
            what="the end of the rush",
        )
        # And exactly a hundred have a place, and cups, and nobody more
        assert counts(Places, campaign.pk) == counts(Quota, campaign.pk) == (0, PLACES, 0)
        members = list(Member.objects.filter(campaign=campaign, state="JOINED").values_list("order_no", flat=True))
        assert len(members) == PLACES
        reasons = Counter(
            (reason or {})["code"] for reason in Run.objects.filter(state="FAILED").values_list("reason", flat=True)
        )
        assert set(reasons) <= {"CampaignFull"}

        # When they all pay at once, then the group forms, and all are confirmed
        def pay(order_no: str) -> int:
            try:
                return Caller(web).pay(order_no).status
            finally:
                connections.close_all()

        with ThreadPoolExecutor(20) as pool:
            assert set(pool.map(pay, members)) == {200}, web.text()[-8000:]
        eventually(lambda: Run.objects.filter(state="SUCCEEDED").count() == PLACES, within=300, what="the group")
        campaign.refresh_from_db()
        assert campaign.state == "FORMED"
        assert counts(Places, campaign.pk) == counts(Quota, campaign.pk) == (0, 0, PLACES)
        assert Order.objects.filter(status="CONFIRMED").count() == PLACES
        # When it is closed, then a worker settles it on a tick
        staff.close_now(campaign_id=campaign.pk, by="boss", reason="it is full")
        eventually(lambda: Campaign.objects.get(pk=campaign.pk).state == "SETTLED", within=60, what="the settlement")
        assert counts(Batch, shops.TEA) == (1000 - PLACES, 0, 0)
    finally:
        web.stop()
        worker.stop()
