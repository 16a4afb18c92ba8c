"""``manage.py seed``: demo data, as often as one likes."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import CommandError, call_command
from django.test import RequestFactory

from inventory.models import Batch
from tests.shop.conftest import ORDERS, Api, count_rows

pytestmark = pytest.mark.usefixtures("db")


def test_the_demo_customer_can_order_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    # Given demo data, made twice
    call_command("seed")
    call_command("seed", "--json")
    api = Api(json.loads(capsys.readouterr().out.splitlines()[-1])["token"])
    # When the demo customer orders from the menu
    sku, slot = api.get("/api/v1/menu/").body[0]["sku"], api.get("/api/v1/slots/").body[0]["id"]
    body = {"items": [{"sku": sku, "quantity": 1}], "slot": slot, "coupon": "WELCOME1"}
    # Then it is accepted; and the other coupons are what their names say
    assert api.post(ORDERS, body).status == 202
    assert api.post(ORDERS, {**body, "coupon": "EXPIRED"}).problem == "coupon-not-usable"
    assert api.post(ORDERS, {**body, "coupon": "NOTYOURS"}).problem == "coupon-not-usable"


def test_seeding_again_leaves_the_stock_alone() -> None:
    call_command("seed")
    Batch.objects.filter(key="LIMITED-M").update(available=1, held=19)
    before = count_rows()
    call_command("seed")
    assert Batch.objects.get(key="LIMITED-M").available == 1
    assert count_rows() == before


def test_seeding_lets_the_demo_customer_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    login = RequestFactory().post("/sign-in/")
    call_command("seed")
    assert authenticate(login, username="demo", password="four seasons oolong") is None
    monkeypatch.setenv("DEMO_PASSWORD", "four seasons oolong")
    call_command("seed")
    first = authenticate(login, username="demo", password="four seasons oolong")
    assert first is not None
    # A repeat signs nobody out
    call_command("seed")
    assert get_user_model()._default_manager.get(username="demo").password == first.password


def test_seeding_creates_an_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_USER", "boss")
    with pytest.raises(CommandError):
        call_command("seed")
    for password in ("first", "second"):
        monkeypatch.setenv("ADMIN_PASSWORD", password)
        call_command("seed")
    login = RequestFactory().post("/admin/login/")
    assert authenticate(login, username="boss", password="first") is None
    boss = authenticate(login, username="boss", password="second")
    assert boss is not None
    assert boss.is_superuser
