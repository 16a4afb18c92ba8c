"""Bad input gets a clear problem, and leaves no trace in any table."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from coupons.models import Coupon
from tests.shop.conftest import ORDERS, Api, Shop, count_rows

NoTrace = Callable[[], None]


@pytest.mark.parametrize("quantity", [0, -1, 10**9, 1001, "two", "2", 1.5, True, None, [], {}, 10**400])
def test_an_invalid_quantity_is_refused(api: Api, shop: Shop, no_trace: NoTrace, quantity: Any) -> None:
    reply = api.order(shop, items=[{"sku": shop.tea.code, "quantity": quantity}], key="k")
    assert (reply.status, reply.problem) == (422, "invalid-request")
    assert reply.pointers == ["#/items/0/quantity"]
    no_trace()


@pytest.mark.parametrize("sku", ["", " ", "x" * 33, 7, None, True, [], {"a": 1}, "a\x00b", "\ud800", "\udfff tea"])
def test_an_invalid_sku_is_refused(api: Api, shop: Shop, no_trace: NoTrace, sku: Any) -> None:
    reply = api.order(shop, items=[{"sku": sku, "quantity": 1}])
    assert (reply.status, reply.problem) == (422, "invalid-request")
    assert reply.pointers[0] == "#/items/0/sku"
    no_trace()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"items": []}, "#/items"),
        ({"items": None}, "#/items"),
        ({"items": "TEA"}, "#/items"),
        ({"items": ["TEA"]}, "#/items/0"),
        ({"items": [{}]}, "#/items/0/sku"),
        ({"slot": None}, "#/slot"),
        ({"slot": "1"}, "#/slot"),
        ({"slot": 0}, "#/slot"),
        ({"slot": -1}, "#/slot"),
        ({"slot": 2**63}, "#/slot"),
        ({"slot": 1e400}, "#/slot"),
        ({"slot": [1]}, "#/slot"),
        ({"coupon": ""}, "#/coupon"),
        ({"coupon": 5}, "#/coupon"),
        ({"coupon": "x\x00"}, "#/coupon"),
        ({"coupon": "x" * 33}, "#/coupon"),
    ],
)
def test_a_body_of_the_wrong_form_is_refused(
    api: Api, shop: Shop, no_trace: NoTrace, change: dict[str, Any], pointer: str
) -> None:
    body = json.dumps(shop.body(**change)).replace("Infinity", "1e400").encode()
    reply = api.call("POST", ORDERS, body=body)
    assert (reply.status, reply.problem) == (422, "invalid-request")
    assert reply.pointers[0] == pointer
    no_trace()


def test_missing_fields_are_all_named(api: Api, no_trace: NoTrace) -> None:
    reply = api.post(ORDERS, {})
    assert reply.status == 422
    assert reply.pointers == ["#/items", "#/slot"]
    assert api.call("POST", ORDERS, body=b"").status == 422
    no_trace()


@pytest.mark.parametrize(
    ("name", "pointer", "meant"),
    [
        ("cupon", "#/cupon", "coupon"),
        ("Coupon", "#/Coupon", "coupon"),
        ("total", "#/total", None),
        ("a/b~c", "#/a~1b~0c", None),
        ("折扣", "#/%E6%8A%98%E6%89%A3", None),
        ("\ud800", "#/%3F", None),
        ("", "#/", None),
        ("x" * 5000, f"#/{'x' * 5000}", None),
    ],
)
def test_an_unknown_field_is_refused(
    api: Api, shop: Shop, no_trace: NoTrace, *, name: str, pointer: str, meant: str | None
) -> None:
    reply = api.order(shop, key="k", **{name: "SAVE5"})
    assert (reply.status, reply.problem, reply.pointers) == (422, "unknown-field", [pointer])
    (error,) = reply.body["errors"]
    assert error["code"] == "unknown-field"
    assert len(error["detail"]) < 200
    assert (f'Is "{meant}" meant?' in error["detail"]) if meant else ("meant" not in error["detail"])
    no_trace()


def test_an_unknown_field_of_an_item_is_refused(api: Api, shop: Shop, no_trace: NoTrace) -> None:
    items = [{"sku": shop.tea.code, "quantity": 1}, {"sku": shop.tea.code, "quantity": 1, "quantitiy": 5}]
    reply = api.order(shop, items=items)
    assert (reply.status, reply.problem, reply.pointers) == (422, "unknown-field", ["#/items/1/quantitiy"])
    no_trace()


def test_unknown_fields_and_wrong_values_are_reported_together(api: Api, shop: Shop, no_trace: NoTrace) -> None:
    reply = api.order(shop, items=[{"sku": 5, "quantity": 1, "size": "L"}], cupon="X")
    assert (reply.status, reply.problem) == (422, "invalid-request")
    assert set(reply.pointers) == {"#/items/0/sku", "#/items/0/size", "#/cupon"}
    no_trace()


def test_thousands_of_unknown_fields_get_a_short_answer(api: Api, shop: Shop, no_trace: NoTrace) -> None:
    reply = api.order(shop, **{f"f{n}": 1 for n in range(4000)})
    assert (reply.status, reply.problem, len(reply.pointers)) == (422, "unknown-field", 20)
    no_trace()


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/menu/?curser=x",
        "/api/v1/menu/?format=json",
        "/api/v1/slots/?day=1",
        f"{ORDERS}?curser=x",
        f"{ORDERS}?page=2",
        f"{ORDERS}ORD-1/?expand=steps",
    ],
)
def test_an_unknown_query_parameter_is_refused(api: Api, path: str) -> None:
    reply = api.get(path)
    assert (reply.status, reply.problem) == (400, "unknown-parameter")
    assert ('Is "cursor" meant?' in reply.body["detail"]) == ("curser" in path and ORDERS in path)


def test_unknown_query_parameters_of_writing_requests_are_refused(api: Api, shop: Shop, no_trace: NoTrace) -> None:
    reply = api.post(f"{ORDERS}?coupon=X", shop.body())
    assert (reply.status, reply.problem) == (400, "unknown-parameter")
    no_trace()


def test_an_order_with_too_many_lines_is_refused(api: Api, shop: Shop, no_trace: NoTrace) -> None:
    items = [{"sku": f"S{n}", "quantity": 1} for n in range(51)]
    assert api.order(shop, items=items).pointers == ["#/items"]
    no_trace()


def test_a_repeated_sku_is_refused(api: Api, shop: Shop, no_trace: NoTrace) -> None:
    reply = api.order(shop, items=[{"sku": shop.tea.code, "quantity": 1}] * 2)
    assert (reply.status, reply.pointers) == (422, ["#/items"])
    assert reply.body["errors"][0]["code"] == "duplicate-sku"
    no_trace()


@pytest.mark.parametrize(
    ("problem", "pointer", "wrong"),
    [
        ("unknown-sku", "#/items/0/sku", lambda _: {"items": [{"sku": "NO-SUCH", "quantity": 1}]}),
        ("inactive-sku", "#/items/0/sku", lambda shop: {"items": [{"sku": shop.gone.code, "quantity": 1}]}),
        ("unknown-slot", "#/slot", lambda _: {"slot": 2**63 - 1}),
        ("past-slot", "#/slot", lambda shop: {"slot": shop.past.pk}),
        ("coupon-not-usable", "#/coupon", lambda _: {"coupon": "NO-SUCH"}),
        ("coupon-not-usable", "#/coupon", lambda shop: {"coupon": shop.coupon(days=-1)}),
        ("coupon-not-usable", "#/coupon", lambda shop: {"coupon": shop.coupon(owner=shop.other)}),
    ],
)
def test_an_impossible_order_is_refused_at_once(
    api: Api, shop: Shop, *, problem: str, pointer: str, wrong: Callable[[Shop], dict[str, Any]]
) -> None:
    changes = wrong(shop)
    before = count_rows()
    reply = api.order(shop, key="k", **changes)
    assert (reply.status, reply.problem, reply.pointers) == (422, problem, [pointer])
    assert count_rows() == before


def test_answers_do_not_reveal_which_coupon_codes_exist(api: Api, shop: Shop) -> None:
    switched_off = shop.coupon()
    Coupon.objects.filter(code=switched_off).update(active=False)
    codes = ["NO-SUCH", shop.coupon(days=-1), shop.coupon(owner=shop.other), switched_off]
    told = [{**api.order(shop, coupon=code).body, "instance": "", "request_id": ""} for code in codes]
    assert told == [told[0]] * 4


def test_all_errors_are_reported_at_once(api: Api, shop: Shop, no_trace: NoTrace) -> None:
    reply = api.order(shop, items=[{"sku": "NO-SUCH", "quantity": 1}], slot=shop.past.pk, coupon="NO-SUCH")
    assert (reply.status, reply.problem) == (422, "order-refused")
    assert reply.pointers == ["#/items/0/sku", "#/slot", "#/coupon"]
    no_trace()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"no json",
        b"\xff\xfe",
        b'{"slot": NaN}',
        b'{"slot": Infinity}',
        b'{"slot": ' + b"9" * 5000 + b"}",
        b"[" * 50_000,
        b"[" * 500 + b"]" * 500,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"slot": 1, "slot": 2}',
        b'{"items": [{"sku": "TEA", "quantity": 1, "quantity": 2}], "slot": 1}',
    ],
    ids=["cut", "text", "utf16", "nan", "infinity", "huge", "deep-cut", "deep", "deep-object", "twice", "twice-inside"],
)
def test_a_body_that_is_not_json_is_refused(api: Api, no_trace: NoTrace, body: bytes) -> None:
    reply = api.call("POST", ORDERS, body=body)
    assert (reply.status, reply.problem) == (400, "malformed-json")
    no_trace()


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"5"])
def test_json_that_is_not_an_object_is_refused(api: Api, no_trace: NoTrace, body: bytes) -> None:
    assert api.call("POST", ORDERS, body=body).status == 422
    no_trace()


def test_a_body_of_ten_megabytes_is_refused(api: Api, no_trace: NoTrace) -> None:
    reply = api.call("POST", ORDERS, body=b" " * 10_000_000)
    assert (reply.status, reply.problem) == (413, "body-too-large")
    no_trace()


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_a_body_with_another_content_type_is_refused(
    api: Api, shop: Shop, no_trace: NoTrace, content_type: str
) -> None:
    body = json.dumps(shop.body()).encode()
    reply = api.call("POST", ORDERS, body=body, content_type=content_type)
    assert (reply.status, reply.problem) == (415, "unsupported-media-type")
    no_trace()


@pytest.mark.parametrize(
    "header",
    ["", "Token", "Token wrong", "Token a b", "Bearer x", "Token \xff\xfe", "Token \x00", "Token " + "f" * 10_000],
)
def test_a_wrong_token_is_refused(anyone: Api, shop: Shop, no_trace: NoTrace, header: str) -> None:
    body = json.dumps(shop.body()).encode()
    reply = anyone.call("POST", ORDERS, body=body, headers={"Authorization": header} if header else {})
    assert (reply.status, reply.problem) == (401, "unauthenticated")
    assert reply.headers["WWW-Authenticate"] == "Token"
    no_trace()


def test_an_order_that_exceeds_the_limit_of_a_request_is_refused(
    api: Api, shop: Shop, no_trace: NoTrace, settings: Settings
) -> None:
    settings.SAGAS = {**settings.SAGAS, "DATA_LIMIT": 100}
    reply = api.order(shop, key="k")
    assert (reply.status, reply.problem) == (422, "invalid-request")
    (error,) = reply.body["errors"]
    assert (error["pointer"], error["code"]) == ("#", "too_large")
    assert "SAGAS['DATA_LIMIT'] is 100" in error["detail"]
    no_trace()
    # And with the same key once it fits, for nothing is left of the refusal
    settings.SAGAS = {**settings.SAGAS, "DATA_LIMIT": 65_536}
    assert api.order(shop, key="k").status == 202
