"""The Chinese of pages and API: whole, compiled, and shown to who asks for it."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.utils import translation

from orders.api.protocol import problem_types, reasons
from orders.api.protocol.problem_types import TYPES
from tests.shop.conftest import Api, Shop
from tests.shop.locale import catalogue
from tests.shop.locale.catalogue import Texts

CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}


ALL = pytest.mark.parametrize("texts", catalogue.CATALOGUES, ids=lambda texts: texts.folder)


@ALL
def test_every_text_is_translated_and_nothing_else_is_in_the_catalogue(texts: Texts) -> None:
    entries = [entry for entry in texts.read() if entry.id]
    written = {tuple(entry.id) if isinstance(entry.id, list | tuple) else entry.id for entry in entries}
    assert written == texts.used(), "run python -m tests.shop.locale.catalogue"
    empty = [entry.id for entry in entries if not all(_texts(entry.string))]
    assert empty == []
    # What a tool has guessed is no translation
    assert [entry.id for entry in entries if entry.fuzzy] == []


def _texts(string: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    return (string or "",) if isinstance(string, str | None) else tuple(string)


@ALL
def test_the_translations_have_the_places_of_their_texts(texts: Texts) -> None:
    places = re.compile(r"%\(\w+\)[sd]")
    for entry in texts.read():
        for said in _texts(entry.string) if entry.id else ():
            source = entry.id if isinstance(entry.id, str) else entry.id[0]
            assert sorted(places.findall(said)) == sorted(places.findall(source)), source


@ALL
def test_the_compiled_catalogue_is_that_of_the_written_one(texts: Texts) -> None:
    expected = catalogue.compiled(texts.read())
    assert expected == texts.mo.read_bytes(), "run python -m tests.shop.locale.catalogue"


@pytest.mark.parametrize("accepted", ["zh", "zh-CN", "zh-Hans-CN", "zh-TW"])
def test_a_page_is_chinese_for_who_asks_for_it(db: None, accepted: str) -> None:
    text = Client().get("/sign-in/", headers={"Accept-Language": accepted}).content.decode()
    assert "<h1>登录</h1>" in text
    assert "Sign in" not in text


def test_an_order_page_is_chinese_down_to_its_reason(shop: Shop, api: Api) -> None:
    client = Client(headers=CHINESE)
    client.force_login(shop.customer)
    assert "想喝点什么？" in client.get("/order/").content.decode()
    order_no = api.order(shop).body["order_no"]
    answer = client.post(f"/orders/{order_no}/cancel/", follow=True)
    text = answer.content.decode()
    assert "订单已取消，已付款项将退还。" in text
    assert "您已取消。" in text


def test_a_known_reason_is_told_in_the_readers_language_and_a_persons_note_as_it_was_written() -> None:
    rejected = {
        "kind": "rejected",
        "step": "reserve_inventory",
        "code": "OutOfStock",
        "detail": "only 1 is left",
    }
    noted = {"kind": "cancelled", "step": "", "code": "", "detail": "x", "message": "Sorry, the ice machine broke."}
    with translation.override("zh-hans"):
        assert reasons.reason_text(rejected) == "有饮品已售罄。"
        assert reasons.reason_text(noted) == "Sorry, the ice machine broke."
    with translation.override("en"):
        assert reasons.reason_text(rejected) == "only 1 is left"


def test_the_api_answers_errors_in_chinese_on_request_and_the_next_in_english(api: Api, shop: Shop) -> None:
    asked = {"items": [{"sku": "NOPE", "quantity": 1}], "slot": shop.slot.pk, "fulfilment": {"kind": "COURIER"}}
    chinese = api.post("/api/v1/orders/", asked, **CHINESE)
    assert (chinese.status, chinese.problem) == (422, "invalid-request")
    assert (chinese.body["title"], chinese.body["detail"]) == ("请求不符合要求。", "请求不符合要求；请查看 errors。")
    (error,) = chinese.body["errors"]
    assert error == {"pointer": "#/fulfilment/address", "code": "required", "detail": "配送需要填写地址。"}
    assert chinese.headers["Content-Language"] == "zh-hans"
    assert "Accept-Language" in chinese.headers["Vary"]
    # The thread serves the next request, which asks for nothing; its types and codes are the same
    english = api.post("/api/v1/orders/", asked)
    assert (english.body["title"], english.body["type"]) == ("Invalid request", chinese.body["type"])
    assert english.body["errors"] == [{**error, "detail": "A courier needs an address."}]
    assert english.headers["Content-Language"] == "en"
    assert "Accept-Language" in english.headers["Vary"]


def test_each_type_of_problem_has_a_chinese_title_and_page() -> None:
    written = "as another app has written it"
    with translation.override("zh-hans"):
        for code, found in TYPES.items():
            assert not problem_types.title(code).isascii()
            assert problem_types.told(code, written) == problem_types.title(code)
            assert not str(found.do).isascii()
    with translation.override("en"):
        assert {problem_types.told(code, written) for code in TYPES} == {written}


def test_what_is_known_at_once_is_refused_in_chinese_with_its_names_and_numbers(api: Api, shop: Shop) -> None:
    asked = {"items": [{"sku": "NOPE", "quantity": 1}], "slot": shop.past.pk}
    refused = api.post("/api/v1/orders/", asked, **CHINESE)
    assert [error["detail"] for error in refused.body["errors"]] == [
        "没有 SKU NOPE。",
        f"时段 {shop.past.pk} 已开始。",
    ]
    assert refused.body["detail"] == " ".join(error["detail"] for error in refused.body["errors"])
    dearer = api.post("/api/v1/orders/", {**shop.body(), "expected_total_amount": 1}, **CHINESE)
    assert (dearer.problem, dearer.body["detail"]) == (
        "price-changed",
        "订单现价为 2500，而不是 1（以最小货币单位计）。",
    )
    unknown = api.post("/api/v1/orders/", {**shop.body(), "slots": 1}, **CHINESE)
    assert unknown.body["errors"][0]["detail"] == '没有字段 "slots"。是否要写“slot”？'


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/api/v1/nothing/", "此地址没有内容。"),
        ("/api/v1/orders/NOPE/", "订单不存在，或属于其他顾客。"),
        ("/api/v1/orders/?page=2", "网址中有不存在的查询参数。"),
    ],
)
def test_problems_outside_of_views_are_chinese_too(api: Api, path: str, title: str) -> None:
    answer = api.get(path, **CHINESE)
    assert answer.body["title"] == title
    assert not answer.body["detail"].isascii()


def test_a_reason_is_the_same_sentence_in_the_api_and_on_the_page(shop: Shop, api: Api) -> None:
    path = f"/api/v1/orders/{api.order(shop).body['order_no']}/"
    english = api.get(path)
    api.post(f"{path}cancel/")
    told = api.get(path, **CHINESE)
    assert told.body["reason"] == {"kind": "cancelled", "code": "Cancelled", "detail": "您已取消。"}
    assert api.get(path).body["reason"]["detail"] == "You have cancelled it."
    # Each language has a version of its own: nobody is told 304 of what they have in the other one
    assert api.get(path, If_None_Match=told.headers["ETag"], **CHINESE).status == 304
    assert api.get(path, If_None_Match=told.headers["ETag"]).status == 200
    assert english.headers["ETag"] not in {told.headers["ETag"], api.get(path).headers["ETag"]}


def test_a_page_about_a_problem_is_chinese(anyone: Api) -> None:
    page = anyone.client.get("/problems/slot-full", headers=CHINESE).content.decode()
    assert '<html lang="zh-hans">' in page
    assert "该时段订单很多，已无名额。" in page
    assert "如何处理" in page
