"""The domains in the admin: to be found, and not to be broken by a form that was opened too long ago."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from inventory.models import Batch, Sku
from payments.models import Payment, PaymentEvent
from sagas.pool import Pool
from tests.shop.conftest import Api, Shop, confirm


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model()._default_manager.create_superuser("boss", password="pw"))
    return client


@pytest.mark.parametrize(
    "page",
    ["orders/order", "inventory/sku", "delivery/slot", "coupons/coupon", "payments/payment", "payments/paymentevent"],
)
def test_the_lists_can_be_searched(admin: Client, api: Api, shop: Shop, page: str) -> None:
    order_no = api.order(shop, coupon=shop.coupon()).body["order_no"]
    confirm(order_no)
    assert admin.get(f"/admin/{page}/").status_code == 200
    assert admin.get(f"/admin/{page}/?q=1").status_code == 200


def test_an_order_is_found_by_its_number_and_cannot_be_edited(admin: Client, api: Api, shop: Shop) -> None:
    order_no = api.order(shop).body["order_no"]
    assert order_no in admin.get(f"/admin/orders/order/?q={order_no}").content.decode()
    order = admin.get(f"/admin/orders/order/?q={order_no}").context["cl"].queryset.get()
    page = admin.get(f"/admin/orders/order/{order.pk}/change/")
    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()
    assert admin.post(f"/admin/orders/order/{order.pk}/delete/").status_code == 403


def _form(**changes: object) -> dict[str, object]:
    return {"name": "New tea", "price_cents": 1300, "active": "on", **changes}


def _counts(pool: Pool) -> tuple[int, int, int]:
    pool.refresh_from_db()
    return pool.available, pool.held, pool.sold


def test_a_price_can_be_edited_and_the_counts_cannot(
    admin: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given that the engine moves the stock between the form's read and its write
    full_clean = Sku.full_clean

    def meanwhile(self: Sku, *args: object, **kwargs: object) -> None:
        full_clean(self, *args, **kwargs)  # type: ignore[arg-type]
        Batch.objects.filter(pk=shop.tea.pk).update(available=90, held=10)

    monkeypatch.setattr(Sku, "full_clean", meanwhile)
    # When the form is saved, with hands on the counts
    url = f"/admin/inventory/sku/{shop.tea.pk}/change/"
    assert admin.post(url, _form(available=7, held=7, sold=7)).status_code == 302
    # Then the price is new, and the counts are the engine's
    assert _counts(shop.cups) == (90, 10, 0)
    shop.tea.refresh_from_db()
    assert (shop.tea.price_cents, shop.tea.name) == (1300, "New tea")


def test_stock_is_changed_by_a_difference(admin: Client, shop: Shop) -> None:
    url = f"/admin/inventory/sku/{shop.tea.pk}/change/"
    assert admin.post(url, _form(restock=50, reason="delivery")).status_code == 302
    assert _counts(shop.cups) == (150, 0, 0)
    assert admin.post(url, _form(restock=-200, reason="breakage")).status_code == 200
    assert _counts(shop.cups) == (150, 0, 0)


def test_a_new_sku_can_be_added(admin: Client) -> None:
    assert admin.post("/admin/inventory/sku/add/", _form(code="NEW", restock=30, reason="new")).status_code == 302
    assert _counts(Batch.objects.get(key="NEW")) == (30, 0, 0)


def test_a_payment_can_be_marked_as_returned_and_not_edited(admin: Client, api: Api, shop: Shop) -> None:
    # Given one that is due back, and one that is taken
    order_no = api.order(shop).body["order_no"]
    confirm(order_no, "pay_wrong", says={"amount": 1})
    confirm(order_no, "pay_right")
    payments = Payment.objects.filter(order_no=order_no)
    ids = list(payments.values_list("pk", flat=True))

    # When
    page = admin.post(
        "/admin/payments/payment/", {"action": "mark_returned", "_selected_action": ids}, follow=True
    ).content.decode()

    # Then
    assert "1 marked as returned." in page
    assert "1 were not to be returned by hand" in page
    assert dict(payments.values_list("payment_id", "state")) == {"pay_wrong": "RETURNED", "pay_right": "TAKEN"}
    # And there is nothing to save
    assert "_save" not in admin.get(f"/admin/payments/payment/{ids[0]}/change/").content.decode()
    for url in (
        f"payment/{ids[0]}",
        f"paymentevent/{PaymentEvent.objects.filter(order_no=order_no).order_by('id')[0].pk}",
    ):
        assert admin.get(f"/admin/payments/{url}/change/").status_code == 200
        assert admin.post(f"/admin/payments/{url}/delete/").status_code == 403
