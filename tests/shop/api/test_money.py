"""Money in the API is an integer in minor units, in a field that ends in ``_amount``, beside its ``currency``."""

from __future__ import annotations

from typing import Any

from tests.shop.conftest import Api

#: A payment's message has the gateways' names.
_OF_GATEWAYS = {"PaymentRequest"}
#: Of an order's request: the shop has one currency.
_ASKED = {"PlaceOrderRequest"}


def test_every_amount_is_an_integer_beside_its_currency(anyone: Api) -> None:
    schemas: dict[str, Any] = anyone.get("/api/schema/?format=json").body["components"]["schemas"]
    told = {name: schema.get("properties", {}) for name, schema in schemas.items()}
    with_money = {
        name for name, fields in told.items() if any(field.endswith("_amount") for field in fields)
    } - _OF_GATEWAYS
    assert {"Sku", "Line", "Order", "OrderDetail", "Coupon", "Campaign", "OrderPayment", "Refund"} <= with_money
    for name in with_money:
        for field, schema in told[name].items():
            if field.endswith("_amount"):
                assert "integer" in schema["type"], f"{name}.{field}"
        assert name in _ASKED or "currency" in told[name], name


def test_no_field_has_money_under_another_name(anyone: Api) -> None:
    schemas: dict[str, Any] = anyone.get("/api/schema/?format=json").body["components"]["schemas"]
    fields = {
        field for name, schema in schemas.items() if name not in _OF_GATEWAYS for field in schema.get("properties", {})
    }
    other = {"amount", "price", "total", "discount", "unit_price", "cents", "fee", "cost"}
    assert not {field for field in fields if field in other or field.endswith("_cents")}
