"""SKUs, slots and coupons, as people type them in and try to be rid of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import DataError, IntegrityError, connection, models, transaction
from django.test import Client
from django.utils import timezone

from coupons.models import Coupon
from delivery.models import Slot
from inventory.models import Batch, Sku
from tests.shop.conftest import ORDERS, Api, Shop

PAGES: dict[type[models.Model], str] = {Sku: "inventory/sku", Slot: "delivery/slot", Coupon: "coupons/coupon"}


@pytest.fixture
def admin(db: None) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(get_user_model()._default_manager.create_superuser("boss", password="pw"))
    return client


def in_use(shop: Shop, model: type[models.Model], how: str) -> models.Model:
    """A row of which a run holds something, or has taken it for good."""
    rows: dict[type[models.Model], models.Model] = {
        Sku: shop.cups,
        Slot: shop.slot,
        Coupon: Coupon.objects.get(code=shop.coupon()),
    }
    row = rows[model]
    type(row)._default_manager.filter(pk=row.pk).update(**{how: 1})
    return shop.tea if model is Sku else row


USES = [(Sku, "held"), (Sku, "sold"), (Slot, "held"), (Slot, "sold"), (Coupon, "held"), (Coupon, "sold")]


@pytest.mark.parametrize(("model", "how"), USES)
def test_a_row_that_a_run_uses_cannot_be_deleted_in_the_admin(
    admin: Client, shop: Shop, model: type[models.Model], how: str
) -> None:
    row = in_use(shop, model, how)
    page = f"/admin/{PAGES[model]}/"
    # When it is to be deleted, on its own page and from the list
    one = admin.post(f"{page}{row.pk}/delete/", {"post": "yes"})
    many = admin.post(page, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    # Then both pages refuse, and say what else can be done
    for answer in (one, many):
        assert answer.status_code == 200
        assert "make it inactive" in answer.content.decode()
    assert model._default_manager.filter(pk=row.pk).exists()


@pytest.mark.parametrize(("model", "how"), USES)
def test_a_row_that_a_run_uses_cannot_be_deleted_in_any_way(shop: Shop, model: type[models.Model], how: str) -> None:
    row = in_use(shop, model, how)
    with pytest.raises(IntegrityError, match="in use"), transaction.atomic():
        model._default_manager.filter(pk=row.pk).delete()
    with (
        pytest.raises(IntegrityError, match="in use"),
        transaction.atomic(),
    ):
        # Its holds would no longer find it, either.
        model._default_manager.filter(pk=row.pk).update(**{model._meta.pk.name: -1 if model is Slot else "NEW"})


def test_a_deletion_that_loses_to_a_run_is_refused_with_a_message(
    admin: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run that takes a cup between the page's look and its deletion
    from inventory.admin import SkuAdmin

    def meanwhile(_self: SkuAdmin, _request: Any, row: Sku) -> None:
        Batch.objects.filter(pk=row.pk).update(held=1)
        row.delete()

    monkeypatch.setattr(SkuAdmin, "delete_model", meanwhile)
    answer = admin.post(f"/admin/inventory/sku/{shop.tea.pk}/delete/", {"post": "yes"}, follow=True)
    assert answer.status_code == 200
    assert "in use" in answer.content.decode()
    assert Sku.objects.filter(pk=shop.tea.pk).exists()


def test_an_unused_row_can_be_deleted(admin: Client, shop: Shop) -> None:
    code = shop.coupon()
    for page in (f"inventory/sku/{shop.gone.pk}", f"delivery/slot/{shop.past.pk}", f"coupons/coupon/{code}"):
        assert admin.post(f"/admin/{page}/delete/", {"post": "yes"}).status_code == 302
    assert not Sku.objects.filter(pk=shop.gone.pk).exists()
    assert not Slot.objects.filter(pk=shop.past.pk).exists()
    assert not Coupon.objects.filter(pk=code).exists()


def test_an_inactive_slot_is_not_offered_and_takes_no_orders(api: Api, shop: Shop) -> None:
    Slot.objects.filter(pk=shop.slot.pk).update(active=False)
    assert shop.slot.pk not in [slot["id"] for slot in api.get("/api/v1/slots/").body]
    answer = api.order(shop)
    assert (answer.status, answer.body["errors"][0]["code"]) == (422, "inactive-slot")


def test_an_inactive_coupon_gives_no_discount(api: Api, shop: Shop) -> None:
    code = shop.coupon()
    Coupon.objects.filter(pk=code).update(active=False)
    answer = api.order(shop, coupon=code)
    assert answer.status == 422
    assert answer.pointers == ["#/coupon"]


OUT_OF_RANGE = ["0001-01-01", "1969-12-31", "9999-12-31", "9999-12-30"]


@pytest.mark.parametrize("day", OUT_OF_RANGE)
def test_a_coupon_must_expire_between_2000_and_2100(admin: Client, shop: Shop, day: str) -> None:
    form = {"code": "ODD", "discount_cents": 100, "expires_at_0": day, "expires_at_1": "00:00:00", "active": "on"}
    answer = admin.post("/admin/coupons/coupon/add/", form)
    assert answer.status_code == 200
    assert "between 2000 and 2100" in answer.content.decode()
    assert not Coupon.objects.filter(code="ODD").exists()


@pytest.mark.parametrize("day", OUT_OF_RANGE)
def test_a_slot_must_lie_between_2000_and_2100(admin: Client, shop: Shop, day: str) -> None:
    form = {"starts_at_0": day, "starts_at_1": "10:00", "ends_at_0": day, "ends_at_1": "12:00"}
    form |= {"available": "5", "active": "on"}
    answer = admin.post("/admin/delivery/slot/add/", form)
    assert answer.status_code == 200
    assert "between 2000 and 2100" in answer.content.decode()


@pytest.mark.parametrize("at", ["0001-01-01 00:00+08", "0044-03-15 BC", "9999-12-31 23:59+00", "infinity", "-infinity"])
def test_the_tables_refuse_other_years(shop: Shop, at: str) -> None:
    code = shop.coupon()
    for table, column, key in (
        ("coupons_coupon", "expires_at", code),
        ("delivery_slot", "starts_at", shop.slot.pk),
        ("delivery_slot", "ends_at", shop.slot.pk),
    ):
        with pytest.raises((IntegrityError, DataError)), transaction.atomic(), connection.cursor() as cursor:
            pk = "code" if table == "coupons_coupon" else "id"
            cursor.execute(f"UPDATE {table} SET {column} = %s WHERE {pk} = %s", [at, key])  # noqa: S608 - ours


def test_capacities_and_prices_have_plausible_bounds(admin: Client, shop: Shop) -> None:
    start = {"starts_at_0": "2026-12-24", "starts_at_1": "10:00", "ends_at_0": "2026-12-24", "ends_at_1": "12:00"}
    answer = admin.post("/admin/delivery/slot/add/", {**start, "available": 2**63 - 1, "active": "on"})
    assert answer.status_code == 200
    assert "less than or equal to 1000000" in answer.content.decode()
    answer = admin.post("/admin/inventory/sku/add/", {"code": "DEAR", "name": "Dear", "price_cents": 2**31 - 1})
    assert answer.status_code == 200
    assert "less than or equal to 10000000" in answer.content.decode()


@pytest.mark.parametrize("page", ["inventory/sku", "delivery/slot", "coupons/coupon", "orders/order", "sagas/run"])
@pytest.mark.parametrize(
    "query",
    [
        "created_at__gte=9999-12-31T23:59:59Z",
        "created_at__year=99999",
        "starts_at__year=0",
        "starts_at__year=9999&starts_at__month=12",
        "starts_at__year=x",
        "expires_at__lt=0001-01-01T00:00:00Z",
        "expires_at__gte=0001-01-01 00:00:00+23:00",
        "q=%00",
        "q=%ED%A0%80",
        "p=99999999999999999999",
        "o=9.9.9",
        "id=99999999999999999999",
    ],
)
def test_a_list_answers_any_query_parameters(admin: Client, shop: Shop, page: str, query: str) -> None:
    assert admin.get(f"/admin/{page}/?{query}").status_code in {200, 302, 400}


def test_the_last_moment_of_the_range_is_listed_everywhere(admin: Client, api: Api, shop: Shop) -> None:
    last = datetime(2099, 12, 31, 15, 59, tzinfo=UTC)
    Slot.objects.create(starts_at=last - timedelta(hours=1), ends_at=last, available=1)
    Coupon.objects.create(code="FIRST", discount_cents=1, expires_at=datetime(2000, 1, 1, tzinfo=UTC))
    Coupon.objects.create(code="LAST", discount_cents=1, expires_at=last)
    assert api.get("/api/v1/slots/").status == 200
    assert api.order(shop, coupon="LAST").status == 202
    for page in PAGES.values():
        assert admin.get(f"/admin/{page}/").status_code == 200


def test_a_slot_is_named_in_the_shops_own_time(shop: Shop) -> None:
    start = datetime(2026, 12, 24, 2, 0, tzinfo=UTC)
    slot = Slot(starts_at=start, ends_at=start + timedelta(hours=2))
    with timezone.override("Asia/Shanghai"):
        assert str(slot) == "2026-12-24 10:00 to 12:00"


def test_orders_are_listed_when_their_slot_is_inactive(api: Api, shop: Shop) -> None:
    api.order(shop)
    Slot.objects.filter(pk=shop.slot.pk).update(active=False)
    assert api.get(ORDERS).status == 200
