"""From an alert to its cause: something breaks under load, a budget burns, and who is called reads why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Sum
from django.test import Client
from pytest_django import Settings

from delivery.addresses import Address
from delivery.models import FulfilmentKind
from orders import numbers, services
from orders.services import Wanted
from sagas.models import BurnIncident, LevelExample, LevelMinute, Run
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.courier import Courier
from tests.support.platform_fixtures import WorkerGroup
from tests.support.receiver import Receiver
from tests.support.shop import TEA, Shop

ADDRESS = Address("Li Mei", "+86 21 5555 0100", "Nanjing Road 1", "200001 Shanghai")
#: More than the floor of an objective: fewer bad runs call nobody.
ORDERS = 6


@pytest.fixture
def pager() -> Iterator[Receiver]:
    """Who is on call."""
    found = Receiver()
    found.start()
    yield found
    found.stop()


@pytest.fixture
def courier(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Courier]:
    """The courier service, for this process and for workers that are started from now on."""
    found = Courier(tmp_path).start()
    settings.COURIER_URL = found.url
    monkeypatch.setenv("COURIER_URL", found.url)
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def _calm(worker_group: WorkerGroup) -> Iterator[None]:
    """No budget burns before, and none is said to burn afterwards."""
    worker_group.stop_all()
    for table in (BurnIncident, LevelExample, LevelMinute):
        table._default_manager.all().delete()
    yield
    worker_group.stop_all()
    for table in (BurnIncident, LevelExample, LevelMinute):
        table._default_manager.all().delete()


def call_out(pager: Receiver) -> dict[str, str]:
    """What the pager has got, once it has."""
    eventually(lambda: pager.bodies, within=90, what="a notice that a budget burns")
    (body,) = pager.bodies
    return {"title": body["title"], "message": body["message"]}


def older_than(seconds: float) -> bool:
    """Whether all runs that have not ended were started so long ago, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT bool_and(created_at < clock_timestamp() - %s * interval '1 second') FROM sagas_run "
            "WHERE state NOT IN ('SUCCEEDED', 'FAILED')",
            [seconds],
        )
        return bool(cursor.fetchone()[0])


def place(shop: Shop, **how: Any) -> UUID:
    order_no = numbers.draw()
    return services.place_order(
        order_no=order_no, customer_id=shop.customer_id, items=[Wanted(TEA, 1)], slot=shop.slot, coupon=None, **how
    )


def ended(run_ids: list[UUID]) -> bool:
    return Run.objects.filter(pk__in=run_ids, state__in=["SUCCEEDED", "FAILED"]).count() == len(run_ids)


def board() -> str:
    """The board of service levels, as an operator sees it."""
    client = Client()
    boss, _ = get_user_model()._default_manager.get_or_create(
        username="boss-of-levels", defaults={"is_staff": True, "is_superuser": True}
    )
    client.force_login(boss)
    page = client.get("/admin/sagas/run/service-levels/")
    assert page.status_code == 200
    return page.content.decode()


def test_a_courier_that_fails_is_named_by_the_alert(
    shop: Shop, courier: Courier, worker_group: WorkerGroup, pager: Receiver
) -> None:
    # Given workers, and a courier service that answers nothing but 500
    worker_group.start(ESCALATION_URLS=[pager.url], ADMIN_URL="https://shop.example/admin/")
    courier.switch(fail=10_000)
    # When orders come that a courier is to bring, and the service is right again only after their ten seconds
    run_ids = [place(shop, fulfilment=FulfilmentKind.COURIER, deliver_to=ADDRESS) for _ in range(ORDERS)]
    eventually(lambda: older_than(10), within=60, what="orders that are late")
    courier.switch()
    eventually(lambda: ended(run_ids), within=60, what="all orders undone")
    told = call_out(pager)
    # Then the alert names the saga and the stage
    assert re.match(r"Burning: the error budget of orders.PlaceStoreOrder settled, .* at book_courier", told["title"])
    # And the error, with a line of the log, a run, and the way to them
    assert "× UnexpectedAnswer at book_courier.try: HTTP #" in told["message"]
    assert re.search(r"\n  20\S+ run \S+ attempt \d: HTTP 500\n", told["message"])
    assert any(str(run_id) in told["message"] for run_id in run_ids)
    assert "https://shop.example/admin/sagas/run/?q=" in told["message"]
    # And nothing personal
    assert ADDRESS.recipient not in told["message"]
    # And the board shows the same
    page = board()
    assert "orders.PlaceStoreOrder" in page
    assert "book_courier" in page


@pytest.mark.slow
def test_a_row_that_somebody_holds_is_named_by_the_alert(
    shop: Shop, worker_group: WorkerGroup, pager: Receiver
) -> None:
    # Given workers, and a person who has locked the stock of tea in a console
    worker_group.start(confirm_within=2.0, ESCALATION_URLS=[pager.url], ADMIN_URL="https://shop.example/admin/")
    console = connection.copy()
    try:
        console.set_autocommit(False)
        with console.cursor() as cursor:
            cursor.execute("SELECT FROM inventory_batch WHERE key = %s FOR UPDATE", [TEA])
        # When orders come, and the person goes on after more than their five seconds
        run_ids = [place(shop) for _ in range(ORDERS)]
        eventually(lambda: older_than(8), within=60, what="orders that wait for the lock")
        console.rollback()
    finally:
        console.close()
    eventually(lambda: ended(run_ids), within=90, what="all orders undone, for nobody has paid")
    told = call_out(pager)
    # Then the alert names the stage that waits for the row
    assert re.match(r"Burning: the error budget of orders.PlaceOrder settled, .* at reserve_inventory", told["title"])
    assert "reserve_inventory" in board()


@pytest.mark.slow
def test_a_memory_alarm_of_rabbitmq_is_named_by_the_stage_that_waits_for_it(
    shop: Shop, worker_group: WorkerGroup, pager: Receiver
) -> None:
    # Given workers of which none consumes everything, so that each step is published
    worker_group.start(
        confirm_within=2.0,
        queues=["sagas.dispatch,sagas.cancel,sagas.escalation,orders", "inventory,coupons,delivery,payments"],
        ESCALATION_URLS=[pager.url],
        ADMIN_URL="https://shop.example/admin/",
    )
    # When RabbitMQ takes no messages for longer than the orders' five seconds
    with broker.taking_nothing():
        run_ids = [place(shop) for _ in range(ORDERS)]
        eventually(lambda: older_than(8), within=60, what="orders that wait for RabbitMQ")
    eventually(lambda: ended(run_ids), within=120, what="all orders undone, for nobody has paid")
    told = call_out(pager)
    # Then
    assert re.match(r"Burning: the error budget of orders.PlaceOrder settled, .* at claim$", told["title"])
    assert "RabbitMQ takes no messages" in told["message"]


@pytest.mark.slow
def test_while_redis_has_no_connection_left_orders_are_in_time_and_nobody_is_called(
    shop: Shop, worker_group: WorkerGroup, pager: Receiver
) -> None:
    # Given workers, and a Redis whose connections are used up
    worker_group.start(confirm_within=2.0, ESCALATION_URLS=[pager.url])
    with redis.Redis.from_url(django_settings.SAGAS["REDIS_URL"]) as client:
        before = client.config_get("maxclients")["maxclients"]
        client.config_set("maxclients", 1)
        client.client_kill_filter(_type="normal", skipme=True)
        try:
            # When orders come
            run_ids = [place(shop) for _ in range(ORDERS)]
            eventually(lambda: ended(run_ids), within=60, what="all orders undone, for nobody has paid")
        finally:
            client.config_set("maxclients", before)
    # Then all have ended in time, by what is counted
    outcomes = LevelMinute.objects.filter(saga="orders.PlaceOrder", subject="objective")
    counted = outcomes.values_list("outcome").annotate(runs=Sum("number"))
    eventually(lambda: sum(runs for _, runs in counted.all()) == ORDERS, within=60, what="all runs counted")
    assert dict(counted.all()) == {"good": ORDERS}
    assert pager.bodies == []
