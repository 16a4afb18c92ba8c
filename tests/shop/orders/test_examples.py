"""The docs page can be tried out as it stands."""

from __future__ import annotations

from typing import Any

from django.db import OperationalError

from delivery.models import Slot
from inventory.models import Sku
from tests.shop.conftest import ORDERS, Api, Shop


def example(anyone: Api) -> Any:
    """The body that the docs page fills in for an order."""
    page = anyone.client.get("/api/docs/").content.decode()
    assert "/api/schema/?example=1" in page.replace("\\u003D", "=")
    schema = anyone.get("/api/schema/?example=1&format=json").body
    return schema["paths"]["/api/v1/orders/"]["post"]["requestBody"]["content"]["application/json"].get("example")


def test_the_example_of_an_order_is_accepted(anyone: Api, api: Api, shop: Shop) -> None:
    Sku.objects.exclude(pk=shop.tea.pk).update(active=False)
    assert api.post(ORDERS, example(anyone)).status == 202


def test_a_shop_that_is_sold_out_has_no_example(anyone: Api, shop: Shop) -> None:
    Slot.objects.update(available=0)
    assert example(anyone) is None


def test_the_schema_for_programs_needs_no_query(anyone: Api, shop: Shop, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        schema = anyone.get("/api/schema/?format=json").body
    assert "example" not in schema["paths"]["/api/v1/orders/"]["post"]["requestBody"]["content"]["application/json"]


def test_the_page_without_a_database_lacks_only_its_example(anyone: Api, shop: Shop, monkeypatch: Any) -> None:
    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("inventory.selectors.menu", away)
    assert example(anyone) is None
