"""People see who has which coupon, issue coupons with a reason, and add to a budget."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from coupons.models import Coupon, Grant
from coupons.participants import redeem
from coupons.sagas import IssueCoupon
from sagas.models import Run
from tests.shop.conftest import Shop
from tests.shop.coupons.calls import ask, budget, coupon

COUPONS, GRANTS = "/admin/coupons/coupon/", "/admin/coupons/grant/"


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model()._default_manager.create_superuser("boss", password="pw"))
    return client


def form(code: object, **changes: object) -> dict[str, object]:
    """What the page of an amount for one order sends."""
    sent = {
        "code": code,
        "kind": "AMOUNT",
        "discount_cents": 500,
        "minimum_cents": 0,
        "per_customer": 1,
        "public": "on",
        "active": "on",
        "expires_at_0": "2030-01-01",
        "expires_at_1": "00:00:00",
        "available": 1,
    }
    return {**sent, **changes}


def test_a_grant_is_found_and_cannot_be_edited(admin: Client, shop: Shop) -> None:
    code = coupon()
    redeem.many([ask(shop, code)])
    grant = Grant.objects.get(coupon=code)
    found = admin.get(f"{GRANTS}?q={code}").content.decode()
    assert str(grant.used_by_run) in found
    page = admin.get(f"{GRANTS}{grant.id}/change/").content.decode()
    assert 'name="_save"' not in page
    assert "used by run" in page.lower()
    assert admin.post(f"{GRANTS}{grant.id}/delete/").status_code == 403
    assert admin.get(f"{GRANTS}add/").status_code == 403


def test_a_coupon_is_issued_to_customers_with_a_reason(admin: Client, shop: Shop) -> None:
    code = coupon(available=5, public=False)
    asked = {"action": "issue", "_selected_action": [code]}
    # When a person chooses the coupon, names two customers, and says why
    page = admin.post(COUPONS, asked)
    assert (page.status_code, code in page.content.decode()) == (200, True)
    names = f"{shop.customer.username}, {shop.other.username}\n{shop.customer.username}"
    answer = admin.post(COUPONS, {**asked, "decided": "yes", "customers": names, "reason": "spilt tea"}, follow=True)
    # Then a run for each is under way
    assert "2 grants are being issued." in answer.content.decode()
    requests = Run.objects.filter(saga=IssueCoupon.name).values_list("request", flat=True)
    assert {(r["coupon"], r["customer_id"], r["by"], r["reason"]) for r in requests} == {
        (code, customer.pk, "boss", "spilt tea") for customer in (shop.customer, shop.other)
    }


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"customers": "nobody-of-this-name", "reason": "x"}, "There is no customer nobody-of-this-name."),
        ({"customers": "", "reason": "x"}, "This field is required."),
        ({"customers": "boss", "reason": ""}, "This field is required."),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_issued(admin: Client, said: dict[str, str], why: str) -> None:
    code = coupon(available=5)
    answer = admin.post(COUPONS, {"action": "issue", "_selected_action": [code], "decided": "yes", **said})
    assert why in answer.content.decode()
    assert not Run.objects.filter(saga=IssueCoupon.name, request__coupon=code).exists()


def test_a_customer_who_has_had_it_is_named(admin: Client, shop: Shop) -> None:
    code = coupon(available=5)
    redeem.many([ask(shop, code)])
    said = {"customers": shop.customer.username, "reason": "x", "decided": "yes"}
    answer = admin.post(COUPONS, {"action": "issue", "_selected_action": [code], **said}, follow=True)
    assert "as often as it may be" in answer.content.decode()


def test_who_may_only_look_issues_nothing(shop: Shop) -> None:
    looker = get_user_model()._default_manager.create_user("looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_coupon"))
    client = Client()
    client.force_login(looker)
    code = coupon(available=5)
    said = {"customers": shop.customer.username, "reason": "x", "decided": "yes"}
    client.post(COUPONS, {"action": "issue", "_selected_action": [code], **said})
    assert not Run.objects.filter(saga=IssueCoupon.name, request__coupon=code).exists()


def test_a_budget_is_changed_by_a_difference(admin: Client, shop: Shop) -> None:
    code = coupon(available=2)
    # Given a page that was opened before an order took one
    redeem.many([ask(shop, code)])
    assert admin.post(f"{COUPONS}{code}/change/", form(code, more=10)).status_code == 302
    assert budget(code) == (11, 0, 1)
    assert "Only 11 are available." in admin.post(f"{COUPONS}{code}/change/", form(code, more=-12)).content.decode()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kind": "PERCENT", "discount_cents": 0, "percent": 101}, "100"),
        ({"kind": "PERCENT", "discount_cents": 500, "percent": 10}, "Give an amount, or a percentage"),
        ({"cap_cents": 100}, "Give an amount, or a percentage"),
        ({"code": " tEa-oNe "}, "differs by case"),
        ({"starts_at_0": "2031-01-01", "starts_at_1": "00:00:00"}, "starts before it expires"),
        ({"per_customer": 0}, "greater than or equal to 1"),
    ],
)
def test_a_coupon_that_cannot_be_is_refused_with_a_reason(admin: Client, changes: dict[str, object], why: str) -> None:
    assert admin.post(f"{COUPONS}add/", form("TEA-ONE")).status_code == 302
    assert why in admin.post(f"{COUPONS}add/", form(**{"code": "TEA-TWO", **changes})).content.decode()
    assert list(Coupon.objects.filter(code__icontains="tea-").values_list("code", flat=True)) == ["TEA-ONE"]
